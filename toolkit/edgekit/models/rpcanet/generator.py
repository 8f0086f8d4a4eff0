"""Synthetic infrared frames: small bright targets on clutter, for demos, tests and calibration where there is no data.

Clutter is noise of several grain sizes over a slope of brightness, half of the time with a horizon and rougher ground
below it. Targets are blurred points, a few pixels wide, several times brighter than their surroundings vary. Good for
plumbing; no substitute for a benchmark.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from edgekit.errors import EdgekitError
from edgekit.images import MIN_SIDE
from edgekit_runtime.images import Gray, Mask

#: Standard deviation of a target's blur in pixels.
BLUR = (0.8, 3.0)
#: A target's brightness in standard deviations of what is around it, and at least.
CONTRAST, LEAST_BRIGHTNESS = (4.0, 12.0), 0.15
#: Targets stay this far from the edge and, twice it, from each other.
MARGIN = 6


@dataclass(frozen=True, eq=False)
class Frame:
    """A generated frame.

    Attributes:
        image: (H, W) float32 in [0, 1].
        mask: (H, W) bool, where a target has at least half of its brightness.
    """

    image: Gray
    mask: Mask


def generate_frames(count: int, size: tuple[int, int], seed: int, most_targets: int = 3) -> list[Frame]:
    """Frames of one size, each with 1 to `most_targets` targets (none if that is 0).

    A frame depends on the seed and its place only: the first frames of a longer list are those of a shorter one.

    Raises:
        EdgekitError: a size below 16x16, or a negative count.
    """
    if count < 0 or most_targets < 0 or min(size) < MIN_SIDE:
        raise EdgekitError(
            f"frames: needs a count of 0 or more and a size of {MIN_SIDE}x{MIN_SIDE} or more, "
            f"not {count} of {size[0]}x{size[1]} with {most_targets} targets."
        )
    streams = np.random.SeedSequence(seed).spawn(count)
    return [_frame(size, most_targets, np.random.Generator(np.random.PCG64(stream))) for stream in streams]


def write_dataset(folder: Path, train: list[Frame], test: list[Frame]) -> None:
    """Writes frames as 8-bit PNG in SIRST's layout: images/, masks/, trainval.txt and test.txt."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    start = 0
    for part, frames in (("trainval", train), ("test", test)):
        names = [f"frame_{start + index}" for index in range(len(frames))]
        start += len(frames)
        for name, frame in zip(names, frames, strict=True):
            pixels = np.round(frame.image * 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
            Image.fromarray(frame.mask.astype(np.uint8) * 255).save(folder / "masks" / f"{name}_pixels0.png")
        (folder / f"{part}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")


def _frame(size: tuple[int, int], most_targets: int, generator: np.random.Generator) -> Frame:
    height, width = size
    rows, columns = np.mgrid[0.0:height, 0.0:width]
    slope = generator.uniform(-0.15, 0.15, 2)
    image = generator.uniform(0.2, 0.5) + slope[0] * rows / height + slope[1] * columns / width
    image += generator.uniform(0.02, 0.1) * _clutter(size, 1.0, generator)
    if generator.random() < 0.5:
        horizon = generator.uniform(0.4, 0.9) * height + generator.uniform(-0.2, 0.2) * columns
        ground = 1 / (1 + np.exp(np.clip((horizon - rows) / 1.5, -50, 50)))
        rough = generator.uniform(-0.1, 0.15) + generator.uniform(0.03, 0.08) * _clutter(size, 0.4, generator)
        image += ground * rough
    image += generator.uniform(0.003, 0.015) * generator.standard_normal(size)

    mask = np.zeros(size, np.bool_)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(image**2, 15) - ndimage.uniform_filter(image, 15) ** 2, 1e-6))
    for row, column in _places(size, int(generator.integers(min(1, most_targets), most_targets + 1)), generator):
        blur = generator.uniform(*BLUR, 2)
        shape = np.exp(-0.5 * (((rows - row) / blur[0]) ** 2 + ((columns - column) / blur[1]) ** 2))
        shape /= shape.max()
        image += max(generator.uniform(*CONTRAST) * spread[int(row), int(column)], LEAST_BRIGHTNESS) * shape
        mask |= shape >= 0.5
    return Frame(np.clip(image, 0, 1).astype(np.float32), mask)


def _clutter(size: tuple[int, int], falling: float, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Noise (H, W) of mean 0 and spread 1: grains of 1, 2, 4, ... pixels, the small weaker by a power `falling`."""
    total: npt.NDArray[np.float64] = np.zeros(size)
    grain = 1
    while grain <= max(size) // 8:
        layer = ndimage.gaussian_filter(generator.standard_normal(size), grain, mode="wrap")
        total += grain**falling * layer / layer.std()
        grain *= 2
    total -= total.mean()
    return total / max(float(total.std()), 1e-12)


def _places(size: tuple[int, int], count: int, generator: np.random.Generator) -> list[tuple[float, float]]:
    """Centres (row, column) apart from each other; fewer than `count` where there is no room."""
    places: list[tuple[float, float]] = []
    for _ in range(20 * count):
        row, column = (generator.uniform(MARGIN, side - 1 - MARGIN) for side in size)
        if len(places) < count and all(max(abs(row - r), abs(column - c)) > 2 * MARGIN for r, c in places):
            places.append((row, column))
    return places
