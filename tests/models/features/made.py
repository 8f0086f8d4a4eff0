"""Dictionaries with known atoms, and what is compared with them."""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit.models.features.dictionary import Dictionary, Feature, LayerDictionary, unit_atoms

#: (kl, alpha): the same for every feature.
ROWS = ((-0.2, -3.0), (-0.1, -2.0), (0.1, 1.0), (0.3, 2.0))


def made_atoms(width: int, count: int, seed: int = 0, share: float = 0.3) -> Tensor:
    """Sparse signed atoms (width, count) of unit length."""
    generator = torch.Generator().manual_seed(seed)
    atoms = torch.randn(width, count, generator=generator)
    return unit_atoms(atoms * (torch.rand(width, count, generator=generator) < share))[0]


def made_dictionary(atoms: dict[int, Tensor], model_sha256: str = "") -> Dictionary:
    """Of atoms by layer, as a file keeps them."""
    layers = []
    for number, values in atoms.items():
        features = tuple(
            Feature(label=f"word {place}", tokens=(f"word {place}",), mean=1 / (place + 1), maximum=3.0, steering=ROWS)
            for place in range(values.shape[1])
        )
        layers.append(LayerDictionary(number, unit_atoms(values.half().float())[0], features))
    return Dictionary(model_sha256, tuple(layers))


def taps_of(activations: Tensor, atoms: Tensor) -> Tensor:
    """(T, 1, k + 1) of activations (T, da), in float64 until the end."""
    a, d = activations.double(), atoms.double()
    return torch.cat((a @ d, a.square().sum(1, keepdim=True)), 1)[:, None].float()
