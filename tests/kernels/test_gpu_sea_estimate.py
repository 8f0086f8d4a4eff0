"""sea_estimate on an emulated GPU, its kernels compiled for the CPU, against the reference."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from edgekit.kernels import reference
from edgekit.kernels.sea import random_weights

from .test_sea_estimate import assert_near, empty_state, make_inputs, same_bits

pytestmark = pytest.mark.slow


def with_environment(machine, **variables):
    return dataclasses.replace(machine, environment=(*machine.environment, *variables.items()))


@pytest.fixture
def launches(tmp_path):
    """The names of the kernels that have run since the last call: what fails on the GPU is computed by the CPU."""
    path = tmp_path / "launches"

    def read():
        names = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return [name.removeprefix("edgekit_sea_estimate_") for name in names]

    return read


@pytest.fixture(params=["multiprocessors=8", "multiprocessors=1 reversed=1"], ids=["in order", "reversed"])
def gpu(request, built, tmp_path):
    """An emulated GPU; threads and blocks run in one order and in the other, which finds who reads too early.

    One that is small takes few rows at once, and a step's heads after each other.
    """
    words = f"{request.param} launches={tmp_path / 'launches'}"
    return with_environment(built("emulated_gpu"), EDGEKIT_EMULATED_GPU=words)


def run(machine, inputs, start, weights, state):
    """The outputs; the state is changed."""
    (heads, rows, size), (features, _) = inputs[0].shape, weights.projection.shape
    (cells, taps), (capacity, _) = weights.map_weight.shape, weights.positions.shape
    width = weights.row_norm_bias.shape[0]
    numbers = (heads, size, features, width, cells, taps, capacity, rows, start)
    found = machine.operator("sea_estimate", numbers, *(tensor.numpy() for tensor in (*inputs, *weights, *state)))
    shapes = ((heads, rows, cells), (heads, rows, 2), (heads, rows, size), *(tensor.shape for tensor in state))
    tensors = [torch.from_numpy(np.frombuffer(data, np.float32).copy()) for data in found]
    tensors = [tensor.view(shape) for tensor, shape in zip(tensors, shapes, strict=True)]
    for kept, tensor in zip(state, tensors[3:], strict=True):
        kept.copy_(tensor)
    return tensors[:3]


def check(machine, weights, counts):
    """Blocks of a sequence, the state handed on: outputs and state as the reference has them after every block."""
    heads, size = weights.mix_bias.shape[0], weights.projection.shape[1]
    state, expected_state, start = empty_state(weights), empty_state(weights), 0
    for count in counts:
        inputs = make_inputs(heads, count, size, seed=start)
        found = run(machine, inputs, start, weights, state)
        assert_near(found, reference.sea_estimate(*inputs, start, list(weights), *expected_state))
        assert_near(state, expected_state)
        start += count


ROWS = ["sums", "scan", "attend", "encode", "convolve", "convolve", "score"]

# Heads, size, features, width, cells, and rows of each call: tiles have 64 rows, 128 outputs and 48 features, a
# convolution's block 8 rows, 64 places and 24 outputs, a score's 4 rows and 12 heads.
CASES = [
    (12, 64, 33, 64, 256, (1, 67, 1, 2)),  # OPT-125M's
    (12, 64, 33, 64, 256, (1,) * 6),
    (13, 8, 3, 4, 16, (150, 1)),  # more rows than a small GPU takes at once
    (3, 20, 5, 7, 28, (65, 1, 1, 63)),
    (5, 32, 49, 16, 64, (2, 3, 1, 128)),  # two slices of features
    (2, 70, 97, 22, 110, (9, 70)),  # two tiles of outputs of a size that is not for float4
    (1, 80, 13, 66, 264, (66, 1)),  # and one that is; two of the decoder's, two of a convolution's places
    (14, 16, 9, 12, 48, (3, 9, 1)),  # heads in two groups
    (26, 5, 9, 6, 24, (6, 1)),
    (1, 5, 1, 1, 4, (2, 1)),
    (2, 1, 3, 2, 8, (1, 1, 3)),
]


@pytest.mark.parametrize(("heads", "size", "features", "width", "cells", "counts"), CASES)
def test_same_as_reference(gpu, launches, heads, size, features, width, cells, counts):
    check(gpu, random_weights(heads, size, features, cells, sum(counts), seed=heads, width=width), counts)
    names = launches()
    assert names.count("step") == counts.count(1)
    assert [name for name in names if name != "step"] == ROWS * (len(names) // len(ROWS))
    assert names.count("sums") >= len(counts) - counts.count(1)


def test_a_small_gpu_takes_few_rows_at_once(gpu, launches, request):
    weights = random_weights(13, 8, 3, 16, 150)
    run(gpu, make_inputs(13, 150, 8), 0, weights, empty_state(weights))
    blocks = 3 if "reversed" in request.node.callspec.id else 1
    assert launches() == ROWS * blocks


@pytest.mark.parametrize("taps", [1, 2, 3])
def test_any_map(gpu, taps):
    weights = random_weights(3, 8, 4, 32, 10)
    generator = torch.Generator().manual_seed(0)
    weights = weights._replace(
        map_weight=torch.randn(37, taps, generator=generator),
        map_start=torch.randint(8 - taps + 1, (37,), generator=generator),
        score_norm_weight=torch.randn(37, generator=generator),
        score_norm_bias=torch.randn(37, generator=generator),
    )
    check(gpu, weights, (1, 7, 1))


def test_start_pos_0_begins_a_new_sequence(gpu):
    weights = random_weights(4, 16, 9, 32, 80)
    inputs = make_inputs(4, 5, 16, 1)
    for rows in (5, 1):
        part = [x[:, :rows].contiguous() for x in inputs]
        first, again = empty_state(weights), empty_state(weights)
        expected = run(gpu, part, 0, weights, first)
        run(gpu, make_inputs(4, 80, 16, 2), 0, weights, again)
        assert same_bits(run(gpu, part, 0, weights, again), expected)
        assert same_bits(again, first)


def test_later_tokens_change_nothing(gpu):
    weights = random_weights(4, 16, 9, 64, 80)
    inputs = make_inputs(4, 80, 16)
    before = run(gpu, inputs, 0, weights, empty_state(weights))
    for token, value in ((11, torch.nan), (43, torch.inf), (70, torch.nan)):
        changed = [x.clone() for x in inputs]
        for x in changed:
            x[:, token, 3] = value
        after = run(gpu, changed, 0, weights, empty_state(weights))
        assert same_bits([x[:, :token].contiguous() for x in after], [x[:, :token].contiguous() for x in before])
        assert all(x[:, token:].isnan().any(-1).all() for x in after[:2])


@pytest.mark.parametrize("rows", [1, 3])
def test_sizes_without_memory_for_them_are_the_cpus(gpu, launches, rows):
    weights = random_weights(3, 64, 9, 640, rows, width=160)
    inputs = make_inputs(3, rows, 64)
    cpu = with_environment(gpu, EDGEKIT_GPU="0")
    found, expected = (run(machine, inputs, 0, weights, empty_state(weights)) for machine in (gpu, cpu))
    assert launches() == []
    assert same_bits(found, expected)
