"""`edgekit profile` with real runners: here, and on an emulated device; what it says and what it refuses."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.devices.calibration import Calibration, Fit
from edgekit.devices.results import read_results
from edgekit.devices.roofline import Roofline
from edgekit.devices.targets import find_target

from ..devices.stand_ins import stand_in
from ..machines import missing
from .refusals import refuse


@pytest.fixture(autouse=True)
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another lock than that of whoever measures on this machine meanwhile."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))


@pytest.mark.slow
def test_here(native_bundle: Path, cli: Callable[..., Any], tmp_path: Path):
    output, trace = tmp_path / "new" / "results.jsonl", tmp_path / "trace.json"
    done = cli("profile", native_bundle, "--runs", 7, "--threads", 1, "--trace", trace, "-o", output)
    assert done.code == 0, done.err
    assert "native" in done.out
    assert "windows/s" in done.out
    assert f"Measured on {find_machine()}" in done.out
    assert "7 runs after 5 for warm-up, 1 thread." in done.out
    assert "Fully Connected" in done.out
    assert "Not delegated: aten::squeeze_copy" in done.out
    assert done.out.splitlines()[-1] == f"Next: edgekit report {output.parent} -o report.html"

    (result,) = read_results([output])
    assert result["target"] == {"kind": "local", "address": None, "emulated": False}
    assert result["settings"] == {"runs": 7, "warmup": 5, "threads": 1, "cpu_mask": None}
    assert result["command"] == f"edgekit profile {native_bundle} --runs 7 --threads 1 --operators"
    (case,) = result["measured"]["cases"]
    assert len(case["times_ms"]) == 7
    assert case["p50_ms"] == statistics.median(case["times_ms"])
    assert result["measured"]["load_ms"] > 0
    assert result["measured"]["peak_memory_bytes"] > 1 << 20
    # StackVAE-G's linear layers, by the shapes of their weights.
    macs = 4_140_480
    assert case["gflops"] == pytest.approx(2 * macs / case["p50_ms"] / 1e6, rel=0.01)
    rows = result["operators"]["forward"]
    parents = {row["parent"] for row in rows}
    assert sum(row["share"] for row in rows if row["id"] not in parents) == pytest.approx(1)
    assert {row["kind"] for row in rows} >= {"linear", "movement"}
    assert result["roofline"]["source"] == "measured"
    assert result["roofline"]["gflops"]["fp32"] > 1
    assert result["arena"]["steps"]
    events = json.loads(trace.read_text())["traceEvents"]
    assert any("Fully Connected" in event["name"] for event in events if event["ph"] == "X")


def find_machine() -> str:
    with find_target("local") as target:
        return str(target.facts.machine["title"])


@pytest.mark.slow
def test_emulated(export_arm64: Path, cli: Callable[..., Any]):
    done = cli("profile", export_arm64, "--target", "qemu", "--runs", 3, "--operators", "--json", "-q")
    assert done.code == 0, done.err
    (result,) = json.loads(done.out)["results"]
    assert result["target"] == {"kind": "qemu", "address": None, "emulated": True}
    assert result["machine"]["title"] == "Cortex-A76 by qemu-user"
    assert result["machine"]["architecture"] == "aarch64"
    assert len(result["measured"]["cases"][0]["times_ms"]) == 3
    # The machine's roofline is not the device's.
    assert result["roofline"] is None
    assert {row["bound"] for row in result["operators"]["forward"]} == {None}
    shown = cli("profile", export_arm64, "--target", "qemu", "--runs", 3, "-q")
    assert f"{export_arm64.name} (emulated)" in shown.out
    assert "Emulated (Cortex-A76 by qemu-user; 3 runs after 5" in shown.out
    assert "Warning" not in shown.out
    refuse(cli("profile", export_arm64, "-q"), 2, f"is for aarch64, this machine is {os.uname().machine}")


@pytest.fixture(scope="module")
def export_arm64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """StackVAE-G as it ships, fp32, for raspberry-pi-5."""
    from ..conftest import _export

    if reason := missing():
        pytest.skip(reason)
    return _export(tmp_path_factory.mktemp("arm64"), "--recipe", "fp32", device="raspberry-pi-5")


@pytest.mark.slow
def test_an_estimate(fp32_bundle: Path, cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing is run: the bundle has no runner. The calibration says that every operator takes twice its least time."""
    roofline = Roofline({"fp32": 100.0, "fp16": 100.0, "int8": 400.0}, (), 20.0, 1.0, "measured")
    machine = {"title": "a machine", "cpu": "Arm Cortex-A76", "cores": 4, "clock_ghz": 2.4}
    twice = Calibration({"*": Fit(0.5, 0, 1, 0.8, 1.2, 9)}, {}, machine, roofline, ("one",), "2026-01-01", "")
    monkeypatch.setattr("edgekit.export.program_results.load_calibration", lambda: twice)
    output = tmp_path / "results.jsonl"
    done = cli("profile", fp32_bundle, "--estimate", "--device", "raspberry-pi-5", "-o", output)
    assert done.code == 0, done.err
    assert "p50, estimated" in done.out
    assert "Estimated from the device's profile, nothing was run: calibrated on a machine" in done.out
    assert "Measured" not in done.out
    (result,) = read_results([output])
    assert result["target"] == {"kind": "none", "address": None, "emulated": False}
    assert (result["measured"], result["machine"], result["settings"]) == (None, None, None)
    assert result["estimated"]["device"] == "raspberry-pi-5"
    (case,) = result["estimated"]["cases"]
    least = 1e-6 * 2 * 4_140_480 / result["roofline"]["gflops"]["fp32"]
    assert 2 * least <= case["p50_ms"] < 4 * least
    assert case["low_ms"] < case["p50_ms"] < case["high_ms"]
    refuse(cli("profile", fp32_bundle, "--estimate"), 1, "linux-x86_64 has no peaks.fp32_gflops")


