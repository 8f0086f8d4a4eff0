"""sea_estimate of one row and of a block of 128, in the middle of a sequence, against its eager reference in torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from edgekit.kernels import ops, reference
from edgekit.kernels.sea import SeaState, SeaWeights, random_weights

from .measure import COMPUTING, OURS, Contender, Row, compare


class Case(NamedTuple):
    """T rows of H heads; d, M and K as in `SeaWeights`."""

    heads: int
    rows: int
    size: int = 64
    features: int = 33
    cells: int = 256

    def __str__(self) -> str:
        return f"H = {self.heads}, d = {self.size}, K = {self.cells}, T = {self.rows}"


#: A layer of OPT-125M, and one of the model that ships: a decode step, and a chunk of a prefill.
CASES = (Case(12, 1), Case(4, 1), Case(12, 128), Case(4, 128))
QUICK = (Case(2, 1, 16, 9, 32), Case(2, 8, 16, 9, 32))
GROWS = None
#: Rows before those that are measured.
EARLIER = 128


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    """All cases."""
    for case in QUICK if quick else CASES:
        shape = (case.heads, case.rows, case.size)
        yield from compare(str(case), _contenders(case), lambda seed, shape=shape: random_rows(shape, seed), rounds)  # type: ignore[misc]


def random_rows(shape: tuple[int, int, int], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """q, scaled already, k and v (H, T, d)."""
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(shape, generator=generator) for _ in range(3))
    return q * shape[-1] ** -0.5, k, v


def state_after(rows: int, weights: SeaWeights) -> SeaState:
    """The state of a sequence of random rows."""
    (features, size), heads = weights.projection.shape, weights.mix_bias.shape[0]
    state = SeaState.zeros(heads, size, features, weights.row_norm_bias.shape[0])
    ops.sea_estimate(*random_rows((heads, rows, size), -1), 0, weights, state)
    return state


def operations(weights: SeaWeights) -> int:
    """Additions and multiplications of one row, without norms and activations."""
    heads, width = weights.mix_bias.shape[0], weights.row_norm_bias.shape[0]
    features, size = weights.projection.shape
    matrices = weights.encoder_weight, weights.gates_weight, weights.decoder_weight, weights.map_weight
    # Features of q and k; then the sums of features times [position ; value], added to and read.
    a_head = sum(matrix.numel() for matrix in matrices) + 2 * features * size + 2 * features * 2 * size
    a_place = sum(matrix.numel() for matrix in (weights.conv1_weight, weights.conv2_weight, weights.mix_weight))
    return 2 * (heads * a_head + width * a_place)


def _contenders(case: Case) -> dict[str, Contender]:
    weights = random_weights(case.heads, case.size, case.features, case.cells, EARLIER + case.rows)
    work = case.rows * operations(weights)

    def contender(call: Callable[..., Any], isa: str | None = None) -> Contender:
        # With a state of its own, which goes on from call to call.
        state = state_after(EARLIER, weights)
        return Contender(lambda q, k, v: call(q, k, v, EARLIER, weights, state), work, COMPUTING, isa, answer=_flat)

    return {
        OURS: contender(ops.sea_estimate),
        f"{OURS} scalar": contender(ops.sea_estimate, "scalar"),
        "eager reference": contender(_reference),
    }


def _reference(
    q: Tensor, k: Tensor, v: Tensor, start_pos: int, weights: SeaWeights, state: SeaState
) -> tuple[Tensor, ...]:
    return reference.sea_estimate(q, k, v, start_pos, list(weights), *state)


def _flat(found: tuple[Tensor, ...]) -> Tensor:
    """Scores, gates and v_mean."""
    return torch.cat([tensor.flatten() for tensor in found])
