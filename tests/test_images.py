"""Pictures as numbers: formats, depths, resizing, and one clear sentence for what is no picture."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgekit.errors import EdgekitError, UsageError
from edgekit.images import read_gray, read_mask, resize_linear, resize_nearest, write_png

GRAY = (np.arange(20 * 24).reshape(20, 24) % 256).astype(np.uint8)


def save(path: Path, values: np.ndarray = GRAY, **options) -> Path:
    Image.fromarray(values).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_eight_bits(tmp_path, suffix: str):
    np.testing.assert_allclose(read_gray(save(tmp_path / f"a{suffix}")), GRAY / 255, rtol=1e-6)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits(tmp_path, suffix: str):
    deep = GRAY.astype(np.uint16) * 257
    deep[0, 0] = 12345
    image = read_gray(save(tmp_path / f"a{suffix}", deep))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, deep / 65535, rtol=1e-6)


def test_jpeg(tmp_path):
    smooth = np.tile(np.linspace(20, 220, 24), (20, 1)).astype(np.uint8)
    np.testing.assert_allclose(read_gray(save(tmp_path / "a.jpg", smooth, quality=95)), smooth / 255, atol=0.03)


def test_colour_becomes_luma_and_alpha_is_ignored(tmp_path):
    colours = np.zeros((20, 24, 4), np.uint8)
    colours[..., 3] = 7
    colours[:10, :, 0], colours[10:, :, 1], colours[:, :12, 2] = 200, 100, 250
    wanted = np.round(colours[..., :3] @ [0.299, 0.587, 0.114]) / 255
    for mode in ("RGBA", "RGB"):
        Image.fromarray(colours).convert(mode).save(tmp_path / "a.png")
        np.testing.assert_allclose(read_gray(tmp_path / "a.png"), wanted, atol=1e-6)
    Image.fromarray(GRAY).convert("LA").save(tmp_path / "a.png")
    np.testing.assert_allclose(read_gray(tmp_path / "a.png"), GRAY / 255, rtol=1e-6)
    Image.fromarray(GRAY > 100).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_gray(tmp_path / "a.png"), GRAY > 100)


def test_palette(tmp_path):
    picture = Image.fromarray(GRAY % 4)
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255, 9, 9, 9])
    picture.save(tmp_path / "a.png")
    np.testing.assert_allclose(read_gray(tmp_path / "a.png"), np.array([0, 76, 29, 9])[GRAY % 4] / 255, rtol=1e-6)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), GRAY % 4 > 0)


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


def test_floats_and_deep_integers(tmp_path):
    with pytest.raises(EdgekitError, match="floating-point"):
        read_gray(save(tmp_path / "a.tif", GRAY.astype(np.float32)))
    with pytest.raises(EdgekitError, match="outside 0 to 65535"):
        read_gray(save(tmp_path / "a.tif", GRAY.astype(np.int32) * 1000))


@pytest.mark.parametrize("size", [(20, 24), (40, 7), (9, 50), (256, 256)])
def test_resizing_is_opencvs(size: tuple[int, int]):
    """torch's "bilinear" without corners and "nearest" are defined as OpenCV's INTER_LINEAR and INTER_NEAREST."""
    image = GRAY.astype(np.float32) / 255
    whole = torch.from_numpy(image)[None, None]
    linear = torch.nn.functional.interpolate(whole, size=size, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(resize_linear(image, size), linear[0, 0], atol=1e-5)
    nearest = torch.nn.functional.interpolate(whole, size=size, mode="nearest")
    np.testing.assert_array_equal(resize_nearest(image > 0.5, size), nearest[0, 0] > 0.5)


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 3)])
def test_written_pictures(tmp_path, shape: tuple[int, ...]):
    values = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    write_png(values, tmp_path / "deeper" / "a.png")
    with Image.open(tmp_path / "deeper" / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), values)
    with pytest.raises(UsageError, match="let it end in"):
        write_png(values, tmp_path / "a.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["deeper"]
