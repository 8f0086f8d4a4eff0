"""The hierarchy: planted parents are found, and coefficients collapse along it."""

import pytest
import torch

from edgekit.models.snmf.hierarchy import build_levels, collapsed, duplicates
from edgekit.models.snmf.options import FitOptions

OPTIONS = FitOptions(features=12, p=0.25, iterations=200, updates=4, levels="3,2")


def family():
    """12 atoms of unit length: 4 children each of 3 parents that share no neurons, with a neuron of their own."""
    generator = torch.Generator().manual_seed(5)
    atoms = torch.zeros(40, 12)
    for child in range(12):
        parent = child // 4
        atoms[10 * parent : 10 * parent + 6, child] = torch.tensor([1.0, -1, 1, 1, -1, 1])
        atoms[30 + child % 10, child] = 0.5
    atoms += 0.02 * torch.randn(40, 12, generator=generator)
    return atoms / atoms.norm(dim=0)


def test_children_have_the_parent_that_was_planted():
    atoms = family()
    levels = build_levels(atoms, OPTIONS)
    assert [tuple(level.weights.shape) for level in levels] == [(3, 12), (2, 3)]
    parents = levels[0].weights.argmax(0).reshape(3, 4)
    assert (parents == parents[:, :1]).all()
    assert len(parents[:, 0].unique()) == 3
    below = atoms
    for level in levels:
        assert (level.weights >= 0).all()
        assert (level.atoms != 0).sum(0).max() <= 10
        left = (below - level.atoms @ level.weights).square().sum() / below.square().sum()
        assert level.unexplained == pytest.approx(left.item(), abs=1e-4)
        below = level.atoms


def test_coefficients_collapse_along_the_levels():
    levels = build_levels(family(), OPTIONS)
    coefficients = torch.rand(12, 50, generator=torch.Generator().manual_seed(1))
    first, second = collapsed(levels, coefficients)
    assert torch.allclose(first, levels[0].weights @ coefficients)
    assert torch.allclose(second, levels[1].weights @ levels[0].weights @ coefficients)


def test_levels_by_themselves():
    assert FitOptions().level_sizes() == (50, 25, 10)
    assert FitOptions(features=12).level_sizes() == (6, 3)
    assert FitOptions(features=3).level_sizes() == ()
    assert build_levels(family(), FitOptions(features=12, levels="none")) == []
    assert FitOptions(levels="40,5").level_sizes() == (40, 5)


def test_duplicates_of_either_sign():
    atoms = torch.eye(5, 4)
    atoms[:, 2] = atoms[:, 0]
    atoms[:, 3] = -atoms[:, 1]
    assert duplicates(atoms) == [(0, 2), (1, 3)]
    assert duplicates(family()) == []
