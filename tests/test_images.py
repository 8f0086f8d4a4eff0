"""Pictures as numbers: formats, depths, resizing, and one clear sentence for what is no picture."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.errors import EdgekitError, UsageError
from edgekit.images import read_mask
from edgekit_runtime.images import read_gray

GRAY = (np.arange(20 * 24).reshape(20, 24) % 256).astype(np.uint8)


def save(path: Path, values: np.ndarray = GRAY, **options) -> Path:
    Image.fromarray(values).save(path, **options)
    return path


def test_masks(tmp_path):
    """Several classes are all objects; a JPEG's small values are none."""
    np.testing.assert_array_equal(read_mask(save(tmp_path / "a.png", GRAY % 4)), GRAY % 4 > 0)
    mask = np.zeros((24, 24), np.uint8)
    mask[8:16, 8:16] = 255
    np.testing.assert_array_equal(read_mask(save(tmp_path / "a.jpg", mask, quality=60)), mask > 0)
    colours = np.zeros((24, 24, 3), np.uint8)
    colours[:, :5, 2] = 1
    np.testing.assert_array_equal(read_mask(save(tmp_path / "b.png", colours)), colours[..., 2] > 0)


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises a size that its data does not hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


@pytest.mark.parametrize("read", [read_gray, read_mask])
def test_pictures_that_are_none(tmp_path, read):
    cases = {
        "empty.png": (b"", "is empty"),
        "text.png": (b"no picture at all", "is not an image"),
        "cut.png": (save(tmp_path / "x.png").read_bytes()[:50], "damaged or cut short"),
        "huge.png": (png_of(40_000, 30_000), "at most 64 million"),
        "large.png": (png_of(10_000, 9_000), "at most 64 million"),
        "lies.png": (png_of(100, 100), "damaged or cut short"),
        "pixel.png": (save(tmp_path / "y.png", GRAY[:1, :1]).read_bytes(), "1x1 pixels: at least 16x16"),
        "page.gif": (save(tmp_path / "z.gif").read_bytes(), "is not an image"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EdgekitError, match=f"{name}.*{message}"):
            read(tmp_path / name)
    with pytest.raises(UsageError, match="there is no image"):
        read(tmp_path / "absent.png")
