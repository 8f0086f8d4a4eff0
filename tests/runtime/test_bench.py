"""What `edgekit-run --bench` tells: cases, moments, what sysfs says, and every operator against ETDump's events."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.devices.targets.qemu import emulator
from edgekit.export.native_files import native_files
from edgekit.export.program_file import read_program

from .traced import Found, check_events

#: Parts of a text's program that no graph has, and what it calls of edgekit's.
OURS = {"edgekit::kv_append.out", "edgekit::sea_estimate.out", "edgekit::sparse_topk_attention.out"}


@pytest.fixture
def bench(edgekit_run) -> Callable[..., Found]:
    def call(bundle: Path, *options: object, runs: int = 3) -> Found:
        done = edgekit_run(bundle, "--bench", runs, "--json", *options)
        assert (done.returncode, done.stderr) == (0, "")
        found: Found = json.loads(done.stdout)
        return found

    return call


def check_covered(case: Found) -> list[Found]:
    """Operators that are most of the run that is shown; gives those without a parent."""
    top = check_events(case)
    assert sum(event["us"] for event in top) > 500 * case["operators"]["p50_ms"]
    return top


def test_cases_of_methods(bench, pump_bundle):
    found = bench(pump_bundle, "--warmup", 2, "--threads", 1, runs=4)
    assert (found["runs"], found["warmup"], found["threads"], found["cpu_mask"]) == (4, 2, 1, None)
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", found["runner"])
    assert 0 < found["open_ms"] < found["load_ms"]
    assert found["peak_memory_bytes"] > 0
    single, batch = found["cases"]
    assert [single["items"], batch["items"]] == [1, 8]
    for case in (single, batch):
        assert (case["name"], case["unit"], case["rows"]) == (case["method"], "window", None)
        assert len(case["times_ms"]) == 4
        assert case["first_ms"] > 0
        # The nearest ranks of four.
        ordered = sorted(case["times_ms"])
        assert [case["p50_ms"], case["p90_ms"], case["p99_ms"]] == [ordered[2], ordered[3], ordered[3]]
        assert "operators" not in case
    (alone,) = bench(pump_bundle, "--method", batch["method"])["cases"]
    assert alone["name"] == batch["name"]


def test_cases_of_other_tasks(bench, local_bundle, wide_bundle):
    cases = bench(local_bundle, "--warmup", 0, runs=1)["cases"]
    assert [(case["items"], case["unit"]) for case in cases] == [(1, "frame"), (3, "frame"), (1, "frame"), (3, "frame")]
    assert [case["unit"] for case in bench(wide_bundle, "--warmup", 0, runs=1)["cases"]] == ["call", "call"]


def test_cases_of_a_text(bench, text_bundle):
    """The context is 96 and a chunk 16: of 200 tokens, some come after another prompt."""
    prompt, token = bench(text_bundle, "--warmup", 0, runs=200)["cases"]
    assert [prompt[key] for key in ("name", "method", "rows", "items", "unit")] == ["prompt", "extend", 16, 16, "token"]
    assert [token[key] for key in ("name", "method", "rows", "items", "unit")] == ["token", "extend", 1, 1, "token"]
    assert len(token["times_ms"]) == 200
    assert len(bench(text_bundle, "--method", "extend", runs=1)["cases"]) == 2
    (reset,) = bench(text_bundle, "--method", "reset", runs=1)["cases"]
    assert (reset["name"], reset["unit"]) == ("reset", "call")


def test_cases_of_a_text_with_features(bench, explained_bundle):
    prompt, token, explain = bench(explained_bundle, "--warmup", 0, runs=100)["cases"]
    assert [prompt[key] for key in ("name", "method", "rows", "items", "unit")] == ["prompt", "extend", 16, 16, "token"]
    assert [token[key] for key in ("name", "method", "rows", "items", "unit")] == ["token", "extend", 1, 1, "token"]
    assert [explain[key] for key in ("name", "method", "rows", "items", "unit")] == [
        "explain",
        "explain",
        1,
        1,
        "token",
    ]
    assert len(explain["times_ms"]) == 100
    assert len(bench(explained_bundle, "--method", "extend", runs=1)["cases"]) == 2
    assert [case["rows"] for case in bench(explained_bundle, "--method", "explain", runs=1)["cases"]] == [16]
    for case in bench(explained_bundle, "--operators", runs=4)["cases"]:
        check_covered(case)


def test_moments(bench, pump_bundle):
    found = bench(pump_bundle)
    moments = found["memory_timeline"]
    names = [case["method"] for case in found["cases"]]
    labels = ["start", "opened", *(f"loaded {name}" for name in names), *(f"first run of {name}" for name in names)]
    assert [moment["label"] for moment in moments] == [*labels, "after runs", "peak"]
    times = [moment["at_ms"] for moment in moments]
    assert times == sorted(times)
    counted = {moment["label"]: moment["counted_bytes"] for moment in moments}
    assert counted["start"] < counted["opened"] < counted[labels[-1]] <= counted["peak"] == max(counted.values())
    assert counted["peak"] == found["memory"]["peak"] - (found["memory"]["libraries"] or 0)
    resident = [moment["resident_bytes"] for moment in moments]
    if None not in resident:  # an emulator does not tell
        assert max(resident) == resident[-1]
        assert 0 <= resident[-1] - found["peak_memory_bytes"] < 1_000_000  # a moment before


def test_operators(bench, pump_bundle):
    found = bench(pump_bundle, "--operators", runs=12)
    program = read_program((pump_bundle / "program.pte").read_bytes())
    for case in found["cases"]:
        (method,) = (method for method in program.methods if method.name == case["method"])
        top = check_covered(case)
        assert [event["index"] for event in top] == list(range(len(method.calls)))
        assert [event["name"] for event in top] == [
            call.operator if call.delegate is None else "XnnpackBackend" for call in method.calls
        ]
        assert [event["kind"] == "delegate" for event in top] == [call.delegate is not None for call in method.calls]
        assert 0 < case["operators"]["runs"] <= 12
        assert case["operators"]["untraced_p50_ms"] > 0
        assert any("Fully Connected" in event["name"] for event in case["operators"]["events"])


def test_operators_of_a_text(bench, text_bundle):
    prompt, token = bench(text_bundle, "--operators", runs=8)["cases"]
    for case in (prompt, token):
        names = [event["name"] for event in check_covered(case) if event["kind"] == "operator"]
        assert set(names) >= OURS
        assert names.count("edgekit::sea_estimate.out") == 2  # a layer each
    # A prompt's chunk is more work than a token.
    share = [
        sum(event["us"] for event in case["operators"]["events"] if event["name"] in OURS) for case in (prompt, token)
    ]
    assert share[0] > share[1]


#: Runs one method of a program on zeros with ETDump, which a process can do once only beside its own runtime.
_ETDUMP = """
import json, sys
import torch
import executorch.runtime
from executorch.devtools import Inspector
from edgekit.kernels.native import load_executorch_binding

