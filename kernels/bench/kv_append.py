"""kv_append of one token against torch's and ExecuTorch's writes into a cache, and one reading of the same bytes.

The cache is cold, as it is in a model whose other layers ran in between.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from edgekit.kernels import ops

from .dense import assign, by_token, update_cache
from .kv_cache import DTYPES, HEADS, LENGTHS, QUICK, SIZE, contender, filled, token_bytes
from .measure import OURS, Contender, Row, by_isa, compare

#: Its cost must not depend on the cache's size.
GROWS = "T_max = "


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    """All cases."""
    for length in QUICK if quick else LENGTHS:
        yield from compare(f"T_max = {length}", _contenders(length), lambda seed, n=length: _inputs(seed, n), rounds)  # type: ignore[misc]


def _inputs(seed: int, length: int) -> tuple[Tensor, Tensor, int]:
    """k, v (H, 1, d), and where they go."""
    generator = torch.Generator().manual_seed(seed)
    k, v = (torch.randn(HEADS, 1, SIZE, generator=generator) for _ in range(2))
    return k, v, int(torch.randint(length, (), generator=generator))


def _contenders(length: int) -> dict[str, Contender]:
    example, found = _inputs(0, 1), {}
    for name, dtype in DTYPES.items():
        work = HEADS * (token_bytes(torch.float32) + token_bytes(dtype))
        found[name] = contender(ops.kv_append, filled(length, dtype), filled(1, dtype), example, work)
    found |= by_isa(found[OURS])
    cache, short, size = filled(length, torch.float32), filled(1, torch.float32), 2 * HEADS * token_bytes(torch.float32)
    found["torch"] = contender(assign, cache, short, example, size)
    theirs, their_short = ([by_token(tensor) for tensor in tensors] for tensors in (cache, short))
    found["llama::update_cache"] = contender(update_cache, theirs, their_short, example, size)
    found["one read"] = contender(_read, [torch.ones(size // 4)], [torch.ones(1)], example, size)
    return found


def _read(k: Tensor, v: Tensor, position: int, data: Tensor) -> Tensor:
    return torch.sum(data)
