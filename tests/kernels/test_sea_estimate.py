"""sea_estimate against the estimator's full forward, written from the specification, on every instruction set."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import edgekit.kernels as kernels
from edgekit.kernels import ops
from edgekit.kernels.sea import SeaState, SeaWeights, banded_map

from .conftest import AVAILABLE


def make_weights(heads, size, features, cells, capacity, seed=0, width=None):
    """Random weights about as large as a trained estimator's."""
    generator = torch.Generator().manual_seed(seed)
    width, channels = cells // 4 if width is None else width, 2 * heads

    def normal(*shape, inputs=1):
        return torch.randn(*shape, generator=generator) / math.sqrt(inputs)

    return SeaWeights(
        projection=normal(features, size) * size**-0.25,
        positions=normal(capacity, size),
        encoder_weight=normal(2 * size, 3 * size, inputs=3 * size),
        encoder_bias=normal(2 * size) * 0.1,
        encoder_norm_weight=1 + normal(2 * size) * 0.1,
        encoder_norm_bias=normal(2 * size) * 0.1,
        gates_weight=normal(2, 2 * size, inputs=size),
        gates_bias=normal(2),
        decoder_weight=normal(2 * width, 2 * size, inputs=2 * size),
        decoder_bias=normal(2 * width) * 0.1,
        row_norm_weight=1 + normal(width) * 0.1,
        row_norm_bias=normal(width) * 0.1,
        conv1_weight=normal(channels, channels, 3, 3, inputs=4 * channels),
        conv1_bias=normal(channels) * 0.1,
        conv2_weight=normal(channels, channels, 3, 3, inputs=4 * channels),
        conv2_bias=normal(channels) * 0.1,
        mix_weight=normal(heads, channels, inputs=channels),
        mix_bias=normal(heads) * 0.1,
        map_weight=banded_map(width, cells)[0],
        map_start=banded_map(width, cells)[1],
        score_norm_weight=1 + normal(cells) * 0.1,
        score_norm_bias=normal(cells) * 0.1,
    )


def make_inputs(heads, rows, size, seed=0):
    generator = torch.Generator().manual_seed(seed + 1)
    q, k, v = (torch.randn(heads, rows, size, generator=generator) for _ in range(3))
    return q * size**-0.5, k, v


def empty_state(weights):
    """A state that must not be read: NaN."""
    heads, channels = weights.mix_weight.shape
    features, size = weights.projection.shape
    state = SeaState.zeros(heads, size, features, weights.row_norm_weight.shape[0])
    for tensor in state:
        tensor.fill_(torch.nan)
    return state


def full_forward(q, k, v, w):
    """All rows of a sequence at once in float64, as the model computes them: no state, no folded weights."""
    q, k, v = q.double(), k.double(), v.double()
    w = SeaWeights(*(tensor if name == "map_start" else tensor.double() for name, tensor in w._asdict().items()))
    heads, rows, size = q.shape
    causal = torch.ones(rows, rows, dtype=torch.bool).tril()
    phi_q, phi_k = (torch.einsum("htd,md->htm", x, w.projection).clamp(min=0) + 0.001 for x in (q, k))
    attention = (phi_q @ phi_k.transpose(1, 2)).masked_fill(~causal, 0)
    values = torch.cat((w.positions[:rows].expand(heads, rows, size), v), dim=2)
    below = attention.sum(-1, keepdim=True) + 1e-6 * phi_q.sum(-1, keepdim=True)
    context = torch.cat((attention @ values / below, v), dim=2)
    x = context @ w.encoder_weight.T + w.encoder_bias
    x = functional.gelu(functional.layer_norm(x, x.shape[-1:], w.encoder_norm_weight, w.encoder_norm_bias))
    gates = torch.sigmoid(x @ w.gates_weight.T + w.gates_bias)
    both = x @ w.decoder_weight.T + w.decoder_bias
    width, cells = both.shape[-1] // 2, w.score_norm_weight.shape[0]
    image = torch.stack((both[..., :width], both[..., width:]), dim=1).reshape(1, 2 * heads, rows, width)
    image = functional.layer_norm(image, (width,), w.row_norm_weight, w.row_norm_bias)
    for weight, bias in ((w.conv1_weight, w.conv1_bias), (w.conv2_weight, w.conv2_bias)):
        # The kernel has five times, of which the two in the future are masked.
        masked = functional.pad(weight, (0, 0, 0, 2))
        image = functional.conv2d(image, masked, bias, padding=(4, 2), dilation=2).relu()
    image = image.repeat_interleave(cells // width, dim=3)
    image = functional.conv2d(image, w.mix_weight[..., None, None], w.mix_bias, padding=(0, 1))
    image = functional.interpolate(image, size=(rows, cells), mode="area")
    scores = functional.layer_norm(image[0], (cells,), w.score_norm_weight, w.score_norm_bias)
    means = torch.stack([v[:, : row + 1].mean(1) for row in range(rows)], dim=1)
    return scores.float(), gates.float(), means.float()


def estimate(q, k, v, weights, state, blocks, start_pos=0):
    """The rows in blocks of these sizes."""
    answers, start = [], 0
    for count in blocks:
        part = [x[:, start : start + count].contiguous() for x in (q, k, v)]
        answers.append(ops.sea_estimate(*part, start_pos + start, weights, state))
        start += count
    return [torch.cat(parts, dim=1) for parts in zip(*answers, strict=True)]


def assert_near(found, expected):
    for answer, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(answer, wanted, atol=1e-4, rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    heads=st.integers(1, 12),
    size=st.sampled_from((16, 32, 64, 8, 5, 23)),
    features=st.sampled_from((33, 1, 8, 13)),
    width=st.sampled_from((16, 8, 1, 2, 3, 7, 13, 24)),
    factor=st.sampled_from((4, 5, 8)),
    blocks=st.lists(st.sampled_from((1, 2, 3, 4, 5, 7, 16, 20)), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
)
@example(12, 64, 33, 64, 4, [16, 3, 1, 1, 1], 0)
@example(5, 32, 33, 16, 4, [37, 1, 5], 1)
def test_same_as_full_forward(heads, size, features, width, factor, blocks, seed):
    rows = sum(blocks)
    weights = make_weights(heads, size, features, factor * width, rows + 1, seed, width)
    q, k, v = make_inputs(heads, rows, size, seed)
    expected = full_forward(q, k, v, weights)
    assert_near(estimate(q, k, v, weights, empty_state(weights), blocks), expected)
    for isa in AVAILABLE:
        kernels.use_isa(isa)
        assert_near(estimate(q, k, v, weights, empty_state(weights), blocks), expected)
    kernels.use_isa(None)
