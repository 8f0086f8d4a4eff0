"""`edgekit train`: checkpoint, card and picture per entity; nothing trained is trained over."""

import json

import numpy as np
import pytest

from edgekit.models.stackvae_g.checkpoint import load_checkpoint

SMALL = ("--epochs", 1, "-q", "--set", "window=16", "--set", "hidden=8", "--set", "latent=4")


def test_one_checkpoint_per_entity(cli, pump_data, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("left", "right"):
        (folder / f"{name}.npz").write_bytes(pump_data.read_bytes())
    result = cli("train", "stackvae-g", "--data", folder, "-o", tmp_path / "runs", *SMALL, "--json")
    assert (result.code, result.err) == (0, "")
    expected = {f"{name}.{kind}" for name in ("left", "right") for kind in ("safetensors", "md", "graph.png")}
    assert {path.name for path in (tmp_path / "runs").iterdir()} == expected
    paths = json.loads(result.out)["checkpoints"]
    assert [load_checkpoint(path).module.config.window for path in map(tmp_path.joinpath, paths)] == [16, 16]
    card = (tmp_path / "runs" / "left.md").read_text()
    assert "ROC AUC" in card
    assert "--seed 0" in card
    assert str(tmp_path) not in card

    before = (tmp_path / "runs" / "left.safetensors").read_bytes()
    (tmp_path / "runs" / "right.safetensors").unlink()
    again = cli("train", "stackvae-g", "--data", folder, "-o", tmp_path / "runs", *SMALL, "--set", "seed_=1")
    assert again.code == 2
    again = cli("train", "stackvae-g", "--data", folder, "-o", tmp_path / "runs", *SMALL, "--seed", 1)
    assert again.code == 0
    assert (tmp_path / "runs" / "left.safetensors").read_bytes() == before
    assert (tmp_path / "runs" / "right.safetensors").read_bytes() != before


def test_a_file_that_exists_is_kept(cli, pump_data, pump_checkpoint):
    before = pump_checkpoint.read_bytes()
    result = cli("train", "stackvae-g", "--data", pump_data, "-o", pump_checkpoint, *SMALL)
    assert (result.code, result.out) == (2, "")
    assert "or train again with --force" in result.err
    assert pump_checkpoint.read_bytes() == before


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("window=wide", "'wide' is not a whole number"),
        ("window=-1", "window"),
        ("batch=0", "batch"),
        ("learning_rate=nan", "above 0"),
        ("window", "write NAME=VALUE"),
    ],
)
def test_settings_that_do_not_fit(cli, pump_data, tmp_path, setting: str, says: str):
    result = cli("train", "stackvae-g", "--data", pump_data, "-o", tmp_path / "runs", "--set", setting)
    assert (result.code, result.out) == (2, "")
    assert says in result.err
    assert not (tmp_path / "runs").exists()


def test_data_without_variation_or_rows(cli, tmp_path):
    np.save(tmp_path / "short.npy", np.zeros((10, 3), np.float32))
    result = cli("train", "stackvae-g", "--data", tmp_path / "short.npy", "-o", tmp_path / "runs")
    assert (result.code, result.out) == (1, "")
    assert "rows" in result.err


def test_a_run_that_was_stopped_before_its_card_goes_on(cli, pump_data, tmp_path, monkeypatch):
    from edgekit.models.stackvae_g import train

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    words = ("train", "stackvae-g", "--data", pump_data, "-o", tmp_path / "pump.safetensors", *SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(train, "card_text", stop)
        assert cli(*words).code == 130
    before = (tmp_path / "pump.safetensors").read_bytes()
    assert cli(*words).code == 0
    assert (tmp_path / "pump.safetensors").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pump.graph.png", "pump.md", "pump.safetensors"]
    assert cli(*words).code == 2  # now it is whole
