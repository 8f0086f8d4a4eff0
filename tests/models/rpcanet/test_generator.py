"""Generated frames: repeatable, with targets where the mask says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from edgekit.errors import EdgekitError
from edgekit.images import read_mask
from edgekit.models.rpcanet.generator import generate_frames, write_dataset
from edgekit_runtime.images import read_gray


def test_same_seed_same_frames():
    first, again, other = (generate_frames(3, (40, 56), seed) for seed in (5, 5, 6))
    for frame, same, different in zip(first, again, other, strict=True):
        assert np.array_equal(frame.image, same.image)
        assert np.array_equal(frame.mask, same.mask)
        assert not np.array_equal(frame.image, different.image)
    assert not np.array_equal(first[0].image, first[1].image)
    assert np.array_equal(generate_frames(1, (40, 56), 5)[0].image, first[0].image)


def test_frames():
    for frame in generate_frames(20, (96, 128), seed=1, most_targets=2):
        assert frame.image.shape == frame.mask.shape == (96, 128)
        assert frame.image.dtype == np.float32
        assert frame.mask.dtype == np.bool_
        assert 0 <= frame.image.min() < frame.image.max() <= 1
        labels, count = ndimage.label(frame.mask, np.ones((3, 3)))
        assert 1 <= count <= 2
        assert frame.mask.sum() <= 2 * 45
        for number in range(1, count + 1):
            target = labels == number
            around = ndimage.binary_dilation(target, iterations=6) & ~ndimage.binary_dilation(frame.mask, iterations=3)
            assert frame.image[target].max() > frame.image[around].mean() + 2 * frame.image[around].std()


def test_no_targets():
    assert not generate_frames(1, (32, 32), 0, most_targets=0)[0].mask.any()


@pytest.mark.parametrize(("count", "size", "targets"), [(-1, (32, 32), 1), (1, (15, 32), 1), (1, (32, 32), -1)])
def test_impossible(count, size, targets):
    with pytest.raises(EdgekitError, match="16x16 or more"):
        generate_frames(count, size, 0, targets)


def test_written_and_read_again(tmp_path):
    frames = generate_frames(3, (48, 32), 2)
    write_dataset(tmp_path, frames[:2], frames[2:])
    assert (tmp_path / "trainval.txt").read_text() == "frame_0\nframe_1\n"
    assert (tmp_path / "test.txt").read_text() == "frame_2\n"
    for index, frame in enumerate(frames):
        image = read_gray(tmp_path / "images" / f"frame_{index}.png")
        np.testing.assert_allclose(image, frame.image, atol=0.5001 / 255)
        np.testing.assert_array_equal(read_mask(tmp_path / "masks" / f"frame_{index}_pixels0.png"), frame.mask)
