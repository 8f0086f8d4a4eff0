"""`edgekit evaluate rpcanet`: eager, bundles, pictures; data that cannot be measured."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from edgekit.models.rpcanet.checkpoint import load_checkpoint
from edgekit.models.rpcanet.data import load_dataset

from ...cli.refusals import refuse


def by_hand(checkpoint, data, size: tuple[int, int]) -> tuple[float, float]:
    """IoU and F1 in percent: sigmoid, over its maximum, above 0.5; pixels of all images together."""
    module = load_checkpoint(checkpoint).module
    hits = wrong = missed = 0
    for pair in load_dataset(data).part("test"):
        image, mask = pair.load(size)
        with torch.no_grad():
            probability = torch.sigmoid(module(torch.from_numpy(image)[None, None]))[0, 0].numpy()
        found = probability / probability.max() > 0.5
        hits += (found & mask).sum()
        wrong += (found & ~mask).sum()
        missed += (~found & mask).sum()
    return 100 * hits / (hits + wrong + missed), 200 * hits / (2 * hits + wrong + missed)


def test_eager_bundle_and_pictures(cli, local_checkpoint, frames_data, tmp_path):
    options = (
        "--checkpoint",
        local_checkpoint,
        "--recipe",
        "fp32",
        "--pictures",
        tmp_path / "pictures",
        "--json",
        "-q",
    )
    result = cli("evaluate", "rpcanet", "--data", frames_data, *options)
    assert (result.code, result.err) == (0, "")
    answer = json.loads(result.out)
    eager, bundle = answer["metrics"]
    assert [eager["system"], bundle["system"]] == ["eager fp32", "bundle fp32"]
    assert (eager["frame"], eager["images"]) == ("256x256", 4)
    iou, f1 = by_hand(local_checkpoint, frames_data, (256, 256))
    assert (eager["iou_percent"], eager["f1_percent"]) == pytest.approx((iou, f1))
    assert bundle["iou_percent"] == pytest.approx(iou, abs=0.05)
    assert [row["stage"] for row in answer["details"]] == [1]
    assert answer["notes"]
    names = [pair.name for pair in load_dataset(frames_data).part("test")]
    drawn = {f"{name}.{kind}.png" for name in names for kind in ("overlay", "stages")} | {"stages.png"}
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == drawn
    for path in (tmp_path / "pictures").iterdir():
        with Image.open(path) as picture:
            assert np.asarray(picture).std() > 10  # something is on it


def test_a_bundle_has_a_row_per_frame_size(cli, local_bundle, local_checkpoint, frames_data):
    result = cli("evaluate", local_bundle, "--data", frames_data, "--json", "-q")
    assert result.code == 0
    rows = json.loads(result.out)["metrics"]
    assert {row["frame"] for row in rows} == {"40x48", "64x56"}
    for row in rows:
        size = tuple(map(int, row["frame"].split("x")))
        assert row["iou_percent"] == pytest.approx(by_hand(local_checkpoint, frames_data, size)[0], abs=0.05)
    assert cli("evaluate", local_bundle, "--data", frames_data, "--markdown", "-q").out.startswith("| system | frame |")


def test_masks_without_objects_and_of_another_image(cli, local_bundle, frames_data, tmp_path):
    folder = tmp_path / "frames"
    shutil.copytree(frames_data, folder)
    for mask in (folder / "masks").iterdir():
        Image.fromarray(np.zeros((64, 48), np.uint8)).save(mask)
    refuse(cli("evaluate", local_bundle, "--data", folder, "-q"), 1, "none of 4 masks has an object")
    name = load_dataset(folder).part("test")[2].mask
    Image.fromarray(np.ones((48, 64), np.uint8)).save(name)
    refuse(cli("evaluate", local_bundle, "--data", folder, "-q"), 1, f"{name} has 64x48 pixels, its image 48x64")
    refuse(cli("evaluate", local_bundle, "--data", tmp_path / "none"), 2, "there is no data folder")


def test_a_checkpoint_of_another_variant_and_one_that_does_not_ship(cli, plus_checkpoint, frames_data, tmp_path):
    request = ("rpcanet", "--variant", "v1", "--data", frames_data)
    refuse(cli("evaluate", *request, "--checkpoint", plus_checkpoint), 1, "RPCANet++ with 2 stages, not variant 'v1'")
    refuse(cli("evaluate", *request), 2, "no checkpoint of rpcanet v1 ships")
    refuse(
        cli("export", "rpcanet", "--variant", "s9", "--device", "jetson", "-o", tmp_path / "out"),
        2,
        "no checkpoint of rpcanet s9 ships: give one with --checkpoint",
    )
    assert not (tmp_path / "out").exists()
