"""The estimator against a row-by-row one; whole sequences, chunks and steps agree."""

import pytest
import torch

from edgekit.kernels import ops
from edgekit.kernels.sea import upsampling_matrix
from edgekit.models.sea_opt.estimator import linear_attention, orthogonal_features

from . import naive

#: heads, size, cells, rows
SHAPES = [(1, 8, 4, 3), (3, 12, 16, 40), (2, 64, 64, 90)]


def heads_of(heads, rows, size, seed=1):
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(1, heads, rows, size, generator=generator) for _ in range(3))
    return q * size**-0.5, k, v


@pytest.mark.parametrize(("heads", "size", "cells", "rows"), SHAPES)
def test_is_the_published_one(build_attention, heads, size, cells, rows):
    estimator = build_attention(heads, size, cells, 8, 100).estimator
    q, k, v = heads_of(heads, rows, size)
    found = estimator(q, k, v)
    expected = naive.estimate(estimator.state_dict(), q[0], k[0], v[0])
    for part, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(part[0], wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chunks", [(1,) * 90, (64, 26), (7, 1, 2, 60, 3, 17), (3, 87)])
def test_chunks_and_steps_are_the_whole(build_attention, chunks):
    estimator = build_attention(2, 16, 32, 8, 100).estimator
    q, k, v = heads_of(2, 90, 16)
    whole = estimator(q, k, v)
    weights, state, parts, start = estimator.folded(), estimator.new_state(), [], 0
    for rows in zip(q[0].split(chunks, 1), k[0].split(chunks, 1), v[0].split(chunks, 1), strict=True):
        parts.append(ops.sea_estimate(*(part.contiguous() for part in rows), start, weights, state))
        start += rows[0].shape[1]
    for together, expected in zip(map(torch.cat, zip(*parts, strict=True), [1] * 3), whole, strict=True):
        torch.testing.assert_close(together, expected[0], atol=1e-5, rtol=1e-5)


def test_sequences_of_a_batch_do_not_mix(build_attention):
    estimator = build_attention(2, 16, 32, 8, 100).estimator
    sequences = [heads_of(2, 40, 16, seed) for seed in (1, 2)]
    together = estimator(*map(torch.cat, zip(*sequences, strict=True)))
    for place, sequence in enumerate(sequences):
        alone = estimator(*sequence)
        for part, wanted in zip(together, alone, strict=True):
            torch.testing.assert_close(part[place], wanted[0], atol=1e-5, rtol=1e-5)


def test_linear_attention_of_one_feature_is_the_mean():
    values = torch.randn(1, 1, 130, 3)
    ones = torch.ones(1, 1, 130, 1)
    expected = values.cumsum(2) / torch.arange(1, 131)[:, None]
    torch.testing.assert_close(linear_attention(ones, ones, values), expected, atol=1e-5, rtol=1e-5)


def test_features_are_orthogonal_within_blocks():
    features = orthogonal_features(11, 4)
    assert features.shape == (11, 4)
    for block in features.split(4):
        products = block @ block.T
        torch.testing.assert_close(products, products.diagonal().diag(), atol=1e-5, rtol=0)
    assert features.norm(dim=1).std() > 0.1


@pytest.mark.parametrize("cells", [4, 8, 64, 256])
def test_an_output_reads_at_most_two_places(cells):
    fold = upsampling_matrix(cells // 4, cells).T
    assert fold.shape == (cells // 4, cells)
    assert (fold != 0).sum(0).max() <= 2
    sums = fold.sum(0)
    assert (sums[1:-1] > 0.999).all()
    assert (sums[[0, -1]] < 1).all()
