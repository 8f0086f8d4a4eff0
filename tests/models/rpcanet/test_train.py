"""`edgekit train rpcanet`: a checkpoint with its card; stopped runs go on; settings that do not fit are refused."""

from __future__ import annotations

import json
import re

import pytest
import torch

from edgekit.models.rpcanet.checkpoint import load_checkpoint
from edgekit.models.rpcanet.config import VARIANTS
from edgekit.models.rpcanet.data import load_dataset
from edgekit.models.rpcanet.metrics import score
from edgekit.models.rpcanet.train import train_entities
from edgekit.models.tasks import TrainRequest

SETTINGS = {"size": "32x32", "crop": "16", "batch": "2", "held-out": "2"}
OPTIONS = ("--epochs", 2, "-q", *(word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")))


class Watch:
    """A progress display that may stop the work."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after, self.steps = stop_after, 0

    def start(self, label: str, total: int, units: str = "steps") -> None: ...
    def done(self, note: str = "done") -> None: ...
    def say(self, text: str) -> None: ...

    def step(self, note: str, advance: int = 1) -> None:
        self.steps += 1
        if self.steps == self.stop_after:
            raise KeyboardInterrupt


def test_a_checkpoint_with_its_card_and_a_stopped_run_that_goes_on(cli, frames_data, tmp_path):
    result = cli("train", "rpcanet", "--data", frames_data, "-o", tmp_path / "runs", *OPTIONS, "--json")
    assert (result.code, result.err) == (0, "")
    whole = tmp_path / "runs" / "s1.safetensors"
    assert json.loads(result.out)["checkpoints"] == [str(whole)]
    assert {path.name for path in whole.parent.iterdir()} == {"s1.safetensors", "s1.md"}
    checkpoint = load_checkpoint(whole, "s1")
    assert checkpoint.module.config == VARIANTS["s1"]
    assert (checkpoint.training["data"], checkpoint.training["images"]) == ("frames, train part", 10)

    card = whole.with_suffix(".md").read_text()
    for words in ("10 images trained on, 2 held out", "--variant s1 --data frames -o RUNS --epochs 2 --seed 0"):
        assert words in card
    assert "authors chose their checkpoints on the test part" in card
    assert str(tmp_path) not in card
    # The metrics are those of the test part, computed once more.
    pairs = load_dataset(frames_data).part("test")
    answers = []
    with torch.no_grad():
        for pair in pairs:
            image, mask = pair.load((32, 32))
            answers.append((checkpoint.module(torch.from_numpy(image)[None, None])[0, 0].numpy(), mask))
    assert f"| eager fp32 | 32x32 | 4 | {100 * score(answers).iou:.2f} |" in card

    path = tmp_path / "stopped.safetensors"
    watch = Watch(stop_after=1)
    request = TrainRequest(frames_data, path, None, SETTINGS, 2, 0, False, watch)
    with pytest.raises(KeyboardInterrupt):
        train_entities(request)
    assert [file.name for file in tmp_path.glob("stopped*")] == ["stopped.state"]
    result = cli("train", "rpcanet", "--data", frames_data, "-o", path, *OPTIONS)
    assert result.code == 0
    assert sorted(file.name for file in tmp_path.glob("stopped*")) == ["stopped.md", "stopped.safetensors"]
    assert path.read_bytes() == whole.read_bytes()
    assert re.sub(r"stopped", "s1", path.with_suffix(".md").read_text()) == card

    # What is there is kept.
    result = cli("train", "rpcanet", "--data", frames_data, "-o", path, *OPTIONS, "--seed", 1)
    assert result.code == 2
    assert "or train again with --force" in result.err
    assert cli("train", "rpcanet", "--data", frames_data, "-o", whole.parent, *OPTIONS, "--seed", 1).code == 0
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("crops=16", "did you mean 'crop'"),
        ("crop=wide", "'wide' is not a whole number or none"),
        ("size=32", "'32' is not a size"),
        ("bfloat16=perhaps", "'perhaps' is not true or false"),
        ("batch=1", "a batch of 2 or more"),
        ("crop=300", "crops of 300 do not fit frames of 256x256"),
        ("learning-rate=nan", "finite and above 0"),
        ("size=8x8", "frames of 16x16 or more"),
        ("held-out=40", "12 pairs: 40 are held out"),
        ("device=abacus", "torch has no device 'abacus'"),
    ],
)
def test_settings_that_do_not_fit(cli, frames_data, tmp_path, setting: str, says: str):
    result = cli("train", "rpcanet", "--data", frames_data, "-o", tmp_path / "runs", "--set", setting, "-q")
    assert says in result.err
    assert (result.code, result.out) == (2, "")
    assert not (tmp_path / "runs").exists()


def test_an_unknown_variant(cli, frames_data, tmp_path):
    result = cli("train", "rpcanet", "--data", frames_data, "-o", tmp_path, "--variant", "s4")
    assert (result.code, result.out) == (2, "")
    assert "unknown variant of rpcanet 's4'" in result.err
