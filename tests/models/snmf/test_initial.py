"""How coefficients begin: clusters, singular vectors, chance; never 0."""

import numpy as np
import pytest
import torch

from edgekit.errors import UsageError
from edgekit.models.snmf import activations
from edgekit.models.snmf.activations import Vectors
from edgekit.models.snmf.initial import FLOOR, check_features, initial_coefficients
from edgekit.models.snmf.options import INITS


def clusters():
    """60 vectors around 3 points, in the order of the points."""
    generator = torch.Generator().manual_seed(1)
    points = 10 * torch.eye(3, 6)
    return points.repeat_interleave(20, 0) + 0.1 * torch.randn(60, 6, generator=generator)


def begin(vectors, features, init, seed=0):
    return initial_coefficients(Vectors(vectors), features, init, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("init", INITS)
def test_never_zero_and_the_same_for_a_seed(init):
    vectors = clusters()
    vectors[7] = 0
    first, again = (begin(vectors, 4, init) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (60, 4)
    assert first.min() >= FLOOR
    assert torch.isfinite(first).all()


@pytest.mark.parametrize("chunk", [7, 4096])
def test_clusters_are_found(monkeypatch, chunk):
    monkeypatch.setattr(activations, "CHUNK", chunk)
    for seed in range(5):
        members = begin(clusters(), 6, "k-means", seed).argmax(1).reshape(3, 20)
        # No cluster has vectors of two points.
        assert len({member for part in members for member in part.unique().tolist()}) == sum(
            len(part.unique()) for part in members
        )


def test_a_centre_without_vectors_begins_again():
    """Most random vectors are the same one: all but one of the centres on it are empty at first."""
    vectors = 100 + torch.cat([torch.zeros(50, 4), clusters()[:, :4]])
    for seed in range(5):
        assert len(begin(vectors, 4, "k-means", seed).argmax(1).unique()) == 4


def test_singular_vectors(monkeypatch):
    monkeypatch.setattr(activations, "CHUNK", 7)
    vectors = torch.rand(40, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    _, values, rows = np.linalg.svd(vectors.numpy().T, full_matrices=False)
    expected = np.sqrt(values[:3])[:, None] * rows[:3]
    expected *= np.where(expected.sum(1, keepdims=True) < 0, -1, 1)
    assert np.allclose(begin(vectors, 3, "svd").numpy().T, np.maximum(expected, FLOOR), atol=1e-6)


def test_more_features_than_there_can_be():
    with pytest.raises(UsageError, match="61 features of 60 tokens"):
        check_features(Vectors(clusters()), 61, "random")
    with pytest.raises(UsageError, match="7 features of 6 neurons have no singular vectors"):
        check_features(Vectors(clusters()), 7, "svd")
    check_features(Vectors(clusters()), 60, "k-means")
