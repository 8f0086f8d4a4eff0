"""SEA's attention of a whole layer: estimate, append and attend, in chunks of rows, so that memory stays small.

Nothing of T x T, and of T x K no more than a chunk's, is held beside what goes in and comes out: at T = 32768 with 12
heads of 64 and 256 cells the scores of all rows would take 400 MB.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edgekit.kernels import ops
from edgekit.kernels.sea import SeaState, SeaWeights

#: Rows that a CPU takes at once: what passes between the operators stays in its caches.
CPU_ROWS = 128
#: Bytes of what passes between the operators, which decide how many rows any other device takes at once.
#: Counted: with 12 heads of 64 that is 1024 rows, 192 tiles of 64 rows of a head, which fill 132 multiprocessors better
#: than the next larger chunk below 64 MB.
CHUNK_BYTES = 29 << 20


def rows_at_once(heads: int, size: int, cells: int, device: torch.device) -> int:
    """How many rows `sea_attention` takes at once: a multiple of `CPU_ROWS`.

    Args:
        heads, size, cells: H, d, K.
        device: of the tensors.
    """
    if device.type == "cpu":
        return CPU_ROWS
    # Of a row and head: its scores and gates; q, k, v, v_mean and the output.
    row = heads * (cells + 2 + 5 * size) * 4
    return max(1, CHUNK_BYTES // row // CPU_ROWS) * CPU_ROWS


@torch.no_grad()
def sea_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    weights: SeaWeights,
    k_budget: int,
    start_pos: int = 0,
    cache: Sequence[Tensor] | None = None,
    state: SeaState | None = None,
    rows: int | None = None,
) -> Tensor:
    """A layer's attention for the next T rows of a sequence, estimated and sparse (SEA, arXiv:2310.01777).

    For every chunk of rows `sea_estimate`, `kv_append` and `sparse_topk_attention`; a single row after a cache is
    `sea_step`, on a GPU one launch. Beside inputs, output, state and cache one chunk is held: `CHUNK_BYTES` and what
    the kernels need, for any T; less on a CPU. There is no gradient.

    Args:
        q, k, v: (H, T, d) float32, q scaled already; any strides.
        weights: the estimator's.
        k_budget: tokens a head and row attends to, on average.
        start_pos: the first row's token.
        cache: k_cache and v_cache, (H, T_max, d) float32, float16 or int8, of the tokens before; the rows are written
            into it. int8 ones are followed by k_scale and v_scale, (H, T_max) float32. None for rows that are the whole
            sequence: then k and v are their own cache, and nothing is copied but what is not contiguous.
        state: the estimator's, of the tokens before; changed. None with start_pos 0 only: it is made, and forgotten.
        rows: how many are taken at once, instead of `rows_at_once`. Any number gives the same bits on a CPU.

    Returns:
        (H, T, d) float32.

    Raises:
        RuntimeError: what does not fit; the sentence names operator, argument and value.
    """
    if q.dim() != 3 or not q.shape == k.shape == v.shape:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (q, k, v))
        raise RuntimeError(f"sea_attention: q, k and v have shapes {shapes}: give (H, T, d) three times.")
    if start_pos != 0 and (cache is None or state is None):
        raise RuntimeError(
            f"sea_attention: start_pos is {start_pos}: give the cache and the state of the tokens before."
        )
    heads, tokens, size = q.shape
    if state is None:
        state = SeaState.zeros(heads, size, len(weights.projection), len(weights.row_norm_weight), q.device)
    if cache is not None and tokens == 1:
        return ops.sea_step(q.contiguous(), k.contiguous(), v.contiguous(), start_pos, weights, state, cache, k_budget)
    appends = cache is not None
    if cache is None:
        cache = k, v = k.contiguous(), v.contiguous()
    if rows is None:
        rows = rows_at_once(heads, size, len(weights.map_start), q.device)
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    for first in range(0, tokens, rows):
        _attend(out, q, k, v, slice(first, first + rows), start_pos + first, weights, state, cache, appends, k_budget)
    return out


def _attend(
    out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    chunk: slice,
    start_pos: int,
    weights: SeaWeights,
    state: SeaState,
    cache: Sequence[Tensor],
    appends: bool,
    k_budget: int,
) -> None:
    """One chunk of the rows, which begins at start_pos; what it holds is free again before the next."""
    q, k, v = (tensor[:, chunk].contiguous() for tensor in (q, k, v))
    scores, gates, v_mean = ops.sea_estimate(q, k, v, start_pos, weights, state)
    if appends:
        ops.kv_append(k, v, start_pos, *cache)
    k_cache, v_cache, *scales = cache
    out[:, chunk] = ops.sparse_topk_attention(q, k_cache, v_cache, scores, gates, v_mean, start_pos, k_budget, *scales)
