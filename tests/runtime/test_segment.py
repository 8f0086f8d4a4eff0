"""The task `segment` in C++: against torch and scipy, on two convolutions whose weights are known."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from edgekit_runtime import EdgekitError, Session, UsageError
from edgekit_runtime.segment import SegmentPipeline, draw_overlay, find_objects

THRESHOLD = 0.0625
FRAMES = ((24, 32), (40, 36))
#: A bundle whose program takes rows.
ROWS = Path(__file__).parents[1] / "kept_bundles" / "schema-2" / "bundle"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles `sizes` (frames of 24x32, one or three, and of 40x36) and `threes` (three of 24x32); `weights.npz`."""
    folder = tmp_path_factory.mktemp("segment")
    subprocess.run([sys.executable, Path(__file__).with_name("segment_bundles.py"), folder], check=True)
    return folder


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> SegmentPipeline:
    return SegmentPipeline(Session(folder / "sizes"))


@pytest.fixture(scope="module")
def threes(folder: Path) -> SegmentPipeline:
    return SegmentPipeline(Session(folder / "threes"))


@pytest.fixture(scope="module")
def eager(folder: Path) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Both outputs for an image of any size."""
    with np.load(folder / "weights.npz") as file:
        weights = {name: torch.from_numpy(values) for name, values in file.items()}

    def run(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        conv2d = torch.nn.functional.conv2d
        hidden = conv2d(
            torch.from_numpy(image)[None, None], weights["first.weight"], weights["first.bias"], padding=1
        ).relu()
        logits = conv2d(hidden, weights["second.weight"], weights["second.bias"], padding=1)
        return logits[0, 0].numpy(), hidden[0, 1].numpy()

    return run


def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(size, np.float32)


def interpolate(image: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    corners = {"align_corners": False} if mode == "bilinear" else {}
    whole = torch.from_numpy(image)[None, None]
    return torch.nn.functional.interpolate(whole, size=size, mode=mode, **corners)[0, 0].numpy()


# Objects


def check_objects(found: tuple[Any, ...], logits: np.ndarray, threshold: float, order: str) -> None:
    """Every property of every object, by scipy; the list's order by its definition."""
    mask = logits > np.float32(threshold)
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    assert len(found) == count
    seen = set()
    for item in found:
        label = labels[item.peak_at]
        seen.add(label)
        rows, columns = np.nonzero(labels == label)
        assert item.area == len(rows)
        assert item.box == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        assert item.centroid == pytest.approx((rows.mean(), columns.mean()), rel=1e-12)
        assert item.peak == logits[rows, columns].max()
        first = np.argmax(logits[rows, columns])  # rows and columns are in reading order
        assert item.peak_at == (rows[first], columns[first])
    assert seen == set(range(1, count + 1))
    keys = [(-getattr(item, order), item.box) for item in found]
    assert keys == sorted(keys)


@settings(deadline=None, max_examples=300)
@given(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.sampled_from([0, 1, 2])),
    st.sampled_from(["peak", "area"]),
)
def test_objects_with_ties(logits: np.ndarray, order: str):
    check_objects(find_objects(logits, 0.5, order), logits, 0.5, order)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.45, 0.6, 0.95])
def test_objects_of_noise(share: float):
    logits = np.random.default_rng(1).standard_normal((61, 83)).astype(np.float32)
    threshold = float(np.quantile(logits, 1 - share))
    for order in ("peak", "area"):
        check_objects(find_objects(logits, threshold, order), logits, threshold, order)


def test_a_spiral_is_one_object():
    """Its arms meet last of all: parts are joined through chains of parts."""
    logits = np.zeros((41, 41), np.float32)
    row, column, length, (down, across) = 0, 0, 41, (0, 1)
    logits[0, 0] = 1
    steps = [40, *(length for length in range(40, 0, -2) for _ in (0, 1))]
    for length in steps:
        for _ in range(length):
            row, column = row + down, column + across
            logits[row, column] = 1
        down, across = across, -down
    (whole,) = find_objects(logits, 0.5)
    assert whole.area == logits.sum()
    check_objects((whole,), logits, 0.5, "peak")


