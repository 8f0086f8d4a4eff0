"""The hierarchy of a layer's features: what atoms have in common, level by level, without fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .activations import Vectors
from .factorize import factorize
from .options import FitOptions


@dataclass(frozen=True)
class Level:
    """One level above the features.

    Attributes:
        atoms: (da, parents) of unit length.
        weights: (parents, children), not negative: how much of each parent each child's atom has.
        unexplained: share of the squared atoms of the children that the parents leave.
    """

    atoms: Tensor
    weights: Tensor
    unexplained: float


def build_levels(atoms: Tensor, options: FitOptions) -> list[Level]:
    """Levels of parents, the lowest first, each a factorization of the atoms below (greedy).

    Args:
        atoms: (da, k) of the features, of unit length.
        options: those of the features' fit; `levels` says how many parents there are.
    """
    levels: list[Level] = []
    for size in options.level_sizes():
        if size >= atoms.shape[1]:  # as features died
            continue
        found = factorize(Vectors(atoms.T.contiguous()), options, size)
        levels.append(Level(found.atoms, found.coefficients.T.contiguous(), found.unexplained))
        atoms = found.atoms
    return levels


def collapsed(levels: list[Level], coefficients: Tensor) -> list[Tensor]:
    """How much each token has of the parents of each level (parents, n), of the features' coefficients (k, n)."""
    found = []
    for level in levels:
        coefficients = level.weights.to(coefficients.dtype) @ coefficients
        found.append(coefficients)
    return found


def duplicates(atoms: Tensor, above: float = 0.98) -> list[tuple[int, int]]:
    """Pairs of features whose atoms (da, k) of unit length are nearly the same, or nearly opposite."""
    similar = (atoms.T @ atoms).abs().triu(1) > above
    return [(first, second) for first, second in similar.nonzero().tolist()]
