"""kv_append of one token against torch's and ExecuTorch's writes into a cache, and one reading of the same bytes.

The cache is cold, as it is in a model whose other layers ran in between.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from edgekit.kernels import ops

from .kv_cache import DTYPES, HEADS, LENGTHS, QUICK, SIZE, by_token, contender, filled, token_bytes
from .measure import OURS, Contender, Row, by_isa, compare
from .runtimes import load_llama_operators

#: Its cost must not depend on the cache's size.
GROWS = True


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
    found["torch"] = contender(_assign, cache, short, example, size)
    load_llama_operators()
    theirs, their_short = ([by_token(tensor) for tensor in tensors] for tensors in (cache, short))
    found["llama::update_cache"] = contender(_update, theirs, their_short, example, size)
    found["one read"] = contender(_read, [torch.ones(size // 4)], [torch.ones(1)], example, size)
    return found


def _assign(k: Tensor, v: Tensor, position: int, k_cache: Tensor, v_cache: Tensor) -> None:
    k_cache[:, position : position + 1] = k
    v_cache[:, position : position + 1] = v


def _update(k: Tensor, v: Tensor, position: int, k_cache: Tensor, v_cache: Tensor) -> None:
    for row, cache in ((k, k_cache), (v, v_cache)):
        torch.ops.llama.update_cache(row.transpose(0, 1)[None], cache, position)


def _read(k: Tensor, v: Tensor, position: int, data: Tensor) -> Tensor:
    return torch.sum(data)
