"""Pictures as numbers: gray images and object masks from files, and the two ways to resize them.

8 or 16 bits, gray or colour, PNG, JPEG, TIFF or BMP. Resizing follows OpenCV's INTER_LINEAR and INTER_NEAREST, with
which the authors prepared their data: an image that shrinks is not smoothed. The result is not rounded to 8 bits.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from edgekit.errors import EdgekitError, UsageError
from edgekit.files import replacing

#: (H, W) float32 in [0, 1].
Gray = npt.NDArray[np.float32]
#: (H, W) bool, True on an object.
Mask = npt.NDArray[np.bool_]
#: (H, W) or (H, W, 3) uint8.
Pixels = npt.NDArray[np.uint8]
Value = TypeVar("Value", bound=np.generic)

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
#: An image of more pixels is refused before it is decoded.
MAX_PIXELS = 1 << 26
#: An image with a shorter side is refused: the networks see a neighbourhood of this size at least.
MIN_SIDE = 16


def read_gray(path: Path) -> Gray:
    """The brightness of an image, full scale to 1; of colours the luma of ITU-R BT.601, as OpenCV does.

    An alpha channel is ignored. Colour with 16 bits a channel is read with 8.

    Raises:
        UsageError: there is no such file.
        EdgekitError: no image, of an unknown kind, cut short, too small or too large.
    """
    picture = _open(path)
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise EdgekitError(f"{path} has values outside 0 to 65535: save it with 8 or 16 bits a pixel.")
        return values.astype(np.float32) / np.float32(65535)
    if picture.mode == "F":
        raise EdgekitError(f"{path} holds floating-point numbers: save it with 8 or 16 bits a pixel.")
    if picture.mode not in ("L", "RGB"):
        picture = picture.convert("L" if picture.mode in ("1", "LA", "La") else "RGB")
    return np.asarray(picture.convert("L"), np.float32) / np.float32(255)


def read_mask(path: Path) -> Mask:
    """Where a mask has an object: every value but 0, so that masks with several classes count too.

    A JPEG's values are not exact: there, the upper half counts.

    Raises:
        UsageError: there is no such file.
        EdgekitError: as `read_gray`.
    """
    picture = _open(path)
    if picture.mode in ("LA", "La", "RGBA", "RGBa"):
        picture = picture.convert("L" if picture.mode.startswith("L") else "RGB")
    values = np.asarray(picture)  # a palette's numbers are the classes
    if values.ndim == 3:
        values = values.max(axis=2)
    threshold = 127 if picture.format == "JPEG" else 0
    return np.asarray(values > threshold)


def resize_linear(image: Gray, size: tuple[int, int]) -> Gray:
    """An image (H, W) float32 at another size (height, width): bilinear, pixel centres at halves."""
    if image.shape == size:
        return image
    (top, bottom, down), (left, right, across) = (
        _neighbours(old, new) for old, new in zip(image.shape, size, strict=True)
    )
    rows = image[top] + (image[bottom] - image[top]) * down[:, None]
    return rows[:, left] + (rows[:, right] - rows[:, left]) * across


def resize_nearest(values: npt.NDArray[Value], size: tuple[int, int]) -> npt.NDArray[Value]:
    """A mask or map (H, W) at another size (height, width): the pixel at or before the position, without averaging."""
    if values.shape == size:
        return values
    rows, columns = (np.arange(new) * old // new for old, new in zip(values.shape, size, strict=True))
    return np.asarray(values[rows[:, None], columns])


def write_png(values: Pixels, path: Path) -> None:
    """Writes a picture (H, W) or (H, W, 3) uint8 as PNG, whole or not at all.

    Raises:
        UsageError: the name does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} is not the name of a picture: let it end in .png.")
    with replacing(path) as temporary:
        Image.fromarray(values).save(temporary, format="PNG")


def _neighbours(old: int, new: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Gray]:
    """For each of `new` positions: the pixels before and after it, and the share of the second."""
    position = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0.0, old - 1.0)
    before = position.astype(np.intp)
    return before, np.minimum(before + 1, old - 1), (position - before).astype(np.float32)


def _open(path: Path) -> Image.Image:
    if not path.is_file():
        raise UsageError(f"there is no image {path}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise _too_large(path, f"{width}x{height} pixels")
                if min(width, height) < MIN_SIDE:
                    raise EdgekitError(
                        f"{path} has {width}x{height} pixels: at least {MIN_SIDE}x{MIN_SIDE} are needed."
                    )
                picture.load()
                return picture
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path, "too many pixels") from error
    except UnidentifiedImageError as error:
        kind = "is empty" if os.path.getsize(path) == 0 else "is not an image that edgekit reads"
        raise EdgekitError(f"{path} {kind}: give a PNG, JPEG, TIFF or BMP file.") from error
    # What Pillow raises depends on the codec that stumbles.
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise EdgekitError(f"{path} is damaged or cut short ({error}): copy it again.") from error


def _too_large(path: Path, size: str) -> EdgekitError:
    return EdgekitError(f"{path} has {size}, at most {MAX_PIXELS >> 20} million are taken: crop or shrink it first.")
