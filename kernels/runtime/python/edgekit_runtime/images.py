"""Pictures as numbers: gray images from files, the two ways to resize them, and pictures to files.

8 or 16 bits, gray or colour, PNG, JPEG or BMP. Resizing follows OpenCV's INTER_LINEAR and INTER_NEAREST: an image that
shrinks is not smoothed. The result is not rounded to 8 bits.
"""

from __future__ import annotations

import os
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from edgekit_runtime import _native
from edgekit_runtime.errors import UsageError

#: (H, W) float32 in [0, 1].
Gray = npt.NDArray[np.float32]
#: (H, W) bool, True on an object.
Mask = npt.NDArray[np.bool_]
#: (H, W) or (H, W, 3) uint8.
Pixels = npt.NDArray[np.uint8]
Value = TypeVar("Value", bound=np.generic)


def read_gray(path: str | os.PathLike[str]) -> Gray:
    """The brightness of an image, full scale to 1; of colours the luma of ITU-R BT.601, as OpenCV does.

    An alpha channel is ignored. Colour with 16 bits a channel is read with 8.

    Raises:
        UsageError: there is no such file.
        EdgekitError: no image, of an unknown kind, cut short, too small or too large.
    """
    return _native.read_gray(os.fspath(path))


def resize_linear(image: Gray, size: tuple[int, int]) -> Gray:
    """An image (H, W) float32 at another size (height, width): bilinear, pixel centres at halves."""
    if image.shape == size:
        return image
    resized = np.empty(size, np.float32)
    _native.resize_linear(np.ascontiguousarray(image, np.float32), resized)
    return resized


def resize_nearest(values: npt.NDArray[Value], size: tuple[int, int]) -> npt.NDArray[Value]:
    """A mask or map (H, W) at another size (height, width): the pixel at or before the position, without averaging."""
    if values.shape == size:
        return values
    resized = np.empty(size, values.dtype)
    _native.resize_nearest(np.ascontiguousarray(values), resized)
    return resized


def write_png(values: Pixels, path: str | os.PathLike[str]) -> None:
    """Writes a picture (H, W) or (H, W, 3) uint8 as PNG, whole or not at all.

    Raises:
        UsageError: the name does not end in .png, or it is no picture.
        EdgekitError: it cannot be written there.
    """
    if values.dtype != np.uint8 or values.ndim not in (2, 3):
        raise UsageError(f"a picture is {values.dtype} {values.shape}: uint8 (H, W) or (H, W, 3) is needed.")
    _native.write_png(os.fspath(path), np.ascontiguousarray(values))
