"""One decode step of sparse_topk_attention against dense attention, and one reading of the bytes that each must read.

The cache is cold, as it is in a model whose other layers ran in between; the estimator's scores are given.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from edgekit.kernels import ops

from .dense import by_token, custom_sdpa, torch_sdpa
from .kv_cache import DTYPES, HEADS, LENGTHS, QUICK, SIZE, contender, filled, token_bytes
from .measure import OURS, Contender, Row, by_isa, compare

#: k_budget, tokens a head and step, and K, the estimator's cells.
BUDGET, CELLS = 64, 256
#: Tokens of the cache that wakes a contender.
SHORT = 128
#: Its cost must not grow with the tokens.
GROWS = "L = "


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    """All cases."""
    for length in QUICK if quick else LENGTHS:
        yield from compare(f"L = {length}", _contenders(length), _inputs, rounds)


def _inputs(seed: int) -> tuple[Tensor, ...]:
    """q (H, 1, d), scores (H, 1, K), gates (H, 1, 2), v_mean (H, 1, d)."""
    generator = torch.Generator().manual_seed(seed)
    q, mean = (torch.randn(HEADS, 1, SIZE, generator=generator) * SIZE**-0.5 for _ in range(2))
    scores = torch.randn(HEADS, 1, CELLS, generator=generator) * 2
    return q, scores, torch.rand(HEADS, 1, 2, generator=generator), mean


def _contenders(length: int) -> dict[str, Contender]:
    example, found = _inputs(0), {}
    for name, dtype in DTYPES.items():
        work = HEADS * min(BUDGET, length) * token_bytes(dtype) + 4 * HEADS * CELLS
        found[name] = contender(_sparse, filled(length, dtype), filled(SHORT, dtype), example, work)
    found |= by_isa(found[OURS])
    cache, short = filled(length, torch.float32), filled(SHORT, torch.float32)
    size = HEADS * length * token_bytes(torch.float32)
    theirs, their_short = ([by_token(tensor) for tensor in tensors] for tensors in (cache, short))
    found["llama::custom_sdpa"] = contender(_custom_sdpa, theirs, their_short, example, size, torch.flatten)
    found["torch sdpa"] = contender(_torch_sdpa, cache, short, example, size, torch.flatten)
    chosen = torch.ones(int(found[OURS].work or 0) // 4)
    found["one read of the chosen"] = contender(_read, [chosen], short[:1], example, chosen.nbytes)
    found["one read of the cache"] = contender(_read, cache, short, example, size)
    return found


def _sparse(q: Tensor, scores: Tensor, gates: Tensor, mean: Tensor, k: Tensor, v: Tensor, *scales: Tensor) -> Tensor:
    return ops.sparse_topk_attention(q, k, v, scores, gates, mean, k.shape[1] - 1, BUDGET, *scales)


def _custom_sdpa(q: Tensor, scores: Tensor, gates: Tensor, mean: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return custom_sdpa(q, k, v)


def _torch_sdpa(q: Tensor, scores: Tensor, gates: Tensor, mean: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch_sdpa(q, k, v)


def _read(q: Tensor, scores: Tensor, gates: Tensor, mean: Tensor, *data: Tensor) -> None:
    for tensor in data:
        torch.sum(tensor)
