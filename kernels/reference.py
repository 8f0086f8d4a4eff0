"""What each operator means, in plain torch: slow, short and independent of the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

from edgekit.kernels.sea import HISTORY, SeaState, SeaWeights


def sparse_topk(x: Tensor, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """See `edgekit.kernels.ops`: sorts whole rows by keys that order like the numbers."""
    check_topk(x, k)
    indices = _ranked(x)[..., :k]
    if not sorted:
        indices = indices.sort(dim=-1).values
    return x.gather(-1, indices), indices


def _ranked(x: Tensor) -> Tensor:
    """The places of the last dimension, the largest number's first; ties by place, NaN last."""
    # A float's bits order like sign and magnitude; NaN goes below everything.
    bits = x.float().view(torch.int32)
    magnitude = bits & 0x7FFFFFFF
    keys = torch.where(bits < 0, -magnitude, magnitude)
    keys = torch.where(x.isnan(), torch.iinfo(torch.int32).min, keys)
    return keys.sort(dim=-1, descending=True, stable=True).indices


def kv_append(
    k: Tensor,
    v: Tensor,
    start_pos: int,
    k_cache: Tensor,
    v_cache: Tensor,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
) -> Tensor:
    """See `edgekit.kernels.ops`."""
    end = start_pos + k.shape[1]
    if start_pos < 0 or end > k_cache.shape[1]:
        raise RuntimeError(f"kv_append: start_pos is {start_pos}, the rows {k.shape[1]}, the cache {k_cache.shape[1]}.")
    for rows, cache, scales in ((k, k_cache, k_scale), (v, v_cache, v_scale)):
        if (cache.dtype == torch.int8) != (scales is not None):
            raise RuntimeError("kv_append: k_scale and v_scale belong to int8 caches, and to them only.")
        if scales is None:
            cache[:, start_pos:end] = rows.to(cache.dtype)
            continue
        numbers = rows.float()
        scale = numbers.abs().amax(-1) / 127
        scale = torch.where(numbers.isfinite().all(-1), scale, torch.nan)
        quants = (numbers / scale[..., None]).round().clamp(-127, 127)
        cache[:, start_pos:end] = torch.where(scale[..., None] > 0, quants, 0).to(torch.int8)
        scales[:, start_pos:end] = scale
    return torch.tensor(end, device=k.device)


def cell_count(heads: int, cells: int, tokens: int, k_budget: int) -> int:
    """How many cells a row that sees `tokens` tokens chooses from all heads."""
    return max(1, min(heads * cells, round(Fraction(heads * k_budget * cells, tokens))))


def chosen_tokens(scores: Tensor, start_pos: int, k_budget: int) -> Tensor:
    """The tokens (H, T, start_pos + T) bool that rows attend to by scores (H, T, K) of their cells."""
    heads, rows, cells = scores.shape
    ranked = _ranked(scores.log_softmax(-1).transpose(0, 1).flatten(1))
    chosen = torch.zeros_like(ranked, dtype=torch.bool)
    for row in range(rows):
        chosen[row, ranked[row, : cell_count(heads, cells, start_pos + row + 1, k_budget)]] = True
    token = torch.arange(start_pos + rows, device=scores.device)
    seen = torch.arange(start_pos + 1, start_pos + rows + 1, device=scores.device)[:, None]
    # The reference's own map from tokens to cells, which is exact for powers of two.
    cell = ((token.double() + 0.5) / seen * cells - 1e-4).floor().long().clamp(0, cells - 1)
    alive = chosen.view(rows, heads, cells).gather(2, cell[:, None].expand(-1, heads, -1)) & (token < seen)[:, None]
    return alive.transpose(0, 1)


def sparse_topk_attention(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    scores: Tensor,
    gates: Tensor,
    v_mean: Tensor,
    start_pos: int,
    k_budget: int,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
) -> Tensor:
    """See `edgekit.kernels.ops`: attention to all tokens with a mask. The number of cells must be a power of two."""
    rows, end = q.shape[1], start_pos + q.shape[1]
    if start_pos < 0 or end > k_cache.shape[1]:
        raise RuntimeError(
            f"sparse_topk_attention: start_pos is {start_pos}, the rows {rows}, the cache {k_cache.shape[1]}."
        )
    k, v = k_cache[:, :end].float(), v_cache[:, :end].float()
    if k_scale is not None and v_scale is not None:
        k, v = k * k_scale[:, :end, None], v * v_scale[:, :end, None]
    mask = chosen_tokens(scores, start_pos, k_budget)
    weights = (q @ k.transpose(1, 2)).masked_fill(~mask, -torch.inf).softmax(-1)
    attention = torch.where(mask.any(-1, keepdim=True), weights, 0) @ v
    g0, g1 = gates[..., :1], gates[..., 1:]
    return g1 * g0 * attention + (1 - g1) * v_mean


