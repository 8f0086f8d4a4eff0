"""Masks of objects from files of labelled data: PNG, JPEG or BMP."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from edgekit.errors import EdgekitError, UsageError
from edgekit_runtime.images import Mask

FORMATS = ("PNG", "JPEG", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
#: An image of more pixels is refused before it is decoded.
MAX_PIXELS = 1 << 26
#: An image with a shorter side is refused: the networks see a neighbourhood of this size at least.
MIN_SIDE = 16


def read_mask(path: Path) -> Mask:
    """Where a mask has an object: every value but 0, so that masks with several classes count too.

    A JPEG's values are not exact: there, the upper half counts.

    Raises:
        UsageError: there is no such file.
        EdgekitError: no image, of an unknown kind, cut short, too small or too large.
    """
    picture = _open(path)
    if picture.mode in ("LA", "La", "RGBA", "RGBa"):
        picture = picture.convert("L" if picture.mode.startswith("L") else "RGB")
    values = np.asarray(picture)  # a palette's numbers are the classes
    if values.ndim == 3:
        values = values.max(axis=2)
    threshold = 127 if picture.format == "JPEG" else 0
    return np.asarray(values > threshold)


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
        raise EdgekitError(f"{path} {kind}: give a PNG, JPEG or BMP file.") from error
    # What Pillow raises depends on the codec that stumbles.
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise EdgekitError(f"{path} is damaged or cut short ({error}): copy it again.") from error


def _too_large(path: Path, size: str) -> EdgekitError:
    return EdgekitError(f"{path} has {size}, at most {MAX_PIXELS >> 20} million are taken: crop or shrink it first.")
