"""What the tokens so far leave behind in a model that goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from edgekit.kernels.sea import SeaState, SeaWeights


class Traced(NamedTuple):
    """What attention did with some rows: q (scaled) and k (H, T, d), and the estimator's scores (H, T, K)."""

    q: Tensor
    k: Tensor
    scores: Tensor


@dataclass
class LayerState:
    """Of one layer and one sequence; changed in place.

    Attributes:
        k_cache, v_cache: (H, T_max, d) float32.
        weights: the estimator's, folded; None for dense attention.
        estimator: its state; None for dense attention.
        trace: a list that gets what SEA's attention does from now on; None to keep nothing.
    """

    k_cache: Tensor
    v_cache: Tensor
    weights: SeaWeights | None = None
    estimator: SeaState | None = None
    trace: list[Traced] | None = None


@dataclass
class ModelState:
    """Of all layers.

    Attributes:
        layers: first to last.
        length: tokens so far.
    """

    layers: list[LayerState]
    length: int = 0

    @property
    def capacity(self) -> int:
        """Tokens that there is room for, T_max."""
        return self.layers[0].k_cache.shape[1]