def test_no_objects_and_one_everywhere():
    assert find_objects(np.zeros((20, 20), np.float32), 0.0) == ()
    assert find_objects(np.full((20, 20), np.nan, np.float32), 0.0) == ()
    (whole,) = find_objects(np.full((20, 30), 0.1, np.float32), 0.0)
    assert whole.to_dict() == {
        "centroid": [9.5, 14.5],
        "box": [0, 0, 20, 30],
        "area": 600,
        "peak": np.float32(0.1),
        "peak_at": [0, 0],
    }


# Fits


def check(found: Any, logits: np.ndarray, maps: tuple[np.ndarray, ...]) -> None:
    np.testing.assert_allclose(found.logits, logits, atol=1e-5)
    np.testing.assert_array_equal(found.mask, found.logits > np.float32(THRESHOLD))
    assert found.mask.dtype == np.bool_
    assert 0 < found.mask.sum() < found.mask.size
    check_objects(found.objects, found.logits, THRESHOLD, "peak")
    assert list(found.maps) == ["output_0", "output_1"]
    for values, wanted in zip(found.maps.values(), maps, strict=True):
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, wanted, atol=1e-5)


@pytest.mark.parametrize("size", FRAMES)
@pytest.mark.parametrize("fit", ["resize", "pad", "tile"])
def test_an_image_of_a_frame_size_is_the_eager_module(pipeline, eager, size, fit):
    image = picture(size)
    found = pipeline.segment(image, fit)
    maps = eager(image)
    check(found, maps[0], maps)
    assert found.method == f"forward_1x1x{size[0]}x{size[1]}"


@pytest.mark.parametrize(
    ("size", "asked", "frame"),
    [
        ((24, 64), None, (24, 32)),
        ((61, 57), None, (40, 36)),
        ((17, 101), None, (24, 32)),
        ((17, 19), (40, 36), (40, 36)),
        ((40, 36), (24, 32), (24, 32)),
    ],
)
def test_resizing(pipeline, eager, size, asked, frame):
    """Linear there, nearest back, both as torch does it."""
    image = picture(size)
    found = pipeline.segment(image, size=asked)
    maps = eager(interpolate(image, frame, "bilinear"))
    check(found, interpolate(maps[0], size, "nearest"), maps)
    assert found.method == f"forward_1x1x{frame[0]}x{frame[1]}"


@pytest.mark.parametrize(
    ("size", "asked", "frame"),
    [
        ((17, 29), None, (24, 32)),
        ((25, 29), None, (40, 36)),
        ((20, 33), None, (40, 36)),
        ((16, 16), (40, 36), (40, 36)),
    ],
)
def test_padding(pipeline, eager, size, asked, frame):
    image = picture(size)
    found = pipeline.segment(image, "pad", asked)
    padded = np.pad(image, ((0, frame[0] - size[0]), (0, frame[1] - size[1])), mode="edge")
    maps = tuple(values[: size[0], : size[1]] for values in eager(padded))
    check(found, maps[0], maps)
    assert found.method == f"forward_1x1x{frame[0]}x{frame[1]}"


@pytest.mark.parametrize("size", [(24, 33), (25, 32), (43, 61), (77, 101), (300, 33)])
@pytest.mark.parametrize("batches", ["one or three", "three"])
def test_tiles_are_exact(pipeline, threes, eager, size, batches):
    """At the cuts, and at the image's own border, where the network pads with zeros."""
    image = picture(size)
    found = (threes if batches == "three" else pipeline).segment(image, "tile", (24, 32))
    maps = eager(image)
    check(found, maps[0], maps)


@pytest.mark.parametrize(
    ("size", "method"),
    [
        ((24, 32), "forward_1x1x24x32"),  # 1 tile
        ((24, 88), "forward_3x1x24x32"),  # 3 tiles: 30 + 28 + 30 columns are kept
        ((24, 89), "forward_1x1x24x32"),  # 4 tiles
        ((40, 36), "forward_1x1x40x36"),  # 1 tile of 1440 pixels, or 4 of 768
        ((41, 36), "forward_1x1x40x36"),  # 2 tiles of 1440 pixels, or 4 of 768
        ((24, 36), "forward_1x1x24x32"),  # the only one that is no larger
    ],
)
def test_the_least_work_and_the_largest_batch(pipeline, eager, size, method):
    image = picture(size)
    found = pipeline.segment(image, "tile")
    assert found.method == method
    np.testing.assert_allclose(found.logits, eager(image)[0], atol=1e-5)


