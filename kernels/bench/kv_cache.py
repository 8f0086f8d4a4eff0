"""The KV caches of the benchmarks of kv_append, sparse_topk_attention and sea_layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from edgekit.kernels import ops

from .measure import OURS, Contender

#: H heads of size d.
HEADS, SIZE = 12, 64
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
QUICK = (64, 128)
#: Contenders and the dtype of their cache.
DTYPES = {OURS: torch.float32, f"{OURS} fp16": torch.float16, f"{OURS} int8": torch.int8}


def filled(length: int, dtype: torch.dtype) -> list[Tensor]:
    """k_cache and v_cache (H, length, d), with int8 also k_scale and v_scale (H, length), full of random tokens."""
    generator = torch.Generator().manual_seed(length)
    tensors = [torch.zeros(HEADS, length, SIZE, dtype=dtype) for _ in range(2)]
    tensors += [torch.zeros(HEADS, length) for _ in range(2)] if dtype == torch.int8 else []
    ops.kv_append(*(torch.randn(HEADS, length, SIZE, generator=generator) for _ in range(2)), 0, *tensors)
    return tensors


def token_bytes(dtype: torch.dtype) -> int:
    """Bytes of one token and head: its key and value, and their scales."""
    return 2 * (SIZE * dtype.itemsize + (4 if dtype == torch.int8 else 0))


def contender(
    step: Callable[..., Any],
    caches: Sequence[Tensor],
    short: Sequence[Tensor],
    example: Sequence[object],
    work: float,
    answer: Callable[[Any], Tensor] | None = None,
) -> Contender:
    """A step on its inputs and `caches`, with a cold cache; `example` and the `short` caches wake it."""
    return Contender(lambda *inputs: step(*inputs, *caches), work, awake=lambda: step(*example, *short), answer=answer)
