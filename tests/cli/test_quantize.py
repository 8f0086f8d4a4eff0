"""`edgekit quantize`, and `--max-drop` of `edgekit export`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgekit.bundle import Bundle
from edgekit.models.stackvae_g.checkpoint import load_checkpoint, save_checkpoint

from .refusals import refuse

CACHE = "planted.safetensors.int8.sensitivity.json"


@pytest.fixture(autouse=True)
def generated_data(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGEKIT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def planted(pump_checkpoint, tmp_path_factory) -> Path:
    """The pump's model with half of the features of dec1 ten thousand times as wide, which dec2 undoes: the
    same answers in fp32, and int8 between the two loses the other half."""
    checkpoint = load_checkpoint(pump_checkpoint)
    module = checkpoint.module
    with torch.no_grad():
        half = slice(None, None, 2)
        module.dec1.weight[half] *= 1e4
        module.dec1.bias[half] *= 1e4
        module.dec2.weight[:, half] /= 1e4
    path = tmp_path_factory.mktemp("planted") / "planted.safetensors"
    save_checkpoint(replace(checkpoint, module=module), path)
    return path


@pytest.fixture
def quantize(cli, pump_checkpoint):
    def call(*arguments: object, checkpoint: Path = pump_checkpoint):
        return cli("quantize", "stackvae-g", "--recipe", "int8", "--checkpoint", checkpoint, *arguments)

    return call


def test_a_quick_look(quantize, pump_checkpoint):
    result = quantize()
    assert result.code == 0
    for said in ("ROC AUC", "PR AUC", "at most 0.002 below", "forward/reconstruction", "Accuracy gate: "):
        assert said in result.out
    assert "Measured on: generated telemetry with planted faults, 3,985 rows." in result.out
    last = f"Next: edgekit export stackvae-g --checkpoint {pump_checkpoint} --device linux-x86_64 --recipe int8"
    assert result.out.splitlines()[-1] == last
    assert "quantize stackvae-g: eager fp32" in result.err


@pytest.mark.slow
def test_sensitivity_is_measured_drawn_and_kept(quantize, planted, tmp_path):
    result = quantize("--sensitivity", "--picture", tmp_path / "picture.png", checkpoint=planted)
    assert result.code == 0
    assert "sensitivity of stackvae-g: latent (2 of " in result.err
    rows = [line.split()[0] for line in result.out.splitlines() if "dB" in line]
    assert rows[0] == "all"
    assert set(rows[1:3]) == {"dec1", "dec2"}
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.width > 800
        assert len(np.unique(np.asarray(picture).reshape(-1, len(picture.getbands())), axis=0)) > 10
    again = quantize("--sensitivity", "--json", "-q", checkpoint=planted)
    assert (again.code, again.err) == (0, "")
    found = json.loads(again.out)
    kept = json.loads((planted.parent / CACHE).read_text())
    assert found["sensitivity"] == kept["sensitivity"]
    assert {cost["block"] for cost in kept["sensitivity"]["blocks"]} == {
        "enc2",
        "latent",
        "mix",
        "dec1",
        "dec2",
    }
    assert found["accuracy"]["metrics"][0]["name"] == "ROC AUC"
    (planted.parent / CACHE).write_text("a shopping list")
    third = quantize("--sensitivity", checkpoint=planted)
    assert (third.code, third.out.splitlines()[:-1]) == (0, result.out.splitlines()[:-2])
    assert "holds no sensitivity" in third.err
    assert (planted.parent / CACHE).read_text() == "a shopping list"
    (planted.parent / CACHE).unlink()


@pytest.mark.slow
def test_a_drop_is_held_by_keeping_what_is_sensitive(cli, planted, tmp_path):
    """Two of the five blocks: what is between them is rounded with either."""
    request = ("stackvae-g", "--checkpoint", planted, "--recipe", "int8", "--json")
    found = json.loads(cli("quantize", *request, "--max-drop", "1%", "-q").out)
    mixture = found["mixture"]
    assert set(mixture["kept"]) >= {"dec1", "dec2"}
    assert [item["holds"] for item in mixture["tries"][:2]] == [False, False]
    assert (found["recipe"], mixture["recipe"]) == ("int8-mixed", "int8-mixed")
    options = ("--device", "linux-x86_64", "--no-native", "-o", tmp_path / "out")
    result = cli("export", *request, *options, "--max-drop", "1%")
    assert result.code == 0
    (row,) = json.loads(result.out)["bundles"]
    assert row["mixture"]["kept"] == mixture["kept"]
    bundle = Bundle.open(tmp_path / "out" / "stackvae-g-planted-linux-x86_64-int8-mixed")
    metric = bundle.manifest["accuracy"]["metric"]
    assert metric["max_drop"] == pytest.approx(0.01 * metric["eager"], rel=1e-4)
    assert metric["eager"] - metric["program"] <= metric["max_drop"]
    # Without the option the same checkpoint misses its gate, and has no bundle.
    refused = cli("export", *request, *options, "-q")
    refuse(refused, 3, "misses its accuracy gate")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [bundle.name]


def test_a_drop_that_holds_keeps_nothing(quantize):
    result = quantize("--max-drop", "1000%", "-q")
    assert result.code == 0
    assert (
        "stackvae-g in int8, at most 1000% worse than eager, kept in fp32: nothing (tried: kept 0: ROC AUC"
        in result.out
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--recipe", "fp32"), "fp32 rounds nothing"),
        (("--recipe", "fp32", "--max-drop", "1%"), "fp32 rounds nothing"),
        (("--max-drop", "little"), "'little' is no drop: write a percentage"),
        (("--max-drop", "-1%"), "'-1%' is no drop: write a percentage"),
        (("--picture", "a.png"), "give --sensitivity too"),
        (("--sensitivity", "--picture", "a.jpg"), "let it end in .png"),
        (("--sensitivity", "--picture", "missing/a.png"), "does not exist"),
        (("--by-layer",), "--by-layer is for"),
        (("--device", "jetsen"), "did you mean"),
        (("--recipe", "int9"), "did you mean"),
        (("--kv", "int8"), "has no KV cache"),
        (("--checkpoint", "missing.safetensors"), "there is no checkpoint"),
    ],
)
def test_what_is_refused(quantize, arguments: tuple[str, ...], says: str):
    refuse(quantize(*arguments), 2, says)


def test_data_that_does_not_fit_is_refused(quantize, tmp_path):
    arrays = {
        "short": {"train": np.zeros((3, 5), np.float32)},
        "narrow": {"train": np.zeros((600, 4), np.float32)},
        "empty": {"train": np.zeros((0, 5), np.float32)},
    }
    for name, values in arrays.items():
        np.savez(tmp_path / f"{name}.npz", **values)
        result = quantize("--data", tmp_path / f"{name}.npz", "-q")
        assert result.code in (1, 2), name
        assert result.err.startswith("edgekit: error: ")
        assert result.err.count("\n") == 1
    refuse(quantize("--data", tmp_path / "missing.npz"), 2, "there is no")


def test_export_takes_a_drop_for_what_rounds_only(cli, pump_checkpoint, tmp_path):
    request = ("export", "stackvae-g", "--checkpoint", pump_checkpoint, "--device", "jetson", "-o", tmp_path / "out")
    refuse(cli(*request, "--recipe", "fp32", "--max-drop", "1%"), 2, "fp32 rounds nothing")
    refuse(cli(*request, "--max-drop", "x"), 2, "is no drop")
    assert not (tmp_path / "out").exists()
