"""Directions among a layer's neurons that need no dictionary, to compare features with."""

from __future__ import annotations

import torch
from torch import Tensor

from .detection import Read


def difference_of_means(concept: Read, neutral: Read) -> Tensor:
    """DiffMeans (da,) of unit length: from the mean activations of neutral sentences to those of a concept's."""
    difference = concept.activations.mean(0) - neutral.activations.mean(0)
    return difference / difference.norm()


def strongest_neurons(difference: Tensor, count: int) -> Tensor:
    """The neurons (da,) that differ most between the two, as much each, the others 0; of unit length.

    Args:
        difference: (da,) of `difference_of_means`.
        count: of neurons, such as an atom has.
    """
    chosen = difference.abs().topk(count).indices
    direction = torch.zeros_like(difference)
    direction[chosen] = difference[chosen].sign() / count**0.5
    return direction


def random_directions(atoms: Tensor) -> Tensor:
    """As many as there are atoms (da, k), with as many neurons each, by chance: what choosing among so many gives."""
    count = int((atoms != 0).sum(0).float().median())
    drawn = torch.randn(atoms.shape, generator=torch.Generator().manual_seed(0))
    drawn *= drawn.abs() >= drawn.abs().topk(count, dim=0).values[-1]
    return drawn / drawn.norm(dim=0)
