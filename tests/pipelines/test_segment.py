"""Images in, masks and objects out: against eager fp32, brute-force components and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.rpcanet.checkpoint import load_checkpoint
from edgekit.models.rpcanet.generator import generate_frames
from edgekit_runtime import Session
from edgekit_runtime.segment import SegmentPipeline, find_objects


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return generate_frames(1, (height, width), seed)[0].image


def eager(checkpoint, image: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return load_checkpoint(checkpoint).module(torch.from_numpy(image)[None, None])[0, 0].numpy()


@pytest.fixture(scope="module")
def plus(plus_bundle) -> SegmentPipeline:
    return SegmentPipeline(Session(plus_bundle))


@pytest.fixture(scope="module")
def local(local_bundle) -> SegmentPipeline:
    return SegmentPipeline(Session(local_bundle))


# Objects


def flood(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """8-connected components by flooding, pixel by pixel."""
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    found = []
    while left:
        wave, component = [left.pop()], set()
        while wave:
            row, column = wave.pop()
            component.add((row, column))
            near = {(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)} & left
            left -= near
            wave += near
        found.append(component)
    return found


@pytest.mark.parametrize("order", ["peak", "area"])
@pytest.mark.parametrize("seed", range(4))
def test_objects_by_flooding(seed: int, order: str):
    generator = np.random.default_rng(seed)
    logits = generator.standard_normal((17, 23)).astype(np.float32)
    threshold = float(generator.uniform(0.3, 1.5))
    objects = find_objects(logits, threshold, order)
    components = flood(logits > threshold)
    assert len(objects) == len(components)
    keys = [getattr(found, order) for found in objects]
    assert keys == sorted(keys, reverse=True)
    for found in objects:
        (pixels,) = [component for component in components if found.peak_at in component]
        rows, columns = np.array(sorted(pixels)).T
        assert found.area == len(pixels)
        assert found.centroid == pytest.approx((rows.mean(), columns.mean()))
        assert found.box == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        assert found.peak == logits[found.peak_at] == logits[rows, columns].max()


def test_no_objects_and_one_everywhere():
    assert find_objects(np.zeros((20, 20), np.float32), 0.0) == ()
    (whole,) = find_objects(np.full((20, 30), 0.1, np.float32), 0.0)
    assert (whole.area, whole.box, whole.centroid) == (600, (0, 0, 20, 30), (9.5, 14.5))


# Fits


def test_an_image_of_a_frame_size_is_the_eager_model(plus, plus_checkpoint, local, local_checkpoint):
    for pipeline, checkpoint, size in (
        (plus, plus_checkpoint, (48, 64)),
        (local, local_checkpoint, (40, 48)),
        (local, local_checkpoint, (64, 56)),
    ):
        image = picture(*size)
        found = pipeline.segment(image)
        wanted = eager(checkpoint, image)
        assert found.method.startswith(f"forward_{size[0]}x{size[1]}")
        np.testing.assert_allclose(found.logits, wanted, atol=1e-4 * np.abs(wanted).max())
        np.testing.assert_array_equal(found.mask, found.logits > 0)
        assert 0 < found.mask.sum() < found.mask.size
        assert sum(item.area for item in found.objects) == found.mask.sum()
        names = [f"{kind}_{stage}" for stage in (1, 2) for kind in ("background", "target", "restored")]
        names.remove("target_2")  # these are the logits
        assert list(found.maps) == ["logits", *(names if pipeline is plus else ())]
        assert {values.shape for values in found.maps.values()} == {size}


@pytest.mark.parametrize(
    ("size", "asked", "frame"),
    [
        ((96, 128), None, (64, 56)),
        ((45, 60), None, (40, 48)),
        ((33, 41), None, (40, 48)),
        ((33, 41), (64, 56), (64, 56)),
    ],
)
def test_resizing(local, local_checkpoint, size, asked, frame):
    """Linear there, nearest back, both as torch does it."""
    image = picture(*size)
    found = local.segment(image, size=asked)
    assert found.method == f"forward_{frame[0]}x{frame[1]}_b1"
    whole = torch.from_numpy(image)[None, None]
    shrunk = torch.nn.functional.interpolate(whole, size=frame, mode="bilinear", align_corners=False)
    logits = torch.from_numpy(eager(local_checkpoint, shrunk[0, 0].numpy()))[None, None]
    wanted = torch.nn.functional.interpolate(logits, size=size, mode="nearest")[0, 0].numpy()
    assert found.mask.shape == found.logits.shape == size
    np.testing.assert_allclose(found.logits, wanted, atol=2e-4 * np.abs(wanted).max())


def test_padding(local, local_checkpoint):
    image = picture(35, 44)
    found = local.segment(image, "pad")
    assert found.method == "forward_40x48_b1"
    padded = torch.nn.functional.pad(torch.from_numpy(image)[None, None], (0, 4, 0, 5), mode="replicate")
    wanted = eager(local_checkpoint, padded[0, 0].numpy())[:35, :44]
    np.testing.assert_allclose(found.logits, wanted, atol=1e-4 * np.abs(wanted).max())
    assert local.segment(picture(41, 44), "pad").method == "forward_64x56_b1"
    assert local.segment(image, "pad", (64, 56)).method == "forward_64x56_b1"
    with pytest.raises(UsageError, match=r"80x48 cannot be padded to 40x48 or 64x56 \(the bundle has 40x48, 64x56\)"):
        local.segment(picture(80, 48), "pad")
    with pytest.raises(UsageError, match="41x44 cannot be padded to 40x48 "):
        local.segment(picture(41, 44), "pad", (40, 48))


@pytest.mark.parametrize("size", [(40, 48), (40, 49), (41, 48), (54, 70), (100, 131)])
def test_tiles_are_exact(local, local_checkpoint, size: tuple[int, int]):
    """At the cuts, and at the image's own border, where the network pads with zeros."""
    image = picture(*size)
    found = local.segment(image, "tile", (40, 48))
    wanted = eager(local_checkpoint, image)
    assert 0 < found.mask.sum() < found.mask.size
    np.testing.assert_allclose(found.logits, wanted, atol=1e-5 * np.abs(wanted).max())


