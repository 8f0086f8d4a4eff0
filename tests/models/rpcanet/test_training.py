"""Training: its loss, its crops, and that an interrupted run ends where an uninterrupted one does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.rpcanet.checkpoint import load_checkpoint, save_checkpoint
from edgekit.models.rpcanet.config import RPCANetConfig
from edgekit.models.rpcanet.data import load_dataset
from edgekit.models.rpcanet.module import RPCANet
from edgekit.models.rpcanet.training import Images, TrainingOptions, _augmented, _batches, _corner, losses, train

TINY = RPCANetConfig(2, True, 8, 7)
OPTIONS = TrainingOptions(
    epochs=3, batch=3, learning_rate=1e-3, size=(32, 32), crop=16, whole_frames=1, average=0.5, held_out=3
)


class InterruptionError(Exception):
    pass


@pytest.fixture
def pairs(generated):
    return load_dataset(generated).part("train")


def test_loss_is_the_formula():
    torch.manual_seed(0)
    module = RPCANet(TINY).train()
    images, masks = torch.rand(3, 1, 16, 20), (torch.rand(3, 1, 16, 20) < 0.1).float()
    found = losses(module, images, masks)
    with torch.no_grad():
        last = module.decompose(images)[-1]
    overlaps = []
    for target, mask in zip(last.target.numpy(), masks.numpy(), strict=True):
        p, y = 1 / (1 + np.exp(-target)), mask
        overlaps.append(((p * y).sum() + 1) / (p.sum() + y.sum() - (p * y).sum() + 1))
    assert float(found.soft_iou) == pytest.approx(1 - np.mean(overlaps), rel=1e-5)
    error = float(((last.restored - images) ** 2).mean())
    assert float(found.restoration) == pytest.approx(error, rel=1e-5)
    assert float(found.total) == pytest.approx(float(found.soft_iou) + 0.01 * error, rel=1e-5)


def test_resumed_run_is_the_uninterrupted_one(tmp_path, pairs):
    whole = train(pairs, TINY, OPTIONS, tmp_path / "whole.pt", "frames")

    def stop(report):
        if report.epoch < 3:
            raise InterruptionError

    epochs = []
    for _ in range(2):
        with pytest.raises(InterruptionError):
            train(pairs, TINY, OPTIONS, tmp_path / "parts.pt", "frames", on_epoch=stop)
        torch.rand(7)  # whatever else draws numbers in between
    parts = train(pairs, TINY, OPTIONS, tmp_path / "parts.pt", "frames", on_epoch=lambda r: epochs.append(r.epoch))
    assert epochs == [3]
    assert parts.training == whole.training
    for name, value in whole.module.state_dict().items():
        assert torch.equal(parts.module.state_dict()[name], value), name
    # The last state too, not only the best.
    last = [torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "parts.pt")]
    for name, value in last[0]["module"].items():
        assert torch.equal(last[1]["module"][name], value), name
    assert torch.equal(last[0]["random"], last[1]["random"])


def test_it_learns_and_keeps_the_best(tmp_path, pairs):
    reports = []
    options = replace(OPTIONS, epochs=12, learning_rate=3e-3, crop=None, validate_every=3)
    checkpoint = train(pairs, TINY, options, tmp_path / "state.pt", "frames", on_epoch=reports.append)
    assert [report.epoch for report in reports if report.held_out] == [3, 6, 9, 12]
    assert reports[-1].soft_iou < reports[0].soft_iou - 0.05
    best = max((report for report in reports if report.held_out), key=lambda report: report.held_out.iou)
    assert checkpoint.training["held_out_iou"] == pytest.approx(best.held_out.iou, abs=1e-6)
    assert checkpoint.training["epoch"] == best.epoch == reports[-1].best_epoch
    assert checkpoint.training["images"] == 7
    assert not checkpoint.module.training
    save_checkpoint(checkpoint, tmp_path / "tiny.safetensors")
    assert load_checkpoint(tmp_path / "tiny.safetensors").training["data"] == "frames"


def test_learning_rate_falls_to_zero(tmp_path, pairs):
    train(pairs, TINY, replace(OPTIONS, epochs=2), tmp_path / "state.pt", "frames")
    (group,) = torch.load(tmp_path / "state.pt", weights_only=True)["optimizer"]["param_groups"]
    # The last of 2 x 3 steps: 7 images in batches of 3, the last one of a single image left out.
    assert group["lr"] == pytest.approx(1e-3 * (1 - 3 / 4) ** 0.9)
    assert (group["betas"], group["weight_decay"]) == ((0.9, 0.999), 0)


def test_running_mean_of_the_weights(tmp_path, pairs):
    """Against the mean of the weights of every step, from a run that keeps those of the last; one step an epoch."""
    options = replace(OPTIONS, epochs=3, batch=7)
    path, steps = tmp_path / "state.pt", []

    def keep(report):
        steps.append(torch.load(path, weights_only=True))

    last = train(pairs, TINY, replace(options, average=0.0), path, "frames", on_epoch=keep).module.state_dict()
    assert any(all(torch.equal(step["module"][name], last[name]) for name in last) for step in steps)
    train(pairs, TINY, options, tmp_path / "mean.pt", "frames")
    mean = torch.load(tmp_path / "mean.pt", weights_only=True)["average"]
    for name, value in last.items():
        if value.is_floating_point():
            first, second, third = (step["module"][name] for step in steps)
            torch.testing.assert_close(mean[f"module.{name}"], first / 4 + second / 4 + third / 2)


def test_the_last_epochs_see_whole_frames(tmp_path, pairs, monkeypatch):
    sizes = []

    def seen(module, images, masks):
        sizes.append(tuple(images.shape[2:]))
        return losses(module, images, masks)

    monkeypatch.setattr("edgekit.models.rpcanet.training.losses", seen)
    train(pairs, TINY, replace(OPTIONS, epochs=3, whole_frames=2), tmp_path / "state.pt", "frames")
    assert sizes == [(16, 16)] * 2 + [(32, 32)] * 4


def test_batches():
    assert _batches(7, 3) == [slice(0, 3), slice(3, 6)]
    assert _batches(8, 3) == [slice(0, 3), slice(3, 6), slice(6, 8)]


def test_crops():
    """Half of them have an object in the middle; all are inside, and image and mask stay together."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(40, 60, dtype=torch.bool)
    mask[19, 31] = True
    corners = [_corner(mask, 16, generator) for _ in range(400)]
    assert 0.4 < np.mean([corner == (11, 23) for corner in corners]) < 0.6
    others = np.array([corner for corner in corners if corner != (11, 23)])
    assert others.min(axis=0).tolist() == [0, 0]
    assert others.max(axis=0).tolist() == [24, 44]
    mask[:] = False
    mask[39, 0] = True
    assert (24, 0) in [_corner(mask, 16, generator) for _ in range(20)]
    data = Images(torch.rand(2, 1, 40, 60), torch.empty(2, 1, 40, 60, dtype=torch.bool))
    data = data._replace(masks=data.images > 0.9)
    flips = set()
    for _ in range(40):
        images, masks = _augmented(data, torch.tensor([1, 0]), None, generator)
        assert images.shape == (2, 1, 40, 60)
        assert torch.equal(masks, (images > 0.9).float())
        flips.add(images[0, 0, 0, 0].item())
    assert len(flips) == 4
    square, _ = zip(*(_augmented(data, torch.tensor([0]), 40, generator) for _ in range(40)), strict=True)
    assert all(image.shape == (1, 1, 40, 40) for image in square)


def test_bad_requests(tmp_path, pairs):
    with pytest.raises(UsageError, match="10 pairs: 3 are held out and 8 make one batch"):
        train(pairs, TINY, replace(OPTIONS, batch=8), tmp_path / "state.pt", "frames")
    with pytest.raises(UsageError, match="batch of 2 or more"):
        replace(OPTIONS, batch=1)
    with pytest.raises(UsageError, match=r"an average of 0 or more and below 1, not 1\.0"):
        replace(OPTIONS, average=1.0)
    with pytest.raises(UsageError, match="0 or more epochs of whole frames, not -1"):
        replace(OPTIONS, whole_frames=-1)
    with pytest.raises(UsageError, match="crops of 64 do not fit frames of 32x32"):
        replace(OPTIONS, crop=64)


def test_bad_states(tmp_path, pairs):
    path = tmp_path / "state.pt"
    train(pairs, TINY, replace(OPTIONS, epochs=1), path, "frames")
    with pytest.raises(EdgekitError, match="with other data or settings"):
        train(pairs, TINY, OPTIONS, path, "frames")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EdgekitError, match="is damaged"):
        train(pairs, TINY, replace(OPTIONS, epochs=1), path, "frames")
