"""How low in rank the background of every stage is, and how sparse its objects are.

The authors' measures (their package `dulrs`): singular values of the positive part of B, and the share of pixels where
the positive part of T is not zero. They give no single number for the rank; `energy_share` is ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.errors import EdgekitError
from edgekit_runtime.segment import Map

#: Singular values that are shown.
RANKS = 10


@dataclass(frozen=True)
class StageMeasures:
    """Measures of one stage over some frames.

    Attributes:
        stage: from 1.
        singular_values: mean of each of the ten largest singular values, largest first (fewer in smaller frames).
        singular_spread: their standard deviations over the frames.
        energy_share: mean share of the largest in the sum of squares, in [0, 1]; 1 is rank one.
        sparsity: mean share of pixels with T > 0, in [0, 1]; lower is sparser.
        sparsity_spread: its sample standard deviation over the frames, 0 for a single one.
    """

    stage: int
    singular_values: tuple[float, ...]
    singular_spread: tuple[float, ...]
    energy_share: float
    sparsity: float
    sparsity_spread: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def singular_values(background: Map) -> npt.NDArray[np.float64]:
    """All singular values of the positive part of a map (H, W), largest first, in the map's unit."""
    positive = np.maximum(np.asarray(background, np.float64), 0)
    return np.asarray(np.linalg.svd(positive, compute_uv=False))


def energy_share(values: npt.NDArray[np.float64]) -> float:
    """Share of the largest singular value in the sum of squares; 1 for an empty map, which has rank zero."""
    energy = float(np.square(values).sum())
    return float(values[0] ** 2) / energy if energy > 0 else 1.0


def sparsity(target: Map) -> float:
    """Share of pixels of a map (H, W) that are above 0."""
    return float((target > 0).mean())


def measure_stages(frames: Iterable[Sequence[tuple[Map, Map]]]) -> list[StageMeasures]:
    """Measures per stage.

    Args:
        frames: for each frame the background and the objects (H, W) of every stage; all of one size.

    Raises:
        EdgekitError: no frames, or frames of several sizes.
    """
    values, shares, sparse = [], [], []
    for stages in frames:
        found = [singular_values(background) for background, _ in stages]
        values.append([spectrum[:RANKS] for spectrum in found])
        shares.append([energy_share(spectrum) for spectrum in found])
        sparse.append([sparsity(target) for _, target in stages])
    if not values:
        raise EdgekitError("there are no frames to measure.")
    if len({(len(spectra), len(spectra[0])) for spectra in values}) > 1:
        raise EdgekitError("the frames differ in size or in stages: measure those of one size together.")
    mean, spread = np.mean(values, axis=0), np.std(values, axis=0)
    return [
        StageMeasures(
            stage=stage + 1,
            singular_values=tuple(mean[stage].tolist()),
            singular_spread=tuple(spread[stage].tolist()),
            energy_share=float(np.mean(shares, axis=0)[stage]),
            sparsity=float(np.mean(sparse, axis=0)[stage]),
            sparsity_spread=float(np.std(sparse, axis=0, ddof=1)[stage]) if len(sparse) > 1 else 0.0,
        )
        for stage in range(len(mean))
    ]
