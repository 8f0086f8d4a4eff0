"""Images from files against Pillow, resizing against its definition and OpenCV, and what is no image."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgekit_runtime import EdgekitError, UsageError
from edgekit_runtime.images import read_gray, resize_linear, resize_nearest, write_png

SHAPE = (20, 24)
GRAY = (np.arange(20 * 24).reshape(SHAPE) % 256).astype(np.uint8)
COLOURS = np.random.default_rng(0).integers(0, 256, (*SHAPE, 4)).astype(np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(size: tuple[int, int], rows: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG, spelled out; `rows` each begin with their filter."""
    header = struct.pack(">IIBBBBB", size[1], size[0], depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def smooth(*channels: int) -> np.ndarray:
    """A picture without edges, at which decoders of JPEG differ."""
    down, across = np.linspace(0, 1, 70)[:, None], np.linspace(0, 1, 90)
    waves = [120 + 60 * np.sin(3 * down + index) * np.cos(2 * across + index) for index in range(*channels or (1,))]
    return np.squeeze(np.stack(waves, axis=-1)).astype(np.uint8)


# Reading


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *((mode, "png") for mode in ("1", "L", "P", "RGB", "RGBA", "LA")),
        *((mode, "bmp") for mode in ("1", "L", "P", "RGB")),
    ],
)
def test_luma_is_pillows(tmp_path, mode: str, suffix: str):
    picture = Image.fromarray(COLOURS)
    picture = picture.convert("RGB").quantize(16) if mode == "P" else picture.convert(mode)
    path = tmp_path / f"a.{suffix}"
    picture.save(path)
    opaque = picture.convert("RGB") if mode in ("P", "RGBA") else picture
    image = read_gray(path)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, np.asarray(opaque.convert("L"), np.float32) / np.float32(255))
    assert len(np.unique(image)) > 1


def test_a_palette_with_a_transparent_colour(tmp_path):
    picture = Image.fromarray(GRAY % 4)
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255, 9, 9, 9])
    picture.save(tmp_path / "a.png", transparency=1)
    np.testing.assert_allclose(read_gray(tmp_path / "a.png"), np.array([0, 76, 29, 9])[GRAY % 4] / 255, rtol=1e-6)


@pytest.mark.parametrize("alpha", [False, True])
def test_sixteen_bits_of_gray(tmp_path, alpha: bool):
    deep = np.random.default_rng(1).integers(0, 65536, SHAPE).astype(np.uint16)
    samples = np.stack([deep, deep[::-1]], axis=-1) if alpha else deep[:, :, None]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    path = tmp_path / "a.png"
    path.write_bytes(png_of(SHAPE, rows, 16, 4 if alpha else 0))
    np.testing.assert_array_equal(read_gray(path), deep.astype(np.float32) / np.float32(65535))
    if not alpha:
        with Image.open(path) as picture:
            np.testing.assert_array_equal(np.asarray(picture), deep)


def test_sixteen_bits_of_colour_are_read_with_eight(tmp_path):
    deep = COLOURS[..., :3].astype(np.uint16) * 256 + 77
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    (tmp_path / "a.png").write_bytes(png_of(SHAPE, rows, 16, 2))
    wanted = np.asarray(Image.fromarray(COLOURS[..., :3]).convert("L"), np.float32) / np.float32(255)
    np.testing.assert_array_equal(read_gray(tmp_path / "a.png"), wanted)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg(tmp_path, channels: int, options: dict[str, int]):
    """Decoders round differently."""
    path = tmp_path / "a.jpg"
    Image.fromarray(smooth(channels)).save(path, quality=90, **options)
    with Image.open(path) as picture:
        wanted = np.asarray(picture.convert("L"), np.float32) / 255
    np.testing.assert_allclose(read_gray(path), wanted, atol=2 / 255)


def test_the_suffix_says_nothing(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "a.jpg", format="PNG")
    np.testing.assert_allclose(read_gray(tmp_path / "a.jpg"), GRAY / 255, rtol=1e-6)


