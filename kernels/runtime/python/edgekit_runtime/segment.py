"""The task `segment`: an image in; a mask and a list of objects out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from edgekit_runtime import _native
from edgekit_runtime.errors import EdgekitError
from edgekit_runtime.images import Gray, Mask, Pixels
from edgekit_runtime.session import Session

#: How an image comes to a frame size: resized; placed into the frame; cut into tiles of it.
Fit = Literal["resize", "pad", "tile"]
FITS: tuple[Fit, ...] = get_args(Fit)
#: Height and width of a frame in pixels.
Size = tuple[int, int]
#: (H, W) float32.
Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SegmentedObject:
    """One object. Rows and columns count from 0 at the top left; a pixel's centre is at a whole number.

    Attributes:
        centroid: (row, column), the mean over its pixels.
        box: (top, left, bottom, right), the last two not included.
        area: its pixels.
        peak: its highest logit.
        peak_at: (row, column) of that, the first where there are several.
    """

    centroid: tuple[float, float]
    box: tuple[int, int, int, int]
    area: int
    peak: float
    peak_at: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What was found in one image (H, W).

    Attributes:
        mask: (H, W) bool, True on an object.
        logits: (H, W) float32; where the image was resized, the nearest of the frame's.
        objects: 8-connected components of the mask, the highest peak first.
        maps: all outputs of the program by name, float32, at the size that it saw.
        method: the method that ran.
    """

    mask: Mask
    logits: Map
    objects: tuple[SegmentedObject, ...]
    maps: Mapping[str, Map]
    method: str


def find_objects(logits: Map, threshold: float, order: Literal["peak", "area"] = "peak") -> tuple[SegmentedObject, ...]:
    """The 8-connected components of logits (H, W) above a threshold, the highest peak or the largest area first."""
    found = _native.find_objects(np.ascontiguousarray(logits, np.float32), threshold, order == "area")
    return tuple(SegmentedObject(*fields) for fields in found)


class SegmentPipeline:
    """The task on top of a session.

    Args:
        session: of a bundle for this task.
        threshold: in place of the bundle's own.

    Raises:
        UsageError: the bundle is of another task.
        EdgekitError: its manifest does not describe images.
    """

    def __init__(self, session: Session, threshold: float | None = None) -> None:
        self._native = _native.SegmentPipeline(session._native)
        if threshold is not None:
            self._native.threshold = threshold

    @property
    def threshold(self) -> float:
        """An object is where a logit is above it."""
        return self._native.threshold

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Frame sizes that the program has."""
        return tuple(self._native.sizes)

    def segment(self, image: Gray, fit: Fit = "resize", size: Size | None = None) -> Segmentation:
        """Finds the objects of one image.

        Args:
            image: (H, W) float32, brightness in [0, 1].
            fit: `resize` to a frame size, and the answer back by nearest; `pad`: the image lies at the frame's top
                left, its last row and column repeated to fill it; `tile`: tiles of the frame size that overlap, exact
                where the answer depends on a neighbourhood only.
            size: which of `sizes`; None for the image's own if there is one, else the one that suits it best.

        Raises:
            UsageError: no such size, an image that does not fit it, or tiles of a model that sees the whole frame.
            EdgekitError: no image (H, W), or values that are not finite.
        """
        if image.ndim != 2 or image.dtype.kind != "f":
            raise EdgekitError(f"an image is {image.dtype} {image.shape}: brightness as floats (H, W) is needed.")
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused as not finite
            values = np.ascontiguousarray(image, np.float32)
        mask, logits, objects, maps, method = self._native.segment(values, fit, size)
        return Segmentation(mask, logits, tuple(SegmentedObject(*fields) for fields in objects), maps, method)


def draw_overlay(image: Gray, mask: Mask, objects: Sequence[SegmentedObject], labelled: Mask | None = None) -> Pixels:
    """An image with what was found in it: red outlines, yellow boxes, and green outlines of what is labelled.

    Args:
        image: (H, W) float32; shown from its darkest to its brightest value.
        mask: (H, W) bool.
        objects: of the mask; the first ones get boxes.
        labelled: (H, W) bool, if known.

    Returns:
        (s H, s W, 3) uint8, s a whole number from 1.
    """
    values, masks = np.ascontiguousarray(image, np.float32), [np.ascontiguousarray(mask, np.bool_)]
    if labelled is not None:
        masks.append(np.ascontiguousarray(labelled, np.bool_))
    if values.ndim != 2 or any(each.shape != values.shape for each in masks):
        raise EdgekitError(f"an image {values.shape} and masks {[each.shape for each in masks]} do not fit together.")
    pixels = np.empty((*_native.overlay_size(*values.shape), 3), np.uint8)
    boxes = [found.box for found in objects]
    _native.draw_overlay(values, masks[0], boxes, masks[1] if labelled is not None else None, pixels)
    return pixels