def test_without_an_emulator(tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    refuse(cli("profile", stand_in(tmp_path), "--target", "qemu", "-q"), 1, "apt install qemu-user libc6-arm64-cross")


def test_another_session_here(tmp_path: Path, cli: Callable[..., Any]):
    bundle = stand_in(tmp_path)
    with find_target("local") as target:
        target.lock(0, lambda line: None)
        done = cli("profile", bundle, "--timeout", 0.1, "-q")
        refuse(done, 1, "this machine is in use by ")
    assert cli("profile", bundle, "-q").code == 0
    assert not any((tmp_path / "tmp").iterdir())


def test_a_program_that_cannot_be_read_keeps_its_times(tmp_path: Path, cli: Callable[..., Any]):
    done = cli("profile", stand_in(tmp_path), "--json")
    assert done.code == 0
    assert "stand-in: rates and operators are unknown: " in done.err
    (result,) = json.loads(done.out)["results"]
    assert result["measured"]["cases"][0]["p50_ms"] == 2.0


def test_an_older_runner(tmp_path: Path, cli: Callable[..., Any]):
    bundle = stand_in(tmp_path, "echo edgekit-run: error: unknown option --warmup: see --help. >&2; exit 2\n")
    refuse(cli("profile", bundle, "-q"), 1, "unknown option --warmup: see --help; is its runner of an older edgekit?")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--cpu-mask", "0"), "'0' is no mask of cores: write it in hexadecimal"),
        (("--cpu-mask", "g1"), "'g1' is no mask of cores"),
        (("--device", "jetson"), "--device belongs to --estimate"),
        (("--estimate", "--target", "qemu"), "--estimate runs nothing: leave --target"),
        (("--timeout", "0"), "--timeout"),
        (("--target", "telnet://board"), "unknown target 'telnet'"),
        (("--trace", "nowhere/trace.json"), "the folder nowhere does not exist"),
    ],
)
def test_refusals(tmp_path: Path, cli: Callable[..., Any], arguments: tuple[str, ...], says: str):
    refuse(cli("profile", stand_in(tmp_path), *arguments), 2, says)


def test_a_trace_is_of_one_bundle(tmp_path: Path, cli: Callable[..., Any]):
    bundle = stand_in(tmp_path)
    refuse(cli("profile", bundle, bundle, "--trace", tmp_path / "t.json"), 2, "--trace is of one bundle: name one.")


def test_a_changed_bundle(tmp_path: Path, cli: Callable[..., Any]):
    bundle = stand_in(tmp_path)
    (bundle / "program.pte").write_bytes(b"changed")
    refuse(cli("profile", bundle), 1, "program.pte was changed after export")
    refuse(cli("profile", tmp_path / "none"), 2, "there is no bundle")
