"""The gradient of `sparse_topk_attention`: block after block of rows, whose scores of all tokens are computed again.

Which cells are chosen has no gradient; the scores that choose them get none. Cells are chosen anew by the same rule
from the same scores: of two that are equal but for rounding, another may be taken than in the forward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from edgekit.kernels.selection import chosen_tokens

#: Numbers of a block's scores of all tokens, several copies of which are held at once: 16 MB each.
BLOCK_NUMBERS = 1 << 22


def attention_gradient(
    out_gradient: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scores: Tensor,
    gates: Tensor,
    start_pos: int,
    k_budget: int,
    v_mean: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of q, k, v, gates and v_mean, from that of the output; see `edgekit.kernels.ops`.

    Args:
        out_gradient, q, v_mean: (H, T, d), of one float dtype.
        k, v: (H, start_pos + T, d): the tokens' numbers, whatever the cache holds them in.
        scores: (H, T, K).
        gates: (H, T, 2).
        start_pos, k_budget: as of the operator.
    """
    heads, rows, _ = q.shape
    q_gradient, k_gradient, v_gradient, gates_gradient, mean_gradient = (
        torch.zeros_like(tensor) for tensor in (q, k, v, gates, v_mean)
    )
    block_rows = max(1, BLOCK_NUMBERS // (heads * k.shape[1]))
    for first in range(0, rows, block_rows):
        block = slice(first, first + block_rows)
        q_rows, out_rows = q[:, block], out_gradient[:, block]
        end = start_pos + first + q_rows.shape[1]
        keys, values = k[:, :end], v[:, :end]
        chosen = chosen_tokens(scores[None, :, block], k_budget, start_pos + first)[0]
        weights = (q_rows @ keys.transpose(1, 2)).masked_fill_(~chosen, torch.finfo(q.dtype).min).softmax(-1)
        weights *= chosen.any(-1, keepdim=True)
        attention = weights @ values

        g0, g1 = gates[:, block].split(1, -1)
        own = out_rows * (g0 * attention - v_mean[:, block])
        gates_gradient[:, block, :1] = (out_rows * g1 * attention).sum(-1, keepdim=True)
        gates_gradient[:, block, 1:] = own.sum(-1, keepdim=True)
        mean_gradient[:, block] = (1 - g1) * out_rows

        inner = g1 * g0 * out_rows
        v_gradient[:, :end] += weights.transpose(1, 2) @ inner
        slope = (inner @ values.transpose(1, 2)).sub_((inner * attention).sum(-1, keepdim=True)).mul_(weights)
        q_gradient[:, block] = slope @ keys
        k_gradient[:, :end] += slope.transpose(1, 2) @ q_rows
    return q_gradient, k_gradient, v_gradient, gates_gradient, mean_gradient


def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """What the gradient needs of a call: torch.library's `setup_context`."""
    given = [*inputs, *[None] * (10 - len(inputs))]  # scales are left out where there are none
    ctx.save_for_backward(*given[:6], *given[8:])
    ctx.start_pos, ctx.k_budget = given[6:8]


def backward(ctx: Any, out_gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of the operator's arguments; of an int8 cache and its scales there are none."""
    q, k_cache, v_cache, scores, gates, v_mean, k_scale, v_scale = ctx.saved_tensors
    end = ctx.start_pos + q.shape[1]
    caches = (k_cache, k_scale), (v_cache, v_scale)
    k, v = (
        cache[:, :end].to(q.dtype) if scale is None else cache[:, :end] * scale[:, :end, None]
        for cache, scale in caches
    )
    q_gradient, *cached, gates_gradient, mean_gradient = attention_gradient(
        out_gradient, q, k, v, scores, gates, ctx.start_pos, ctx.k_budget, v_mean
    )
    k_gradient, v_gradient = (
        _of_cache(gradient, cache) if scale is None else None
        for gradient, (cache, scale) in zip(cached, caches, strict=True)
    )
    return q_gradient, k_gradient, v_gradient, None, gates_gradient, mean_gradient, None, None, None, None


def _of_cache(gradient: Tensor, cache: Tensor) -> Tensor:
    """The gradient of a whole cache (H, T_max, d): 0 for what no row saw."""
    gradient = gradient.to(cache.dtype)
    rest = cache.shape[1] - gradient.shape[1]
    return gradient if rest == 0 else torch.nn.functional.pad(gradient, (0, 0, 0, rest))
