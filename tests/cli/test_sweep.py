"""`edgekit sweep`: a small model, exported and measured by its runner, and what a second call does not repeat."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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


def results(folder: Path) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in (folder / "results").iterdir()}


def test_every_bundle_is_measured(swept: tuple[Path, list[Any]]) -> None:
    folder, _ = swept
    found = results(folder)
    assert sorted(result["job"]["recipe"] for result in found.values()) == ["fp32", "int8"]
    for result in found.values():
        bundle = folder / result["bundle"]["path"]
        size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
        assert result["bundle"]["bytes"] == size
        assert result["error"] is None
        assert result["bench"]["runs"] == 3
        assert 0 < result["bench"]["p50_ms"] <= result["bench"]["p99_ms"]
        # The process holds its libraries and the program at least.
        assert result["bench"]["peak_memory_bytes"] > (bundle / "program.pte").stat().st_size
        session = Session(bundle)
        session.run(*(np.zeros(spec.shape, spec.dtype) for spec in session.methods[0].inputs))


def test_it_goes_on_where_it_was(swept: tuple[Path, list[Any]], cli: Callable[..., Any]) -> None:
    folder, command = swept
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    again = cli(*(word for word in command if word != "-q"))
    assert again.code == 0
    assert again.err.count("there already") == 2
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
    assert again.out.count("stackvae-g") >= 2
    assert " ms" in again.out


def test_a_damaged_result_or_bundle_is_made_anew(swept: tuple[Path, list[Any]], cli: Callable[..., Any]) -> None:
    folder, command = swept
    damaged, other = sorted((folder / "results").iterdir())
    good = json.loads(damaged.read_text())
    damaged.write_text(damaged.read_text()[:50])
    kept = other.stat().st_mtime_ns
    assert cli(*command).code == 0
    assert json.loads(damaged.read_text())["bundle"] == good["bundle"]  # the same bundle, byte for byte
    assert other.stat().st_mtime_ns == kept


def test_json_has_what_the_folder_has(swept: tuple[Path, list[Any]], cli: Callable[..., Any]) -> None:
    folder, command = swept
    printed = json.loads(cli(*command, "--json").out)["results"]
    assert sorted(result["job"]["name"] for result in printed) == sorted(results(folder))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--recipe", "int9"), "unknown recipe 'int9'"),
        (("--device", "linux-x87"), "unknown device"),
        (("stackvae-g", "--set", "window=3"), "no setting 'window'"),
        (("--checkpoint", "x.pkl"), "belongs to one model"),
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
