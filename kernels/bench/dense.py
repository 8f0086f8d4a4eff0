"""What users have today: KV cache and dense causal attention, in torch and in ExecuTorch.

torch's caches are (H, L, d), ExecuTorch's (1, L, H, d). The rows of a call are the last of the cache, and q is scaled
already.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .runtimes import load_llama_operators

load_llama_operators()


def by_token(cache: Tensor) -> Tensor:
    """A copy of a cache of torch's as ExecuTorch's operators take it."""
    return cache.transpose(0, 1).contiguous()[None]


def assign(k: Tensor, v: Tensor, start_pos: int, k_cache: Tensor, v_cache: Tensor) -> None:
    """Writes rows k and v (H, T, d) into torch's caches."""
    for rows, cache in ((k, k_cache), (v, v_cache)):
        cache[:, start_pos : start_pos + rows.shape[1]] = rows


def update_cache(k: Tensor, v: Tensor, start_pos: int, k_cache: Tensor, v_cache: Tensor) -> None:
    """Writes rows k and v (H, T, d) into ExecuTorch's caches."""
    for rows, cache in ((k, k_cache), (v, v_cache)):
        torch.ops.llama.update_cache(rows.transpose(0, 1)[None], cache, start_pos)


def torch_sdpa(q: Tensor, k_cache: Tensor, v_cache: Tensor) -> Tensor:
    """Rows (H, T, d) for one row, or as many as the cache has."""
    caches = k_cache[None], v_cache[None]
    return functional.scaled_dot_product_attention(q[None], *caches, scale=1.0, is_causal=q.shape[1] > 1)[0]


def custom_sdpa(q: Tensor, k_cache: Tensor, v_cache: Tensor) -> Tensor:
    """Rows (H, T, d), any number."""
    start_pos = k_cache.shape[1] - q.shape[1]
    found = torch.ops.llama.custom_sdpa(q.transpose(0, 1)[None], k_cache, v_cache, start_pos, None, 0.0, True, 1.0)
    return found[0].transpose(0, 1)
