"""Whether what a device runs looks at the same tokens as the eager fp32 model: the cells that both choose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgekit.errors import EdgekitError
from edgekit.kernels.selection import cell_counts, chosen_cells, rows_seen

from .opt import OPT
from .program import AttentionMaps, DeviceOPT, Reset

#: Tokens that the device's module is given at once.
CHUNK = 128


@dataclass(frozen=True)
class CellAgreement:
    """Of rows that have a choice; a row that sees no more tokens than the budget takes all cells, and does not count.

    Attributes:
        rows: how many were compared, over all layers.
        equal: share of them in which exactly the same cells were chosen.
        overlap: mean share of a row's cells, of all heads, that the device chose too.
    """

    rows: int
    equal: float
    overlap: float


@torch.no_grad()
def cell_agreement(device: DeviceOPT, reference: OPT, tokens: Tensor) -> CellAgreement:
    """Of one text, taken in chunks by the device's module in eager torch; its state is empty afterwards.

    Args:
        device: rounded in place or not, with whichever KV cache: its numbers are the program's but for the order of
            sums inside the delegate.
        reference: fp32, with SEA's attention.
        tokens: (T,) int64, at most as many as the device has room for, and more than the budget.

    Raises:
        EdgekitError: dense attention chooses nothing, or the text is too short for a choice.
    """
    if reference.sea is None:
        raise EdgekitError("dense attention chooses no cells: there is no agreement to measure.")
    maps, found, start = AttentionMaps(device), [], 0
    for part in tokens.split(CHUNK):
        found.append(maps(part, torch.tensor(start))[0])
        start += len(part)
    Reset(device)()
    hidden = reference.decoder.embed(tokens[None])
    cells, budget = reference.sea.cells, reference.sea.k_budget
    heads = reference.config.num_attention_heads
    counts = cell_counts(heads, cells, budget, rows_seen(0, len(tokens), tokens.device))
    choice = counts < heads * cells
    if not choice.any():
        raise EdgekitError(f"{len(tokens)} tokens are too few: rows of up to {budget} tokens take all cells.")
    equal, overlap = [], []
    for place, layer in enumerate(reference.decoder.layers):
        hidden, attended = layer(hidden)
        assert attended.scores is not None
        got = torch.cat([scores[:, place] for scores in found]).transpose(0, 1)[None]
        both = chosen_cells(attended.scores, budget) & chosen_cells(got, budget)
        shared = both[0].sum((0, 2))[choice]
        equal.append((shared == counts[choice]).double())
        overlap.append(shared / counts[choice].double())
    return CellAgreement(int(choice.sum()) * len(equal), *(float(torch.cat(part).mean()) for part in (equal, overlap)))
