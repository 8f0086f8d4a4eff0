"""A short run of every fuzzer with a fixed seed; the long one is `python -m tests.fuzz` (docs/reliability.md)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit_runtime import EdgekitError, Session

from . import fuzzers
from .__main__ import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if "EDGEKIT_FUZZ" not in os.environ:
        pytest.skip("builds for minutes, which CI does not yet have: set EDGEKIT_FUZZ=1")
    if reason := fuzzers.missing_compiler():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("fuzzers")
    fuzzers.build(folder)
    return folder


def check(name: str, built: Path, executions: int, folder: Path) -> None:
    outcome = fuzzers.run(name, built, executions, 1, folder)
    assert outcome.found == ""
    assert outcome.artifacts == ()
    assert outcome.executions >= executions


@pytest.mark.parametrize("name", [*fuzzers.PARSERS, *(f"load_{bundle}" for bundle in fuzzers.LOADS)])
def test_native(name: str, built: Path, tmp_path: Path):
    check(name, built, 200 if name.startswith("load_") else 1000, tmp_path)


@pytest.mark.parametrize("name", fuzzers.PYTHON)
def test_python(name: str, tmp_path: Path):
    if reason := fuzzers.missing_atheris():
        pytest.skip(reason)
    check(name, tmp_path, 100, tmp_path)


@pytest.mark.parametrize("bundle", fuzzers.LOADS)
def test_seeds_are_bundles(bundle: str):
    assert Session(fuzzers.HERE / "bundles" / bundle).methods


def test_an_unknown_fuzzer(capsys: pytest.CaptureFixture[str]):
    assert main(["--only", "letters"]) == 2
    assert "there is no fuzzer 'letters': known are csv" in capsys.readouterr().err


def deep(fields: dict[str, Any], name: str) -> None:
    """A field that nests 500 lists: Python's own JSON still writes that."""
    value: list[Any] = []
    for _ in range(500):
        value = [value]
    fields[name] = value


@pytest.mark.parametrize("name", ["tools", "model"])
def test_a_manifest_that_nests_too_deep(name: str, resealed: Callable[..., Path]):
    bundle = resealed(
        fuzzers.HERE / "bundles" / "anomalies", lambda _, fields: deep(fields.setdefault(name, {}), "deep")
    )
    with pytest.raises(EdgekitError, match=r"manifest.json is damaged: copy the bundle again\.$"):
        Session(bundle)


@pytest.mark.parametrize(
    ("side", "field", "value"),
    [
        ("outputs", "shape", [1, 2]),
        ("outputs", "shape", [3]),
        ("outputs", "dtype", "uint8"),
        ("inputs", "shape", [1, 3, 5]),
        ("inputs", "dtype", "int32"),
    ],
)
def test_a_program_that_is_not_what_its_manifest_says(side: str, field: str, value: Any, resealed: Callable[..., Path]):
    def change(_: Path, fields: dict[str, Any]) -> None:
        (tensor,) = fields["programs"][0]["methods"][0][side]
        assert tensor[field] != value
        tensor[field] = value

    bundle = resealed(fuzzers.HERE / "bundles" / "anomalies", change)
    with pytest.raises(EdgekitError, match=r"has another method 'forward' than its manifest says: export it again\.$"):
        Session(bundle)
