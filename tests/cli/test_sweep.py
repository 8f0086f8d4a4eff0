"""`edgekit sweep`: a small model, exported and measured by its runner, and what a second call does not repeat."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.devices.results import read_results
from edgekit_runtime import Session

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def swept(pump_checkpoint: Path, pump_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """The folder of a sweep of two recipes, and the command line."""
    from edgekit.cli.main import run

    folder = tmp_path_factory.mktemp("sweep")
    recipes = ("--recipe", "fp32", "--recipe", "int8", "--runs", 3)
    words = ["sweep", "stackvae-g", "--device", "linux-x86_64", "--checkpoint", pump_checkpoint, "--data", pump_data]
    command = [str(word) for word in (*words, *recipes, "-q", "-o", folder)]
    assert run(command) == 0
    return folder, command


def records(folder: Path) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in (folder / "jobs").iterdir()}


def test_every_bundle_is_measured(swept: tuple[Path, list[Any]]) -> None:
    folder, _ = swept
    found = records(folder)
    assert sorted(record["job"]["recipe"] for record in found.values()) == ["fp32", "int8"]
    measured = {result["bundle"]["name"]: result for result in read_results([folder]) if result["measured"]}
    for record in found.values():
        bundle = folder / record["bundle"]["path"]
        size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
        assert record["bundle"]["bytes"] == size
        assert (record["error"], record["failures"]) == (None, {})
        result = measured[bundle.name]
        (case,) = result["measured"]["cases"]
        assert len(case["times_ms"]) == 3
        assert 0 < case["p50_ms"] <= case["p99_ms"]
        assert result["operators"]
        # The process holds its libraries and the program at least.
        assert result["measured"]["peak_memory_bytes"] > (bundle / "program.pte").stat().st_size
        session = Session(bundle)
        session.run(*(np.zeros(spec.shape, spec.dtype) for spec in session.methods[0].inputs))


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_it_goes_on_where_it_was(swept: tuple[Path, list[Any]], cli: Callable[..., Any]) -> None:
    folder, command = swept
    before = files(folder)
    again = cli(*(word for word in command if word != "-q"))
    assert again.code == 0
    assert again.err.count("there already") == 2
    assert files(folder) == before
    assert again.out.count("stackvae-g") >= 2
    assert " ms" in again.out


def test_what_was_not_measured_yet_is_measured_alone(swept: tuple[Path, list[Any]], cli: Callable[..., Any]) -> None:
    folder, command = swept
    file = folder / "results.jsonl"
    lines = file.read_text().splitlines()
    lost = next(line for line in lines if json.loads(line)["measured"])
    file.write_text("".join(f"{line}\n" for line in lines if line != lost))
    bundles = {path: time for path, time in files(folder).items() if "bundles" in path.parts}
    assert cli(*command).code == 0
    assert {path: files(folder)[path] for path in bundles} == bundles
    (new,) = [line for line in file.read_text().splitlines() if line not in lines]
    assert json.loads(new)["bundle"] == json.loads(lost)["bundle"]


def test_a_damaged_record_or_bundle_is_made_anew(swept: tuple[Path, list[Any]], cli: Callable[..., Any]) -> None:
    folder, command = swept
    damaged, other = sorted((folder / "jobs").iterdir())
    good = json.loads(damaged.read_text())
    damaged.write_text(damaged.read_text()[:50])
    kept = other.stat().st_mtime_ns
    assert cli(*command).code == 0
    assert json.loads(damaged.read_text())["bundle"] == good["bundle"]  # the same bundle, byte for byte
    assert other.stat().st_mtime_ns == kept


def test_damaged_results_are_put_aside(swept: tuple[Path, list[Any]], cli: Callable[..., Any]) -> None:
    folder, command = swept
    (folder / "results.jsonl").write_text("{")
    assert cli(*command).code == 0
    assert sum(result["measured"] is not None for result in read_results([folder])) == 2
    assert (folder / "results.damaged").read_text() == "{"


def test_json_has_what_the_folder_has(swept: tuple[Path, list[Any]], cli: Callable[..., Any]) -> None:
    folder, command = swept
    printed = json.loads(cli(*command, "--json").out)
    assert sorted(record["job"]["name"] for record in printed["records"]) == sorted(records(folder))
    assert printed["results"] == read_results([folder])


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--recipe", "int9"), "unknown recipe 'int9'"),
        (("--device", "linux-x87"), "unknown device"),
        (("stackvae-g", "--set", "window=3"), "no setting 'window'"),
        (("--checkpoint", "x.pkl"), "belongs to one model"),
        (("--target", "telnet://board"), "telnet"),
        (("--target", "raspberry-pi-5=local"), "unknown --device of --target"),
    ],
)
def test_a_wrong_request_is_said_before_anything_is_made(
    words: tuple[str, ...], wanted: str, cli: Callable[..., Any], tmp_path: Path
) -> None:
    device = () if "--device" in words else ("--device", "linux-x86_64")
    result = cli("sweep", *words, *device, "-q", "-o", tmp_path / "out")
    assert result.code == 2
    assert wanted in result.err
    assert len(result.err.strip().splitlines()) == 1
