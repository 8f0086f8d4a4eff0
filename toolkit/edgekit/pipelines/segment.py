"""The task `segment`: an image in; a mask and a list of objects out.

Everything around the program, in numpy and scipy alone: fitting the image to a frame size that the program has, the
threshold, the way back to the image's size, and connected components.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from edgekit.errors import EdgekitError, UsageError
from edgekit.images import MIN_SIDE, Gray, Mask, resize_linear, resize_nearest

if TYPE_CHECKING:
    from edgekit_runtime import Session
    from edgekit_runtime.tensors import MethodSpec

NAME = "segment"
#: How an image comes to a frame size: resized; placed into the frame; cut into tiles of it.
Fit = Literal["resize", "pad", "tile"]
FITS: tuple[Fit, ...] = get_args(Fit)
#: Height and width of a frame in pixels.
Size = tuple[int, int]
#: (H, W) float32.
Map = npt.NDArray[np.float32]
#: Pixels that meet at a corner belong to one object.
EIGHT_CONNECTED = np.ones((3, 3), dtype=np.int8)


@dataclass(frozen=True)
class Segmenter:
    """What the task knows beside the program.

    Attributes:
        threshold: an object is where a logit is above it.
        halo: pixels around an output on which it depends; None if it depends on the whole frame.
    """

    threshold: float
    halo: int | None

    def to_dict(self) -> dict[str, Any]:
        return {"name": NAME, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Segmenter:
        """The settings in a manifest.

        Raises:
            EdgekitError: something is missing or out of range.
        """
        threshold, halo = values.get("threshold"), values.get("halo", -1)
        number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool) and math.isfinite(threshold)
        if not number or not (halo is None or (type(halo) is int and halo >= 0)):
            raise EdgekitError("the manifest's settings of the task 'segment' do not fit: export the bundle again.")
        return cls(float(threshold), halo)  # type: ignore[arg-type]  # a number, as was just checked


@dataclass(frozen=True)
class SegmentedObject:
    """One object. Rows and columns count from 0 at the top left; a pixel's centre is at a whole number.

    Attributes:
        centroid: (row, column), the mean over its pixels.
        box: (top, left, bottom, right), the last two not included.
        area: its pixels.
        peak: its highest logit.
        peak_at: (row, column) of that.
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
    mask = logits > threshold
    labels, count = ndimage.label(mask, EIGHT_CONNECTED)
    if not count:
        return ()
    index = np.arange(1, count + 1)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    centroids = ndimage.center_of_mass(mask, labels, index)
    places = ndimage.maximum_position(logits, labels, index)
    objects = []
    for area, centroid, place, (rows, columns) in zip(
        areas.tolist(), centroids, places, ndimage.find_objects(labels), strict=True
    ):
        objects.append(
            SegmentedObject(
                centroid=(float(centroid[0]), float(centroid[1])),
                box=(rows.start, columns.start, rows.stop, columns.stop),
                area=area,
                peak=float(logits[place]),
                peak_at=(int(place[0]), int(place[1])),
            )
        )
    return tuple(sorted(objects, key=lambda found: (-getattr(found, order), found.box)))


@dataclass(frozen=True)
class Tile:
    """One tile along one axis: it begins at `start`, and its outputs from `begin` to before `end` are kept."""

    start: int
    begin: int
    end: int