def test_a_bmp_from_the_top_down(tmp_path):
    Image.fromarray(COLOURS[..., :3]).save(tmp_path / "a.bmp")
    content = bytearray((tmp_path / "a.bmp").read_bytes())
    content[22:26] = struct.pack("<i", -SHAPE[0])
    upside_down = read_gray(tmp_path / "a.bmp")[::-1]
    (tmp_path / "a.bmp").write_bytes(content)
    np.testing.assert_array_equal(read_gray(tmp_path / "a.bmp"), upside_down)


# What is no image


def test_pictures_that_are_none(tmp_path):
    for suffix in ("png", "gif", "tif"):
        Image.fromarray(GRAY).save(tmp_path / f"good.{suffix}")
    Image.fromarray(GRAY[:1, :1]).save(tmp_path / "small.png")
    cases = {
        "empty.png": (b"", "is empty: give a PNG, JPEG or BMP file"),
        "text.png": (b"no picture at all", "is not an image that edgekit reads"),
        "page.gif": ((tmp_path / "good.gif").read_bytes(), "is not an image that edgekit reads"),
        "scan.tif": ((tmp_path / "good.tif").read_bytes(), "is a TIFF.*save it as PNG, JPEG or BMP"),
        "scan2.tif": (b"MM\0*" + b"\0" * 100, "is a TIFF"),
        "cut.png": ((tmp_path / "good.png").read_bytes()[:50], "damaged or cut short"),
        "huge.png": (png_of((30_000, 40_000), b"\0"), "40000x30000 pixels, at most 64 million are taken"),
        "large.png": (png_of((9_000, 10_000), b"\0"), "10000x9000 pixels, at most 64 million are taken"),
        "lies.png": (png_of((100, 100), b"\0" * 64), "damaged or cut short"),
        "pixel.png": ((tmp_path / "small.png").read_bytes(), "1x1 pixels: at least 16x16 are needed"),
        "head.jpg": (b"\xff\xd8\xff\xe0", "damaged or cut short"),
        "head.bmp": (b"BM", "damaged or cut short"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EdgekitError, match=f"{name}.*{message}") as caught:
            read_gray(tmp_path / name)
        assert not isinstance(caught.value, UsageError)
    for missing in (tmp_path / "absent.png", tmp_path):
        with pytest.raises(UsageError, match="there is no image"):
            read_gray(missing)


def test_a_file_of_more_bytes_than_an_image_has(tmp_path):
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.write(png_of(SHAPE, b"\0"))
        file.truncate(1 << 30)
    with pytest.raises(EdgekitError, match="more bytes than any image"):
        read_gray(path)


def test_a_small_image_that_unpacks_to_megabytes(tmp_path):
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1 << 5)) + packer.flush()
    header = struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(EdgekitError, match="outofmem"):
        read_gray(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "progressive.jpg", "a.bmp"])
def test_every_cut_is_seen(tmp_path, name: str):
    options = {"progressive": True} if name.startswith("p") else {}
    Image.fromarray(smooth(3)[:18, :17]).save(tmp_path / name, **options)
    content = (tmp_path / name).read_bytes()
    read_gray(tmp_path / name)
    for length in range(len(content)):
        (tmp_path / name).write_bytes(content[:length])
        with pytest.raises(EdgekitError, match=r"damaged or cut short|is empty|is not an image"):
            read_gray(tmp_path / name)


def test_every_changed_byte_of_a_png_is_seen(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(smooth(3)[:18, :17]).save(path)
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        with pytest.raises(EdgekitError):
            read_gray(path)


@settings(deadline=None, max_examples=300)
@given(st.data(), st.sampled_from(["png", "jpg", "bmp"]))
def test_damage_is_an_error_or_an_image(tmp_path_factory, data: st.DataObject, suffix: str):
    path = tmp_path_factory.getbasetemp() / f"damaged.{suffix}"
    Image.fromarray(smooth(3)[:40, :40]).save(path)
    content = bytearray(path.read_bytes())
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)))):
        content[place] = value
    path.write_bytes(content)
    try:
        image = read_gray(path)
    except EdgekitError:
        return
    assert min(image.shape) >= 16
    assert 0 <= image.min() <= image.max() <= 1


# Resizing

