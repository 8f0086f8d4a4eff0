"""What the tokens so far leave behind in a model that goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from edgekit.kernels.sea import SeaState, SeaWeights
from edgekit.models.kv import KV

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "int8": torch.int8}


class Traced(NamedTuple):
    """What attention did with some rows: q (scaled) and k (H, T, d), and the estimator's scores (H, T, K)."""

    q: Tensor
    k: Tensor
    scores: Tensor


@dataclass
class LayerState:
    """Of one layer and one sequence; changed in place.

    Attributes:
        k_cache, v_cache: (H, T_max, d) float32, float16 or int8.
        weights: the estimator's, folded; None for dense attention.
        estimator: its state; None for dense attention.
        trace: a list that gets what SEA's attention does from now on; None to keep nothing.
        k_scale, v_scale: (H, T_max) float32, with int8 caches only: see `edgekit.kernels.ops.kv_append`.
    """

    k_cache: Tensor
    v_cache: Tensor
    weights: SeaWeights | None = None
    estimator: SeaState | None = None
    trace: list[Traced] | None = None
    k_scale: Tensor | None = None
    v_scale: Tensor | None = None

    @classmethod
    def empty(
        cls, heads: int, capacity: int, size: int, kv: KV = "fp32", device: torch.device | None = None
    ) -> LayerState:
        """Caches of zeros: the state before the first token."""
        k_cache, v_cache = (torch.zeros(heads, capacity, size, dtype=_DTYPES[kv], device=device) for _ in range(2))
        if kv != "int8":
            return cls(k_cache, v_cache)
        k_scale, v_scale = (torch.zeros(heads, capacity, device=device) for _ in range(2))
        return cls(k_cache, v_cache, k_scale=k_scale, v_scale=v_scale)


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
