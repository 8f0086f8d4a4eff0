"""`edgekit run` on images: masks, overlays and objects in files, and a clear sentence for what does not fit."""

from __future__ import annotations

import csv
import json
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from edgekit.models.rpcanet.checkpoint import load_checkpoint
from edgekit.models.rpcanet.generator import generate_frames

from .refusals import refuse


@pytest.fixture
def image(tmp_path):
    """A frame of 48x64 as an 8-bit PNG."""
    path = tmp_path / "frame.png"
    Image.fromarray(np.round(255 * generate_frames(1, (48, 64), 4)[0].image).astype(np.uint8)).save(path)
    return path


def eager(checkpoint, path) -> np.ndarray:
    """Logits of the trained module, the picture read by Pillow alone."""
    with Image.open(path) as picture:
        values = torch.from_numpy(np.asarray(picture, np.float32) / 255)
    with torch.no_grad():
        return load_checkpoint(checkpoint).module(values[None, None])[0, 0].numpy()


def read_png(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_folder_of_answers(cli, plus_bundle, plus_checkpoint, image, tmp_path):
    logits = eager(plus_checkpoint, image)
    levels = np.quantile(logits, np.linspace(0.1, 0.99, 30))
    threshold = float(next(level for level in levels if ndimage.label(logits > level, np.ones((3, 3)))[1] > 3))
    options = ("--threshold", threshold, "--output", tmp_path / "out", "-q")
    result = cli("run", plus_bundle, "--input", image, *options)
    assert (result.code, result.err) == (0, "")
    names = {f"frame.{kind}" for kind in ("mask.png", "overlay.png", "objects.json", "stages.png")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    mask = read_png(tmp_path / "out" / "frame.mask.png")
    assert mask.dtype == np.uint8
    sure = np.abs(logits - threshold) > 1e-4
    np.testing.assert_array_equal(mask[sure], 255 * (logits > threshold)[sure])
    assert 0 < (mask > 0).sum() < mask.size

    written = json.loads((tmp_path / "out" / "frame.objects.json").read_text())
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    assert len(written["objects"]) == count > 2
    assert written["object_pixels"] == (mask > 0).sum()
    peaks = [item["peak"] for item in written["objects"]]
    assert peaks == sorted(peaks, reverse=True)
    for item in written["objects"]:
        component = labels == labels[tuple(item["peak_at"])]
        assert item["area"] == component.sum()
        assert item["centroid"] == pytest.approx(ndimage.center_of_mass(component))
        rows, columns = np.nonzero(component)
        assert item["box"] == [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        assert item["peak"] == pytest.approx(logits[component].max(), abs=1e-3)
    # Measures by hand, of the trained module.
    with torch.no_grad():
        stages = load_checkpoint(plus_checkpoint).module.decompose(
            torch.from_numpy(read_png(image) / 255.0).float()[None, None]
        )
    for stage, measured in zip(stages, written["stages"], strict=True):
        values = np.linalg.svd(np.maximum(stage.background[0, 0].numpy(), 0), compute_uv=False)
        assert measured["energy_share"] == pytest.approx(values[0] ** 2 / (values**2).sum(), rel=1e-3)
        assert measured["sparsity"] == pytest.approx(float((stage.target > 0).float().mean()), abs=2 / mask.size)
    sheet = read_png(tmp_path / "out" / "frame.stages.png")
    assert sheet.shape == (16 + 2 * 48 + 4, 3 * 64 + 2 * 4, 3)

    overlay = read_png(tmp_path / "out" / "frame.overlay.png")
    assert overlay.shape == (12 * 48, 12 * 64, 3)
    red = (overlay == (255, 64, 64)).all(axis=2)
    large = np.kron(mask > 0, np.ones((12, 12), bool))
    assert red.any()
    assert not (red & large).any()  # outlines lie around objects, not on them
    assert (red <= ndimage.binary_dilation(large, np.ones((3, 3)))).all()

    lines = result.out.splitlines()
    assert f"{count} objects in {written['object_pixels']} of 48x64 pixels (forward_48x64)" in result.out
    assert "stage 2: " in result.out
    assert lines[-1].startswith("Next: edgekit ")
    assert lines[-2].startswith("Written: ")


def test_json_and_single_files(cli, local_bundle, image, tmp_path):
    request = ("run", local_bundle, "--input", image, "--fit", "tile")
    objects, mask = tmp_path / "objects.csv", tmp_path / "mask.png"
    result = cli(*request, "--output", objects, "--picture", tmp_path / "overlay.png", "--json")
    assert (result.code, result.err) == (0, "")
    answer = json.loads(result.out)
    (found,) = answer["images"]
    assert answer["written"] == [str(objects), str(tmp_path / "overlay.png")]
    assert (found["height"], found["width"], found["method"]) == (48, 64, "forward_40x48_b1")
    assert "stages" not in found
    with objects.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["area"]) for row in rows] == [item["area"] for item in found["objects"]]
    assert [float(row["column"]) for row in rows] == pytest.approx(
        [item["centroid"][1] for item in found["objects"]], abs=1e-3
    )
    assert read_png(tmp_path / "overlay.png").shape == (576, 768, 3)
    assert cli(*request, "--output", mask).code == 0
    assert (read_png(mask) > 0).sum() == found["object_pixels"]
    high = found["objects"][0]["peak"] - 1e-6
    assert len(json.loads(cli(*request, "--threshold", high, "--json").out)["images"][0]["objects"]) == 1


def test_several_images_of_all_kinds(cli, local_bundle, image, tmp_path):
    gray = read_png(image)
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(np.stack([gray] * 3, axis=2)).save(tmp_path / "colour.bmp")
    Image.fromarray(gray).save(tmp_path / "photo.jpg", quality=100)
    names = ("frame.png", "deep.png", "colour.bmp", "photo.jpg")
    inputs = [word for name in names for word in ("--input", tmp_path / name)]
    result = cli("run", local_bundle, *inputs, "--output", tmp_path / "out", "--size", "64x56", "--json", "-q")
    assert result.code == 0
    answers = json.loads(result.out)["images"]
    assert {answer["method"] for answer in answers} == {"forward_64x56_b1"}
    assert [answer["objects"] for answer in answers[1:3]] == [answers[0]["objects"]] * 2
    assert len(list((tmp_path / "out").iterdir())) == 12
    assert cli("run", local_bundle, *inputs).out.count("pixels (forward_") == 4


def test_nothing_is_overwritten(cli, local_bundle, image, tmp_path):
    mask = tmp_path / "out" / "frame.mask.png"
    mask.parent.mkdir()
    mask.write_bytes(b"mine")
    request = ("run", local_bundle, "--input", image, "--output", tmp_path / "out")
    refuse(cli(*request), 2, f"{mask} exists: choose another file, or replace it with --force")
    assert [path.name for path in mask.parent.iterdir()] == ["frame.mask.png"]
    assert mask.read_bytes() == b"mine"
    assert cli(*request, "--force").code == 0
    assert read_png(mask).shape == (48, 64)
    assert len(list(mask.parent.iterdir())) == 3


def png_of(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "bad.png is empty"),
        (b"no picture", "bad.png is not an image"),
        (png_of(1, 1), "1x1 pixels: at least 16x16 are needed"),
        (png_of(40_000, 25_000), "at most 64 million are taken"),
        (png_of(50, 50), "is damaged or cut short"),
        (None, "there is no image"),
    ],
)
def test_bad_images(cli, local_bundle, tmp_path, content: bytes | None, says: str):
    if content is not None:
        (tmp_path / "bad.png").write_bytes(content)
    result = cli("run", local_bundle, "--input", tmp_path / "bad.png", "--output", tmp_path / "out")
    refuse(result, 2 if content is None else 1, says)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--size", "32x32"), "no frames of 32x32, it has 40x48, 64x56"),
        (("--size", "32"), "height x width"),
        (("--fit", "padd"), "unknown fit 'padd': did you mean 'pad'?"),
        (("--fit", "pad", "--size", "40x48"), "cannot be padded to 40x48"),
        (("--fit", "tile", "--size", "64x56"), "cannot be cut into tiles of 64x56, it is smaller than the tile"),
        (("--threshold", "high"), "'high' is not a number"),
        (("--threshold", "nan"), "must be finite"),
        (("--output", "mask.jpg"), "write a .png (the mask)"),
        (("--picture", "overlay.jpg"), "let it end in .png"),
        (("--output", "mask.png", "--input", "second.png"), "2 images do not fit into one file"),
        (("--output", "out", "--input", "other/frame.png"), "would be written twice"),
    ],
)
def test_options_that_do_not_fit(cli, local_bundle, image, options, says: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = cli("run", local_bundle, "--input", image, *options)
    assert says in result.err
    assert (result.code, result.out) == (2, "")
    assert [path.name for path in tmp_path.iterdir()] == ["frame.png"]


def test_tiles_of_a_model_that_sees_the_whole_frame(cli, plus_bundle, image):
    refuse(cli("run", plus_bundle, "--input", image, "--fit", "tile"), 2, "pools over the whole frame")


def test_options_of_other_tasks(cli, pump_bundle, tmp_path):
    (tmp_path / "series.csv").write_text("1,2,3,4,5\n" * 30)
    for option in (("--size", "8x8"), ("--fit", "pad")):
        refuse(cli("run", pump_bundle, "--input", tmp_path / "series.csv", *option), 2, f"{option[0]} does not belong")