def test_tiles_with_too_small_a_halo_are_not_exact(folder, eager, resealed):
    """So the tests above would see a seam."""
    narrow = resealed(folder / "sizes", lambda _, fields: fields["pipeline"].update(halo=1))
    image = picture((77, 101))
    found = SegmentPipeline(Session(narrow)).segment(image, "tile", (24, 32))
    assert np.abs(found.logits - eager(image)[0]).max() > 1e-3


# What a pipeline gives and keeps


def test_answers_are_the_callers(pipeline, eager):
    image = picture((30, 30))
    found = pipeline.segment(image)
    before = found.logits.copy(), found.mask.copy()
    for seed in range(1, 4):
        pipeline.segment(picture((30, 30), seed))
    np.testing.assert_array_equal(found.logits, before[0])
    np.testing.assert_array_equal(found.mask, before[1])


def test_a_pipeline_keeps_its_session(folder):
    pipeline = SegmentPipeline(Session(folder / "sizes"))
    gc.collect()
    found = pipeline.segment(picture(FRAMES[0]))
    del pipeline
    gc.collect()
    assert np.isfinite(found.logits).all()


def test_sizes_and_threshold(folder):
    session = Session(folder / "sizes")
    assert SegmentPipeline(session).sizes == FRAMES
    assert SegmentPipeline(session).threshold == THRESHOLD
    image = picture(FRAMES[0])
    whole = SegmentPipeline(session).segment(image)
    threshold = float(np.quantile(whole.logits, 0.97))
    strict = SegmentPipeline(session, threshold)
    assert strict.threshold == threshold
    np.testing.assert_array_equal(strict.segment(image).mask, whole.logits > np.float32(threshold))
    assert SegmentPipeline(session, 1e9).segment(image).objects == ()


@pytest.mark.parametrize("image", [picture((60, 70))[::2, ::2], picture((30, 35)).T, picture((30, 35)).astype(float)])
def test_other_layouts_and_doubles(pipeline, image):
    wanted = pipeline.segment(np.ascontiguousarray(image, np.float32))
    np.testing.assert_array_equal(pipeline.segment(image).logits, wanted.logits)


# Refusals


@pytest.mark.parametrize(
    ("size", "fit", "asked", "says"),
    [
        (
            (30, 30),
            "resize",
            (32, 32),
            "no frames of 32x32, it has 24x32, 40x36: choose one of them, or .* --size 32x32",
        ),
        ((30, 30), "crop", None, "unknown fit 'crop': there are resize, pad, tile"),
        ((41, 20), "pad", None, r"41x20 cannot be padded to 24x32 or 40x36 \(the bundle has 24x32, 40x36\): resize it"),
        ((25, 20), "pad", (24, 32), r"25x20 cannot be padded to 24x32 \(the bundle has 24x32, 40x36\): resize it"),
        ((23, 90), "tile", None, "23x90 cannot be cut into tiles of 24x32 or 40x36, it is smaller .* pad or resize"),
        ((39, 60), "tile", (40, 36), "39x60 cannot be cut into tiles of 40x36, it is smaller than the tile"),
    ],
)
def test_requests_that_make_no_sense(pipeline, size, fit, asked, says):
    with pytest.raises(UsageError, match=says):
        pipeline.segment(picture(size), fit, asked)
    assert pipeline.segment(picture(FRAMES[0])).logits.shape == FRAMES[0]


def test_tiles_that_cannot_be(folder, resealed):
    whole = resealed(folder / "sizes", lambda _, fields: fields["pipeline"].update(halo=None))
    with pytest.raises(UsageError, match="pools over the whole frame"):
        SegmentPipeline(Session(whole)).segment(picture((100, 100)), "tile")


def test_a_halo_that_leaves_nothing(folder, resealed):
    wide = SegmentPipeline(Session(resealed(folder / "threes", lambda _, fields: fields["pipeline"].update(halo=12))))
    assert wide.segment(picture((24, 32)), "tile").mask.shape == (24, 32)
    with pytest.raises(
        UsageError, match=r"it needs tiles that overlap by 24 pixels and leave something .*: use the fit re"
    ):
        wide.segment(picture((100, 100)), "tile")


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((0, 0), np.float32), "brightness as floats"),
        (np.zeros((15, 90), np.float32), r"\(15, 90\).* 16 pixels or more"),
        (np.zeros((48, 64, 3), np.float32), "brightness as floats"),
        (np.zeros((48, 64), np.uint8), "an image is uint8"),
        (np.full((48, 64), np.nan, np.float32), "not finite"),
        (np.full((48, 64), 1e300), "not finite"),
    ],
)
def test_what_is_no_image(pipeline, image: np.ndarray, says: str):
    with pytest.raises(EdgekitError, match=says):
        pipeline.segment(image)


