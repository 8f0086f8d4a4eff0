"""Data sets of images and object masks: SIRST, NEU-Seg and folders laid out like them, and any folder of pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import EdgekitError, UsageError
from edgekit.images import SUFFIXES, read_mask
from edgekit_runtime.images import Gray, Mask, read_gray, resize_linear, resize_nearest

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "annotations", "labels", "label", "gt")
#: What a mask's name may add to its image's.
MASK_ENDINGS = ("", "_pixels0", "_mask", "-mask", "_gt", "_label")
#: How data sets call the two parts, the best name first.
PARTS = {"train": ("trainval", "train", "training"), "test": ("test", "testing", "val", "validation")}
#: Height and width of an image may differ from its mask's in scale, but not in shape, beyond this share.
MAX_DISTORTION = 0.02


@dataclass(frozen=True)
class Pair:
    """One image and its mask, on disk."""

    name: str
    image: Path
    mask: Path

    def load(self, size: tuple[int, int]) -> tuple[Gray, Mask]:
        """The image (bilinear) and the mask (nearest) at a size (height, width).

        Raises:
            EdgekitError: a file cannot be read, or the mask is of another image.
        """
        image, mask = read_gray(self.image), read_mask(self.mask)
        # SIRST has an image whose mask was drawn at another scale: only a mask of another shape is wrong.
        ratio = (image.shape[0] * mask.shape[1]) / (image.shape[1] * mask.shape[0])
        if not 1 - MAX_DISTORTION < ratio < 1 + MAX_DISTORTION:
            raise EdgekitError(
                f"{self.mask} has {mask.shape[1]}x{mask.shape[0]} pixels, its image {image.shape[1]}x{image.shape[0]}: "
                f"it is no mask of {self.image.name}."
            )
        return resize_linear(image, size), resize_nearest(mask, size)


@dataclass(frozen=True)
class Dataset:
    """The parts of a data set.

    Attributes:
        name: of its folder.
        parts: pairs by part: "train" and "test", or "all" where the folder does not tell them apart.
    """

    name: str
    parts: Mapping[str, tuple[Pair, ...]]

    def part(self, name: str) -> tuple[Pair, ...]:
        """The pairs of "train" or "test"; all of them where the data set has no parts.

        Raises:
            UsageError: it has parts, but not this one.
        """
        pairs = self.parts.get("all") or self.parts.get(name)
        if not pairs:
            raise UsageError(f"the data set {self.name} has no {name} part, only: {', '.join(sorted(self.parts))}.")
        return pairs

    def describe(self, name: str) -> str:
        """ "sirst, test part" or, without parts, "sirst"."""
        return self.name if "all" in self.parts else f"{self.name}, {name} part"


def load_dataset(path: Path) -> Dataset:
    """The pairs below a folder; no image is opened.

    Understood are: `images/` and `masks/` (or `annotations/`, ...) with lists of names such as `trainval.txt` and
    `test.txt` beside or one folder below them (SIRST); the same with a folder per part inside (NEU-Seg); a folder per
    part with `images/` and `masks/` inside; and images beside masks called NAME_mask, without parts.

    Raises:
        UsageError: there is no such folder, or no pairs in it.
        EdgekitError: an image lacks its mask, or a list names an image that is not there.
    """
    if not path.is_dir():
        raise UsageError(f"there is no data folder {path}.")
    name = path.resolve().name
    images, masks = _subfolder(path, IMAGE_FOLDERS), _subfolder(path, MASK_FOLDERS)
    if images and masks:
        parts = _listed(path, _pairs(images, masks))
        parts = parts or _part_folders(lambda part: (images / part, masks / part))
        parts = parts or {"all": tuple(_pairs(images, masks).values())}
    else:
        parts = _part_folders(
            lambda part: (_subfolder(path / part, IMAGE_FOLDERS), _subfolder(path / part, MASK_FOLDERS))
        )
        parts = parts or {"all": tuple(_pairs(path, path).values())}
    parts = {part: pairs for part, pairs in parts.items() if pairs}
    if not parts:
        raise UsageError(
            f"{path} holds no pairs: it needs images/ and masks/ with files of the same names, "
            f"or images beside masks called NAME_mask."
        )
    return Dataset(name, parts)


def _subfolder(path: Path, names: tuple[str, ...]) -> Path | None:
    return next((path / name for name in names if (path / name).is_dir()), None)


def _part_folders(folders: Callable[[str], tuple[Path | None, Path | None]]) -> dict[str, tuple[Pair, ...]]:
    """Parts that are folders: `folders` gives those of images and of masks for a part's name."""
    parts = {}
    for part, names in PARTS.items():
        for name in names:
            images, masks = folders(name)
            if images and masks and images.is_dir() and masks.is_dir():
                parts[part] = tuple(_pairs(images, masks).values())
                break
    return parts


def _pairs(images: Path, masks: Path) -> dict[str, Pair]:
    """Every image of a folder with its mask, by name."""
    pictures, drawn = _files(images), _files(masks)
    if images == masks:
        endings = [ending for ending in MASK_ENDINGS if ending]
        pictures = {name: file for name, file in pictures.items() if not name.endswith(tuple(endings))}
    else:
        endings = list(MASK_ENDINGS)
    pairs = {}
    for name, image in pictures.items():
        mask = next((drawn[name + ending] for ending in endings if name + ending in drawn), None)
        if mask is None and drawn.keys() != pictures.keys():
            raise EdgekitError(f"{image} has no mask in {masks}: it would be called {name}{endings[0]}.png.")
        if mask is not None:
            pairs[name] = Pair(name, image, mask)
    return pairs


def _files(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by name without suffix, sorted."""
    return {file.stem: file for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES and file.is_file()}


def _listed(path: Path, pairs: Mapping[str, Pair]) -> dict[str, tuple[Pair, ...]]:
    """Parts that are lists of names, in a data set's folder or one below it."""
    parts = {}
    for part, names in PARTS.items():
        lists = [file for name in names for file in (path / f"{name}.txt", *sorted(path.glob(f"*/{name}.txt")))]
        found = next((file for file in lists if file.is_file()), None)
        if found is None:
            continue
        wanted = found.read_text(encoding="utf-8").split()
        missing = [name for name in wanted if Path(name).stem not in pairs]
        if missing:
            raise EdgekitError(f"{found} names {missing[0]!r}, of which there is no image and mask below {path}.")
        parts[part] = tuple(pairs[Path(name).stem] for name in wanted)
    return parts