path, method, folder, *shapes = sys.argv[1:]
load_executorch_binding()
program = executorch.runtime.Runtime.get().load_program(path, enable_etdump=True)
inputs = [torch.zeros(json.loads(shape), dtype=getattr(torch, kind)) for kind, shape in zip(shapes[::2], shapes[1::2])]
program.load_method(method).execute(inputs)
program.write_etdump_result_to_file(folder + "/etdump", folder + "/debug")
(block,) = [block for block in Inspector(etdump_path=folder + "/etdump").event_blocks if block.name == "Execute"]
print(json.dumps([[event.name, event.is_delegated_op, event.start_time[0]] for event in block.events]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("fixture", ["pump_bundle", "text_bundle"])
def test_the_same_events_as_etdump(bench, fixture, request, tmp_path):
    """ExecuTorch's own profiler is the reference: the same calls, with the same steps inside each."""
    if "aarch64" in request.node.name:
        pytest.skip("ExecuTorch's Python package is this machine's")
    bundle = request.getfixturevalue(fixture)
    case = bench(bundle, "--operators", runs=2)["cases"][0]
    shapes = []
    for entry in json.loads((bundle / "manifest.json").read_text())["programs"][0]["methods"]:
        if entry["name"] == case["method"]:
            for spec in entry["inputs"]:
                shapes += [spec["dtype"], json.dumps([1] if spec["name"] == "rows" else spec["shape"])]
    command = [sys.executable, "-c", _ETDUMP, bundle / "program.pte", case["method"], tmp_path, *shapes]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wanted, steps = [], []
    # ETDump has the steps of a call before the call, and what a kernel says of itself before the instruction.
    for name, is_inside, start in json.loads(done.stdout.splitlines()[-1]):
        if is_inside:
            steps.append(re.sub(r" #\d+$", "", name))
        elif name in ("DELEGATE_CALL", "OPERATOR_CALL"):
            wanted.append((start, name, steps))
            steps = []
    events = case["operators"]["events"]
    found = [
        (
            "DELEGATE_CALL" if event["kind"] == "delegate" else "OPERATOR_CALL",
            [inside["name"] for inside in events if inside["parent"] == event["id"]],
        )
        for event in events
        if event["parent"] is None
    ]
    assert len(found) > 1
    assert found == [(name, inside) for _, name, inside in sorted(wanted)]


def test_for_people(edgekit_run, text_bundle):
    done = edgekit_run(text_bundle, "--bench", 6, "--operators", "--threads", 1)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("6 runs after 5, 1 threads; loaded in ")
    assert sum(line.startswith(("prompt: ", "token: ")) and "tokens/s" in line for line in lines) == 2
    shares = [float(match[1]) for line in lines if (match := re.search(r" ([\d.]+) % +\d+  \S", line))]
    # Ten a case, dearest first.
    assert len(shares) == 20
    assert shares[:10] == sorted(shares[:10], reverse=True)
    assert any("edgekit::sea_estimate.out" in line for line in lines)


def test_cores(bench, pump_bundle):
    first = min(os.sched_getaffinity(0))
    mask = f"{1 << first:x}"
    found = bench(pump_bundle, "--cpu-mask", f"0x{mask.upper()}", runs=1)
    assert (found["cpu_mask"], found["threads"]) == (mask, 1)
    found = bench(pump_bundle, "--cpu-mask", mask, "--threads", 2, runs=1)
    assert (found["cpu_mask"], found["threads"]) == (mask, 2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--bench", "--warmup", "-1"), "--warmup -1: give a whole number, 0 or more"),
        (("--warmup", "3"), "--warmup belongs to --bench"),
        (("--operators",), "--operators belongs to --bench"),
        (("--bench", "--cpu-mask", "xyz"), "--cpu-mask xyz: give cores in hexadecimal"),
        (("--bench", "--cpu-mask", "0"), "--cpu-mask 0: give cores in hexadecimal"),
        (("--bench", "--cpu-mask", "f" * 200), "are not among them: give others"),
        (("--bench", "--cpu-mask", "f" * 2000), "there is no core"),
        (("--bench", "--method", "other"), "there is no method 'other'"),
    ],
)
def test_requests_that_make_no_sense(edgekit_run, pump_bundle, options, says):
    done = edgekit_run(pump_bundle, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.startswith("edgekit-run: error: ")
    assert done.stderr.count("\n") == 1


#: As a Raspberry Pi 5 has them, and a board that was slowed down: files of sysfs and what is read of them.
SYSFS = {
    "class/thermal/thermal_zone0/type": "cpu-thermal",
    "class/thermal/thermal_zone0/temp": "51250",
    "class/thermal/thermal_zone1/type": "cpu-thermal",
    "class/thermal/thermal_zone1/temp": "49000",
    "class/thermal/thermal_zone2/temp": "",
    "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000",
    "devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "2400000",
    "devices/system/cpu/cpu3/cpufreq/scaling_cur_freq": "2400000",
    "devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled": "50000",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "throttled"),
    [
        ({}, False),  # it was, before
        ({"devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled": "50004"}, True),
        ({"devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled": None}, None),
    ],
)
def test_what_sysfs_tells(emulated_device, pump_bundle, tmp_path, changed, throttled):
    """An emulated device has the files that its folder has."""
    root = tmp_path / "root"
    command = emulator(root)
    for name, text in (SYSFS | changed).items():
        if text is not None:
            (root / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
            (root / "sys" / name).write_text(text + "\n")
    for name, path in native_files("aarch64").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, tmp_path / name)
    (tmp_path / "edgekit-run").chmod(0o755)
    words = [*command, str(tmp_path / "edgekit-run"), str(pump_bundle), "--bench", "1", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={})
    telemetry = json.loads(done.stdout)["telemetry"]
    sample = telemetry["after"]
    assert telemetry["before"] == sample
    assert sample["temperature_c"] == {"cpu-thermal": 51.25, "cpu-thermal thermal_zone1": 49.0}
    assert sample["clock_mhz"] == {"cpu0": 1500.0, "cpu3": 2400.0}
    assert sample["max_clock_mhz"] == {"cpu0": 2400.0}
    assert telemetry["throttled"] is throttled
    bits = {} if throttled is None else {"get_throttled": 0x50004 if throttled else 0x50000}
    assert sample["throttle_counts"] == bits