sides = st.tuples(st.integers(1, 40), st.integers(1, 40))


def linear(old: int, new: int) -> np.ndarray:
    """(new, old) weights in float64: a triangle one pixel wide to each side, of the image with its edge repeated."""
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    places = np.arange(-2, old + 2)
    triangles = np.maximum(0, 1 - np.abs(centres[:, None] - places))
    weights = np.zeros((new, old))
    for place, column in zip(np.clip(places, 0, old - 1), triangles.T, strict=True):
        weights[:, place] += column
    return weights


@settings(deadline=None)
@given(sides, sides, st.integers(0, 9))
def test_linear_by_its_definition(old: tuple[int, int], new: tuple[int, int], seed: int):
    image = np.random.default_rng(seed).random(old, np.float32)
    resized = resize_linear(image, new)
    assert resized.dtype == np.float32
    wanted = linear(old[0], new[0]) @ image.astype(np.float64) @ linear(old[1], new[1]).T
    np.testing.assert_allclose(resized, wanted, atol=1e-6)


@pytest.mark.parametrize("new", [(20, 24), (40, 7), (9, 50), (10, 12), (256, 256), (480, 640), (1, 1)])
def test_both_are_opencvs(new: tuple[int, int]):
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).random(SHAPE, np.float32)
    wanted = cv2.resize(image, new[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(resize_linear(image, new), wanted, atol=1e-5)
    wanted = cv2.resize(image, new[::-1], interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(resize_nearest(image, new), wanted)


@settings(deadline=None)
@given(sides, sides, st.sampled_from([np.bool_, np.uint8, np.float16, np.float32, np.int64, np.float64]))
def test_nearest_by_its_definition(old: tuple[int, int], new: tuple[int, int], dtype: type[np.generic]):
    values = np.random.default_rng(0).integers(0, 100, old).astype(dtype)
    resized = resize_nearest(values, new)
    assert resized.dtype == dtype
    for row in range(new[0]):
        for column in range(new[1]):
            assert resized[row, column] == values[row * old[0] // new[0], column * old[1] // new[1]]


def test_resizing_what_is_not_contiguous():
    image = np.random.default_rng(0).random((40, 48), np.float32)
    np.testing.assert_array_equal(resize_linear(image[::2, ::2], (7, 9)), resize_linear(image[::2, ::2].copy(), (7, 9)))
    np.testing.assert_array_equal(resize_nearest(image.T, (7, 9)), resize_nearest(image.T.copy(), (7, 9)))


def test_sizes_that_are_none():
    for resize in (resize_linear, resize_nearest):
        with pytest.raises(UsageError, match="cannot be resized to 0x5"):
            resize(np.zeros(SHAPE, np.float32), (5, 0))


# Writing


@pytest.mark.parametrize("shape", [(1, 1), (20, 24), (20, 24, 3), (255, 257, 3)])
def test_written_pictures(tmp_path, shape: tuple[int, ...]):
    values = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    path = tmp_path / "deeper" / "still" / "a.PNG"
    write_png(values, path)
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture), values)
    assert path.stat().st_mode & 0o777 == 0o644
    assert [found.name for found in path.parent.iterdir()] == ["a.PNG"]


def test_pictures_that_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match=r"a\.jpg is not the name of a picture: let it end in \.png"):
        write_png(GRAY, tmp_path / "a.jpg")
    for values in (GRAY.astype(np.float32), GRAY[0], COLOURS, GRAY[:0]):
        with pytest.raises(UsageError, match="picture"):
            write_png(values, tmp_path / "a.png")
    (tmp_path / "file").touch()
    with pytest.raises(EdgekitError, match="cannot write"):
        write_png(GRAY, tmp_path / "file" / "a.png")
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_picture_that_was_there(small_disk: Path):
    path = small_disk / "a.png"
    write_png(GRAY, path)
    before = path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3)).astype(np.uint8)
    with pytest.raises(EdgekitError, match=r"cannot write .*a\.png: the disk is full"):
        write_png(noise, path)
    assert path.read_bytes() == before
    assert [found.name for found in small_disk.iterdir()] == ["a.png"]
