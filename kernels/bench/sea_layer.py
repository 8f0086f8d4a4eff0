"""The attention of one layer as large as OPT-125M's: SEA's three operators against dense attention.

All append to their KV cache. A decode step of SEA is sea_estimate, kv_append and sparse_topk_attention with its
selection; a prefill is the same in chunks, from an empty cache. The dense contenders are given all rows at once. SEA
computes another attention than they, so its answers are not compared with theirs. The cache is cold, as it is in a
model whose other layers ran in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from edgekit.kernels import ops
from edgekit.kernels.sea import SeaState, SeaWeights, random_weights

from .dense import assign, by_token, custom_sdpa, torch_sdpa, update_cache
from .kv_cache import HEADS, SIZE, filled, token_bytes
from .measure import COMPUTING, OURS, READING, Contender, Row, by_isa, compare
from .sea_estimate import operations, random_rows, state_after
from .sparse_topk_attention import BUDGET, CELLS, SHORT

#: M, the estimator's features.
FEATURES = 33
#: Rows of a prefill that SEA takes at once.
CHUNK = 128


class Case(NamedTuple):
    """The last `rows` of L tokens: one, or all of them."""

    rows: int
    length: int

    def __str__(self) -> str:
        return f"{'decode' if self.rows == 1 else 'prefill'}, L = {self.length}"


CASES = (Case(1, 512), Case(1, 2048), Case(1, 8192), Case(2048, 2048), Case(8192, 8192))
QUICK = (Case(1, 64), Case(1, 128), Case(160, 160))
#: A decode step must not cost more in a long context.
GROWS = "decode"


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    """All cases."""
    for case in QUICK if quick else CASES:
        shape = (HEADS, case.rows, SIZE)
        yield from compare(str(case), _contenders(case), lambda seed, shape=shape: random_rows(shape, seed), rounds)  # type: ignore[misc]


class _Layer(NamedTuple):
    """SEA's weights, state and caches, which are full of tokens."""

    weights: SeaWeights
    state: SeaState
    k_cache: Tensor
    v_cache: Tensor

    @classmethod
    def make(cls, length: int) -> _Layer:
        weights = random_weights(HEADS, SIZE, FEATURES, CELLS, length)
        return cls(weights, state_after(min(length, CHUNK), weights), *filled(length, torch.float32))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The last rows of the cache, the last chunk's returned."""
        start = self.k_cache.shape[1] - q.shape[1]
        for parts in zip(*(rows.split(CHUNK, 1) for rows in (q, k, v)), strict=True):
            q, k, v = (part.contiguous() for part in parts)
            scores, gates, mean = ops.sea_estimate(q, k, v, start, self.weights, self.state)
            ops.kv_append(k, v, start, self.k_cache, self.v_cache)
            found = ops.sparse_topk_attention(q, self.k_cache, self.v_cache, scores, gates, mean, start, BUDGET)
            start += q.shape[1]
        return found

    def bytes_of_a_step(self) -> int:
        """What a step must read: weights, of the positions one row, the state, and the chosen tokens."""
        estimator = sum(tensor.nbytes for tensor in (*self.weights, *self.state)) - self.weights.positions.nbytes
        return estimator + HEADS * min(BUDGET, self.k_cache.shape[1]) * token_bytes(torch.float32)


def _contenders(case: Case) -> dict[str, Contender]:
    length, example = case.length, random_rows((HEADS, 1, SIZE), 0)
    layer, short = _Layer.make(length), _Layer.make(SHORT)
    computed = case.rows * (operations(layer.weights) + 4 * HEADS * min(BUDGET, length) * SIZE)
    ours = _contender(case, layer.attend, lambda: short.attend(*example), layer.bytes_of_a_step(), computed)
    # Plain C++ would take minutes for a prefill.
    found = by_isa(ours) if case.rows == 1 else {OURS: ours}
    size = HEADS * length * token_bytes(torch.float32)
    computed = 2 * HEADS * SIZE * case.rows * (length + 1)
    of_torch = [layer.k_cache, layer.v_cache], [short.k_cache, short.v_cache]
    of_executorch = [[by_token(cache) for cache in caches] for caches in of_torch]
    for name, run, (caches, awake) in (
        ("llama::custom_sdpa", _in_executorch, of_executorch),
        ("torch sdpa", _in_torch, of_torch),
    ):
        dense = _contender(
            case,
            lambda q, k, v, run=run, caches=caches: run(q, k, v, *caches),
            lambda run=run, awake=awake: run(*example, *awake),  # type: ignore[misc]
            size,
            computed,
        )
        found[name] = replace(dense, answer=torch.clone)
    return found


def _contender(
    case: Case, run: Callable[..., Tensor], awake: Callable[[], Tensor], read: int, computed: int
) -> Contender:
    """A decode step is rated by the bytes that it reads, a prefill by what it computes."""
    work, unit = (read, READING) if case.rows == 1 else (computed, COMPUTING)
    return Contender(run, work, unit, awake=awake)


def _in_executorch(q: Tensor, k: Tensor, v: Tensor, *caches: Tensor) -> Tensor:
    update_cache(k, v, caches[0].shape[1] - k.shape[1], *caches)
    return custom_sdpa(q, *caches)


def _in_torch(q: Tensor, k: Tensor, v: Tensor, *caches: Tensor) -> Tensor:
    assign(k, v, caches[0].shape[1] - k.shape[1], *caches)
    return torch_sdpa(q, *caches)
