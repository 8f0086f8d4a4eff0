"""`edgekit explain evaluate`: tables of a small dictionary, the same as JSON, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.models.features.dictionary import Dictionary, Feature, LayerDictionary, fingerprint, save_dictionary
from edgekit.models.sea_opt.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

from ..models.snmf.small import LAYERS, atoms, small_opt, small_tokenizer, write_text
from .refusals import refuse

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, a dictionary of its last layer, and `text`."""
    folder = tmp_path_factory.mktemp("evaluate")
    save_checkpoint(Checkpoint(small_opt(), small_tokenizer(), {}), folder / "model.safetensors")
    module = load_checkpoint(folder / "model.safetensors").module
    layer = LayerDictionary(LAYERS, atoms(4), tuple(Feature(label=f"named {number}") for number in range(4)))
    save_dictionary(Dictionary(fingerprint(module), (layer,)), folder / "features.safetensors")
    (folder / "text").mkdir()
    write_text(folder / "text")
    return folder


def options(folder: Path) -> tuple[object, ...]:
    return (folder / "features.safetensors", "--checkpoint", folder / "model.safetensors", "--data", folder / "text")


@pytest.mark.slow
def test_tables_and_json(cli: Cli, folder: Path):
    result = cli("explain", "evaluate", *options(folder), "--json", "-q")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert len(found["detection"]["concepts"]) == 24
    assert [row["system"] for row in found["detection"]["systems"]][2:4] == ["DiffMeans", "neurons"]
    (gain,) = {row["gain_0.1"] for row in found["steering"]["systems"] if row["system"] == "feature"}
    result = cli("explain", "evaluate", *options(folder), "--markdown")
    assert result.code == 0
    assert f"layer {LAYERS}: done" in result.err
    lines = result.out.splitlines()
    assert lines[0].startswith("| layer | system | concepts | S_CD |")
    assert any(line.startswith(f"| {LAYERS} | feature | ") and f" {gain:.3f} |" in line for line in lines)
    assert "Next:" not in result.out
    result = cli("explain", "evaluate", *options(folder), "--layer", LAYERS, "-q")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[-1].startswith("Next: edgekit export sea-opt --checkpoint ")


def test_what_is_refused(cli: Cli, folder: Path, tmp_path: Path):
    file, _, model, _, text = options(folder)
    refuse(cli("explain", "evaluate", file, "--data", text, "-q"), 1, "is for another checkpoint than this one")
    refuse(cli("explain", "evaluate", *options(folder), "--layer", 1), 2, f"has no layer 1, but {LAYERS}")
    refuse(cli("explain", "evaluate", tmp_path / "none", "--data", text), 2, "there is no dictionary")
    refuse(cli("explain", "evaluate", model, "--data", text), 1, "is not a dictionary of this version")
    empty = tmp_path / "empty.txt"
    empty.write_text(" \n")
    refuse(cli("explain", "evaluate", file, "--checkpoint", model, "--data", empty, "-q"), 2, "holds no text")
    refuse(
        cli("explain", "evaluate", file, "--checkpoint", model, "--data", tmp_path / "no", "-q"),
        2,
        "there is no file or folder",
    )
