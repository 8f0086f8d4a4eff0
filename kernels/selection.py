"""Which tokens a row attends to: how many cells it chooses, which, and the tokens they stand for.

Row t sees L = t + 1 tokens. Cell m of its K cells stands for the tokens from round(m L / K) to
round((m + 1) L / K) - 1, halves up. `edgekit::sparse_topk_attention` does the same in one pass; here are the masks that
gradients need.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit.kernels.sea import token_cells


def rows_seen(start_pos: int, rows: int, device: torch.device) -> Tensor:
    """L (T,) int64 of the rows from `start_pos`."""
    return torch.arange(start_pos + 1, start_pos + rows + 1, device=device)


def cell_counts(heads: int, cells: int, k_budget: int, seen: Tensor) -> Tensor:
    """How many cells n rows choose from all heads: H k K / L, halves to even, at least 1, at most H K.

    Args:
        heads, cells, k_budget: H, K, k.
        seen: L (T,) int64.

    Returns:
        (T,) int64.
    """
    total = heads * k_budget * cells
    whole, rest = total // seen, total % seen
    up = (2 * rest > seen) | ((2 * rest == seen) & (whole % 2 == 1))
    return (whole + up).clamp(1, heads * cells)


def cell_bounds(cells: int, seen: Tensor) -> Tensor:
    """Where cells begin: (T, K + 1) int64, ascending; the last is L."""
    edges = torch.arange(cells + 1, device=seen.device)
    return (2 * edges * seen[:, None] + cells) // (2 * cells)


def chosen_cells(scores: Tensor, k_budget: int, start_pos: int = 0) -> Tensor:
    """The cells that rows choose, by log_softmax of each head; equal ones rank by head and cell, the lower first.

    Args:
        scores: (N, H, T, K) float32, before softmax.
        k_budget: k.
        start_pos: position of the first row.

    Returns:
        (N, H, T, K) bool; no gradient.
    """
    batch, heads, rows, cells = scores.shape
    # On the CPU, for any device: what a GPU is told to do must not wait for its answer.
    counts = cell_counts(heads, cells, k_budget, rows_seen(start_pos, rows, torch.device("cpu")))
    ranked = scores.detach().log_softmax(-1).permute(2, 0, 1, 3).reshape(rows, batch, heads * cells)
    chosen = torch.zeros_like(ranked, dtype=torch.bool)
    if scores.device.type == "cpu":
        # A selection per row is twenty times as fast as a sort of all.
        for row, count in enumerate(counts.tolist()):
            if count == heads * cells:
                chosen[row] = True
            else:
                chosen[row].scatter_(1, torch.ops.edgekit.sparse_topk(ranked[row], count, sorted=False)[1], True)
    else:
        # The first row chooses most.
        best = torch.ops.edgekit.sparse_topk(ranked, int(counts[0]))[1]
        taken = torch.arange(best.shape[-1]) < counts[:, None, None]
        chosen.scatter_(2, best, taken.to(scores.device).expand_as(best))
    return chosen.view(rows, batch, heads, cells).permute(1, 2, 0, 3)


def chosen_tokens(scores: Tensor, k_budget: int, start_pos: int = 0) -> Tensor:
    """The tokens that rows attend to: those of their chosen cells that they see.

    Args:
        scores, k_budget, start_pos: see `chosen_cells`.

    Returns:
        (N, H, T, start_pos + T) bool; no gradient.
    """
    batch, heads, rows, cells = scores.shape
    tokens, seen = start_pos + rows, rows_seen(start_pos, rows, scores.device)
    cell = token_cells(cells, seen, tokens)
    mask = chosen_cells(scores, k_budget, start_pos).gather(3, cell.expand(batch, heads, -1, -1))
    return mask.logical_and_(torch.arange(tokens, device=scores.device) < seen[:, None])