def tiles_along(length: int, tile: int, halo: int) -> list[Tile] | None:
    """Tiles that cover an axis so that every kept output is that of the whole image; None if there are none.

    Near a cut the network pads with zeros where the image goes on, so outputs within `halo` of it are dropped. At the
    image's own border a tile lies flush: there the whole image is padded with the same zeros.
    """
    if tile > length:
        return None
    tiles: list[Tile] = []
    start = done = 0
    while done < length:
        end = length if start + tile == length else start + tile - halo
        if end <= done:
            return None
        tiles.append(Tile(start, done, end))
        done = end
        start = min(done - halo, length - tile)
    return tiles


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
        settings = session.manifest["pipeline"]
        if settings.get("name") != NAME:
            raise UsageError(f"{session.path} is a bundle for the task {settings.get('name')!r}, not {NAME!r}.")
        self.settings = Segmenter.from_dict(settings)
        self.threshold = self.settings.threshold if threshold is None else threshold
        self._session = session
        self._methods: dict[Size, list[MethodSpec]] = {}
        for method in session.methods:
            shape = method.inputs[0].shape if len(method.inputs) == 1 else ()
            if len(shape) != 4 or shape[1] != 1 or any(spec.shape != shape for spec in method.outputs):
                raise EdgekitError(f"method {method.name!r} of {session.path} takes no image: export it again.")
            self._methods.setdefault((shape[2], shape[3]), []).append(method)

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Frame sizes that the program has."""
        return tuple(self._methods)

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
        image = _checked(image)
        if size is not None and size not in self._methods:
            raise UsageError(
                f"the bundle has no frames of {_text(size)}, it has {self._known()}: choose one of them, "
                f"or export it with --size {_text(size)}."
            )
        candidates = self.sizes if size is None else (size,)
        if fit == "tile":
            name, outputs = self._tiled(image, candidates)
        elif fit == "pad":
            name, outputs = self._padded(image, candidates)
        elif fit == "resize":
            name, outputs = self._resized(image, candidates)
        else:
            raise UsageError(f"unknown fit {fit!r}: there are {', '.join(FITS)}.")
        answer = next(iter(outputs.values()))
        logits = np.asarray(resize_nearest(answer, (image.shape[0], image.shape[1])))
        if not np.isfinite(logits).all():
            raise EdgekitError(f"method {name!r} gave values that are not finite: is the image's brightness in [0, 1]?")
        objects = find_objects(logits, self.threshold)
        return Segmentation(logits > self.threshold, logits, objects, outputs, name)

    def _resized(self, image: Gray, candidates: tuple[Size, ...]) -> tuple[str, dict[str, Map]]:
        size = min(
            candidates, key=lambda size: sum(abs(math.log(a / b)) for a, b in zip(size, image.shape, strict=True))
        )
        name, (outputs,) = self._run([resize_linear(image, size)], size)
        return name, outputs

    def _padded(self, image: Gray, candidates: tuple[Size, ...]) -> tuple[str, dict[str, Map]]:
        height, width = image.shape
        fitting = [size for size in candidates if size[0] >= height and size[1] >= width]
        if not fitting:
            raise UsageError(
                f"an image of {height}x{width} cannot be padded to {_or(candidates)} (the bundle has {self._known()}): "
                f"resize it instead, or export a --size that holds it."
            )
        size = min(fitting, key=math.prod)
        frame = np.pad(image, ((0, size[0] - height), (0, size[1] - width)), mode="edge")
        name, (outputs,) = self._run([frame], size)
        return name, {output: values[:height, :width] for output, values in outputs.items()}

    def _tiled(self, image: Gray, candidates: tuple[Size, ...]) -> tuple[str, dict[str, Map]]:
        halo, (height, width) = self.settings.halo, image.shape
        if halo is None:
            raise UsageError(
                "this model pools over the whole frame, so that tiles would change its answer: "
                "use the fit resize or pad."
            )
        plans = {}
        for size in candidates:
            rows, columns = (tiles_along(*sides, halo) for sides in zip(image.shape, size, strict=True))
            if rows is not None and columns is not None:
                plans[size] = [(row, column) for row in rows for column in columns]
        if not plans:
            smaller = any(size[0] > height or size[1] > width for size in candidates)
            reason = (
                "is smaller than the tile, whose edge would not be the image's"
                if smaller
                else f"needs tiles that overlap by {2 * halo} pixels and leave something"
            )
            raise UsageError(
                f"an image of {height}x{width} cannot be cut into tiles of {_or(candidates)}, it {reason} "
                f"(the bundle has {self._known()}): use the fit {'pad or ' if smaller else ''}resize."
            )
        size = min(plans, key=lambda size: len(plans[size]) * math.prod(size))
        frames = [
            image[row.start : row.start + size[0], column.start : column.start + size[1]] for row, column in plans[size]
        ]
        name, answers = self._run(frames, size)
        whole = {output: np.empty(image.shape, np.float32) for output in answers[0]}
        for (row, column), answer in zip(plans[size], answers, strict=True):
            kept = slice(row.begin - row.start, row.end - row.start)
            across = slice(column.begin - column.start, column.end - column.start)
            for output, values in answer.items():
                whole[output][row.begin : row.end, column.begin : column.end] = values[kept, across]
        return name, whole

    def _run(self, frames: list[Gray], size: Size) -> tuple[str, list[dict[str, Map]]]:
        """The outputs of every frame (h, w) by name, in the batches that the program has; and a method that ran."""
        methods = sorted(self._methods[size], key=lambda method: -method.inputs[0].shape[0])
        answers: list[dict[str, Map]] = []
        while len(answers) < len(frames):
            left = frames[len(answers) :]
            method = next((method for method in methods if method.inputs[0].shape[0] <= len(left)), methods[-1])
            batch = method.inputs[0].shape[0]
            # No method is small enough: fill up, and drop the surplus.
            chosen = left[:batch] + left[-1:] * (batch - len(left))
            outputs = self._session.run(np.ascontiguousarray(np.stack(chosen)[:, None]), method=method.name)
            names = [spec.name for spec in method.outputs]
            answers += [
                {name: values[index, 0] for name, values in zip(names, outputs, strict=True)}
                for index in range(min(batch, len(left)))
            ]
        return method.name, answers

    def _known(self) -> str:
        return ", ".join(_text(size) for size in self.sizes)


def _checked(image: Gray) -> Gray:
    """The image as float32, if it is one."""
    if image.ndim != 2 or image.dtype.kind != "f" or min(image.shape) < MIN_SIDE:
        raise EdgekitError(
            f"an image is {image.dtype} {image.shape}: brightness as floats (H, W) is needed, "
            f"each side {MIN_SIDE} pixels or more."
        )
    if not np.isfinite(image).all():
        raise EdgekitError("the image has values that are not finite.")
    return np.asarray(image, np.float32)


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _or(sizes: tuple[Size, ...]) -> str:
    return " or ".join(_text(size) for size in sizes)
