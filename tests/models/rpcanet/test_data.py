"""Pictures and folders of pairs: what is understood, and one clear sentence for what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.rpcanet.data import load_dataset

GRAY = (np.arange(20 * 24).reshape(20, 24) % 256).astype(np.uint8)


def save(path: Path, values: np.ndarray = GRAY, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


def tree(folder: Path, *files: str) -> Path:
    for file in files:
        save(folder / file)
    return folder


def names(pairs) -> list[str]:
    return [pair.name for pair in pairs]


def test_sirst(tmp_path):
    folder = tree(tmp_path / "sirst", *(f"images/Misc_{n}.png" for n in (1, 2, 3)))
    tree(folder, *(f"masks/Misc_{n}_pixels0.png" for n in (1, 2, 3)))
    (folder / "trainval.txt").write_text("Misc_3\nMisc_1\n")
    (folder / "train.txt").write_text("Misc_3\n")  # trainval goes first
    (folder / "test.txt").write_text("Misc_2")  # no newline at the end
    dataset = load_dataset(folder)
    assert dataset.name == "sirst"
    assert names(dataset.part("train")) == ["Misc_3", "Misc_1"]
    assert names(dataset.part("test")) == ["Misc_2"]
    assert dataset.part("test")[0].mask.name == "Misc_2_pixels0.png"
    assert dataset.describe("test") == "sirst, test part"
    for name in ("trainval.txt", "train.txt", "test.txt"):  # as in the authors' own archive
        (folder / "idx_427").mkdir(exist_ok=True)
        (folder / name).rename(folder / "idx_427" / name)
    assert names(load_dataset(folder).part("train")) == ["Misc_3", "Misc_1"]


def test_neu_seg(tmp_path):
    folder = tree(tmp_path, "images/training/a.jpg", "images/training/b.jpg", "images/test/c.jpg")
    tree(folder, "annotations/training/a.png", "annotations/training/b.png", "annotations/test/c.png")
    dataset = load_dataset(folder)
    assert names(dataset.part("train")) == ["a", "b"]
    assert names(dataset.part("test")) == ["c"]


def test_a_folder_per_part(tmp_path):
    folder = tree(tmp_path, "trainval/images/a.png", "trainval/masks/a.png", "test/images/b.png", "test/masks/b.png")
    assert names(load_dataset(folder).part("train")) == ["a"]
    assert names(load_dataset(folder).part("test")) == ["b"]


@pytest.mark.parametrize("files", [("imgs/a.jpg", "labels/a.png"), ("a.jpg", "a_mask.png"), ("a.bmp", "a_gt.png")])
def test_pairs_without_parts(tmp_path, files: tuple[str, ...]):
    dataset = load_dataset(tree(tmp_path / "mine", *files))
    assert names(dataset.part("train")) == names(dataset.part("test")) == ["a"]
    assert dataset.describe("train") == "mine"


def test_folders_that_do_not_fit(tmp_path):
    with pytest.raises(UsageError, match="no data folder"):
        load_dataset(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no pairs"):
        load_dataset(tmp_path / "empty")
    folder = tree(tmp_path / "a", "images/a.png", "images/b.png", "masks/a.png")
    with pytest.raises(EdgekitError, match=r"b\.png has no mask"):
        load_dataset(folder)
    save(folder / "masks" / "b.png")
    (folder / "test.txt").write_text("a\nc\n")
    with pytest.raises(EdgekitError, match=r"test\.txt names 'c'"):
        load_dataset(folder)
    (folder / "test.txt").write_text("a\n")
    with pytest.raises(UsageError, match="has no train part, only: test"):
        load_dataset(folder).part("train")


def test_loading_a_pair(tmp_path):
    folder = tree(tmp_path, "images/a.png")
    save(folder / "masks" / "a.png", np.repeat(np.repeat(GRAY % 2, 2, 0), 2, 1))  # SIRST has a mask of another scale
    pair = load_dataset(folder).part("test")[0]
    image, mask = pair.load((20, 24))
    np.testing.assert_allclose(image, GRAY / 255, rtol=1e-6)
    np.testing.assert_array_equal(mask, GRAY % 2 > 0)
    assert pair.load((8, 40))[0].shape == pair.load((8, 40))[1].shape == (8, 40)
    save(folder / "masks" / "a.png", GRAY[:, :20])
    with pytest.raises(EdgekitError, match=r"20x20 pixels, its image 24x20.*no mask of a\.png"):
        pair.load((20, 24))


def test_real_sirst(data_root):
    dataset = load_dataset(data_root / "sirst")
    assert len(dataset.part("train")) == 341
    assert len(dataset.part("test")) == 86
    assert not set(names(dataset.part("train"))) & set(names(dataset.part("test")))
    odd = next(pair for part in dataset.parts.values() for pair in part if pair.name == "Misc_111")
    image, mask = odd.load((256, 256))
    assert image[mask].mean() > image.mean()