def sea_estimate(
    q: Tensor, k: Tensor, v: Tensor, start_pos: int, weights: Sequence[Tensor], *state: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """See `edgekit.kernels.ops`: every row's sums are kept, so memory grows with the rows."""
    w, past = SeaWeights(*weights), SeaState(*state)
    (heads, rows, _), end = q.shape, start_pos + q.shape[1]
    if start_pos < 0 or end > w.positions.shape[0]:
        raise RuntimeError(
            f"sea_estimate: start_pos is {start_pos}, the rows {rows}, the positions {w.positions.shape[0]}."
        )
    if start_pos == 0:
        for tensor in past:
            tensor.zero_()
    phi_q, phi_k = ((x @ w.projection.T).relu() + 1e-3 for x in (q, k))
    placed = torch.cat((w.positions[start_pos:end].expand(heads, -1, -1), v), -1)
    keys = past.keys[:, None] + phi_k.cumsum(1)
    key_values = past.key_values[:, None] + (phi_k[..., None] * placed[:, :, None]).cumsum(1)
    values = past.values[:, None] + v.cumsum(1)
    context = (phi_q[:, :, None] @ key_values)[:, :, 0] / (phi_q * (keys + 1e-6)).sum(-1, keepdim=True)
    for kept, sums in ((past.keys, keys), (past.key_values, key_values), (past.values, values)):
        kept.copy_(sums[:, -1])

    code = functional.linear(torch.cat((context, v), -1), w.encoder_weight, w.encoder_bias)
    code = functional.gelu(_layer_norm(code, w.encoder_norm_weight, w.encoder_norm_bias))
    gates = functional.linear(code, w.gates_weight, w.gates_bias).sigmoid()
    halves = functional.linear(code, w.decoder_weight, w.decoder_bias).unflatten(-1, (2, -1))
    channels = _layer_norm(halves, w.row_norm_weight, w.row_norm_bias).transpose(0, 1).flatten(1, 2)
    for tail, weight, bias in (
        (past.conv1_rows, w.conv1_weight, w.conv1_bias),
        (past.conv2_rows, w.conv2_weight, w.conv2_bias),
    ):
        seen = torch.cat((tail[(start_pos + torch.arange(HISTORY)) % HISTORY], channels))
        tail[(end + torch.arange(HISTORY)) % HISTORY] = seen[-HISTORY:]
        image = functional.conv2d(seen.transpose(0, 1), weight, bias, padding=(0, 2), dilation=2)
        channels = image.transpose(0, 1).relu()

    mixed = (w.mix_weight @ channels).transpose(0, 1)
    places = w.map_start[:, None] + torch.arange(w.map_weight.shape[1], device=q.device)
    cells = (mixed[..., places] * w.map_weight).sum(-1) + w.mix_bias[:, None, None]
    tokens = torch.arange(start_pos + 1, end + 1, device=q.device)
    return _layer_norm(cells, w.score_norm_weight, w.score_norm_bias), gates, values / tokens[:, None]


def sea_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    start_pos: int,
    weights: Sequence[Tensor],
    key_values: Tensor,
    keys: Tensor,
    values: Tensor,
    conv1_rows: Tensor,
    conv2_rows: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    k_budget: int,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
) -> Tensor:
    """See `edgekit.kernels.ops`; here for any number of rows, which is what `sea_attention` means."""
    state = (key_values, keys, values, conv1_rows, conv2_rows)
    scores, gates, v_mean = sea_estimate(q, k, v, start_pos, weights, *state)
    kv_append(k, v, start_pos, k_cache, v_cache, k_scale, v_scale)
    return sparse_topk_attention(q, k_cache, v_cache, scores, gates, v_mean, start_pos, k_budget, k_scale, v_scale)


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.layer_norm(x, weight.shape, weight, bias)


def csr_matmul(crow: Tensor, col: Tensor, val: Tensor, x: Tensor) -> Tensor:
    """See `edgekit.kernels.ops`."""
    count = crow.shape[0] - 1
    rows = torch.arange(count, device=crow.device).repeat_interleave(crow.diff())
    y = x.new_zeros((*x.shape[:-2], count, x.shape[-1]))
    return y.index_add_(-2, rows, val[:, None] * x.index_select(-2, col))


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Sequence[int], activation: float) -> Tensor:
    """See `edgekit.kernels.ops`."""
    y = torch.nn.functional.conv2d(x, weight, bias, padding=list(padding))
    return torch.where(y < 0, y * activation, y)


def check_topk(x: Tensor, k: int) -> None:
    """Raises RuntimeError with operator, argument and value when sparse_topk does not take these."""
    if x.dtype not in (torch.float32, torch.float16):
        raise RuntimeError(f"sparse_topk: x is {x.dtype}: give float32 or float16.")
    if x.dim() < 1 or not 1 <= k <= x.shape[-1]:
        raise RuntimeError(f"sparse_topk: k is {k}, x's shape {tuple(x.shape)}: give 1 to x's last dimension.")