def test_tiles_with_too_small_a_halo_are_not_exact(local_bundle, local_checkpoint, resealed):
    """So the test above would see a seam."""

    def change(folder, fields: dict[str, Any]) -> None:
        fields["pipeline"]["halo"] = 2

    image = picture(100, 131)
    found = SegmentPipeline(Session(resealed(local_bundle, change))).segment(image, "tile", (40, 48))
    wanted = eager(local_checkpoint, image)
    assert np.abs(found.logits - wanted).max() > 1e-3 * np.abs(wanted).max()


def test_tiles_that_cannot_be(local, plus):
    with pytest.raises(UsageError, match="pools over the whole frame"):
        plus.segment(picture(100, 100), "tile")
    with pytest.raises(UsageError, match=r"39x60 cannot be cut into tiles of 40x48, it is smaller than the tile"):
        local.segment(picture(39, 60), "tile", (40, 48))


def test_a_halo_that_leaves_nothing(local_bundle, resealed):
    def change(folder, fields: dict[str, Any]) -> None:
        fields["pipeline"]["halo"] = 28

    pipeline = SegmentPipeline(Session(resealed(local_bundle, change)))
    assert pipeline.segment(picture(40, 48), "tile").mask.shape == (40, 48)
    with pytest.raises(UsageError, match="overlap by 56 pixels"):
        pipeline.segment(picture(100, 100), "tile")


# Batches, thresholds, refusals


def test_threshold(plus_bundle):
    image = picture(48, 64)
    session = Session(plus_bundle)
    whole = SegmentPipeline(session).segment(image)
    threshold = float(np.quantile(whole.logits, 0.97))
    strict = SegmentPipeline(session, threshold).segment(image)
    np.testing.assert_array_equal(strict.mask, whole.logits > threshold)
    assert SegmentPipeline(session, 1e9).segment(image).objects == ()


def test_a_size_that_the_bundle_does_not_have(local):
    with pytest.raises(UsageError, match=r"no frames of 32x32, it has 40x48, 64x56: choose one of them"):
        local.segment(picture(48, 64), size=(32, 32))
    with pytest.raises(UsageError, match="unknown fit 'crop'"):
        local.segment(picture(48, 64), "crop")


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((0, 0), np.float32), "brightness as floats"),
        (np.zeros((1, 1), np.float32), "16 pixels or more"),
        (np.zeros((48, 64, 3), np.float32), "brightness as floats"),
        (np.zeros((48, 64), np.uint8), "brightness as floats"),
        (np.full((48, 64), np.nan, np.float32), "not finite"),
    ],
)
def test_what_is_no_image(plus, image: np.ndarray, says: str):
    with pytest.raises(EdgekitError, match=says):
        plus.segment(image)


def test_a_bundle_for_another_task(pump_bundle):
    with pytest.raises(UsageError, match="for the task 'detect_anomalies', not 'segment'"):
        SegmentPipeline(Session(pump_bundle))