def test_answers_that_are_not_finite(pipeline):
    with pytest.raises(EdgekitError, match=r"'forward_1x1x24x32' gave values that are not finite: is .* in \[0, 1\]"):
        pipeline.segment(np.full((24, 32), 3e38, np.float32))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"threshold": 0.0},
        {"threshold": "0", "halo": 1},
        {"threshold": True, "halo": 1},
        {"threshold": 0, "halo": -1},
        {"threshold": 0, "halo": 1.5},
        {"threshold": 0, "halo": 1 << 40},
        {"threshold": None, "halo": None},
    ],
)
def test_settings_that_do_not_fit(folder, resealed, values: dict[str, Any]):
    def change(_: Path, fields: dict[str, Any]) -> None:
        fields["pipeline"] = {"name": "segment", **values}

    with pytest.raises(EdgekitError, match="settings of the task 'segment' do not fit: export the bundle again"):
        SegmentPipeline(Session(resealed(folder / "threes", change)))


def test_a_bundle_for_another_task(folder, resealed):
    other = resealed(folder / "threes", lambda _, fields: fields.update(pipeline={"name": "tensors"}))
    with pytest.raises(UsageError, match="threes is a bundle for the task 'tensors', not 'segment'"):
        SegmentPipeline(Session(other))


def test_a_program_that_takes_no_image(resealed):
    """Rows of 6 numbers, by a manifest that says what is true of its program."""

    def change(_: Path, fields: dict[str, Any]) -> None:
        fields["pipeline"] = {"name": "segment", "threshold": 0.5, "halo": 2}

    with pytest.raises(EdgekitError, match=r"method 'forward.*' of .* takes no image: export it again"):
        SegmentPipeline(Session(resealed(ROWS, change)))


# Overlays

RED, YELLOW, GREEN = (255, 64, 64), (255, 208, 0), (0, 208, 96)


@pytest.mark.parametrize(("size", "scale"), [((30, 40), 19), ((20, 700), 1)])
def test_overlay(size, scale):
    image = picture(size)
    mask = np.zeros(size, np.bool_)
    mask[3:6, 10:14] = mask[0, 0] = mask[-4:, -2:] = True
    labelled = np.zeros(size, np.bool_)
    labelled[4:9, 12:20] = True
    gray = np.round(255 * (image - image.min()) / (image.max() - image.min())).astype(np.uint8)
    wanted = np.repeat(gray.repeat(scale, 0).repeat(scale, 1)[:, :, None], 3, axis=2)
    for outlined, colour in ((labelled, GREEN), (mask, RED)):
        large = outlined.repeat(scale, 0).repeat(scale, 1)
        wanted[ndimage.binary_dilation(large, np.ones((3, 3))) & ~large] = colour
    np.testing.assert_array_equal(draw_overlay(image, mask, [], labelled), wanted)
    objects = find_objects(mask.astype(np.float32), 0.5)
    assert len(objects) == 3
    for found in objects:
        top, left, bottom, right = (scale * side for side in found.box)
        frame = np.zeros((scale * size[0] + 20, scale * size[1] + 20), np.bool_)  # with a margin of 10
        frame[top + 7 : bottom + 13, left + 7 : right + 13] = True
        frame[top + 8 : bottom + 12, left + 8 : right + 12] = False
        wanted[frame[10:-10, 10:-10]] = YELLOW
    np.testing.assert_array_equal(draw_overlay(image, mask, objects, labelled), wanted)


def test_an_overlay_of_one_brightness():
    image = np.full((20, 30), 0.5, np.float32)
    assert not draw_overlay(image, np.zeros(image.shape, np.bool_), []).any()
    with pytest.raises(EdgekitError, match="do not fit together"):
        draw_overlay(image, np.zeros((30, 20), np.bool_), [])
