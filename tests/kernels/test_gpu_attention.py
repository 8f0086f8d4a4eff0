"""sparse_topk_attention on an emulated GPU, against its eager reference."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.kernels import reference
from edgekit.kernels.sea import SeaState, random_weights

from ..machines import Machine, OperatorError
from .test_sea_estimate import empty_state, make_inputs
from .test_sparse_topk_attention import decided, make_case

pytestmark = pytest.mark.slow
#: Of the emulated GPU: fewer rows are shared by blocks.
MULTIPROCESSORS = 8
DTYPES = {"float32": 0, "float16": 1, "int8": 2}
CACHE = ("k_cache", "v_cache", "k_scale", "v_scale")


class EmulatedGpu:
    """An emulated GPU that says which kernels ran: what fails on the GPU is computed by the CPU."""

    def __init__(self, machine: Machine, words: str, folder: Path) -> None:
        self._launches = folder / "launches"
        words = f"{words} launches={self._launches}"
        self._machine = dataclasses.replace(
            machine, environment=(*machine.environment, ("EDGEKIT_EMULATED_GPU", words))
        )

    def __call__(self, kernels: list[str], operator: str, numbers: tuple[int, ...], *inputs: np.ndarray) -> list[bytes]:
        """Runs an operator, by these kernels."""
        found = self._machine.operator(operator, numbers, *inputs)
        ran = self._launches.read_text().split() if self._launches.exists() else []
        self._launches.unlink(missing_ok=True)
        assert ran == kernels
        return found


@pytest.fixture(params=["", "reversed=1"], ids=["in order", "reversed"])
def gpu(request, built, tmp_path):
    """Threads and blocks run in one order and in the other, which finds who reads too early."""
    return EmulatedGpu(built("emulated_gpu"), request.param, tmp_path)


def attend(gpu, case, k_budget, taken=True):
    heads, capacity, size = case["k_cache"].shape
    _, rows, cells = case["scores"].shape
    dtype = str(case["k_cache"].dtype).removeprefix("torch.")
    numbers = (DTYPES[dtype], heads, capacity, size, rows, cells, case["start_pos"], k_budget)
    inputs = [case[name].numpy() for name in ("q", "scores", "gates", "v_mean", *CACHE) if name in case]
    kernel = f"edgekit_sparse_topk_attention_{'split_' if rows < MULTIPROCESSORS else ''}{dtype}"
    (found,) = gpu([kernel] if taken else [], "sparse_topk_attention", numbers, *inputs)
    return torch.from_numpy(np.frombuffer(found, np.float32).reshape(heads, rows, size).copy())


def check(gpu, case, k_budget, certain=False, taken=True):
    """The rows whose choice does not hang on rounding, of which there must be some; all if that is `certain`."""
    heads, rows, cells = case["scores"].shape
    expected = reference.sparse_topk_attention(**case, k_budget=k_budget)
    counts = [reference.cell_count(heads, cells, case["start_pos"] + row + 1, k_budget) for row in range(rows)]
    sure = [row for row in range(rows) if certain or decided(case["scores"], row, counts[row])]
    assert sure
    out = attend(gpu, case, k_budget, taken)
    torch.testing.assert_close(out[:, sure], expected[:, sure], atol=2e-5, rtol=2e-5, equal_nan=True)
    return out


#: Each type in some order, one in both.
RUNS = pytest.mark.parametrize(
    ("gpu", "dtype"),
    [("", "float32"), ("reversed=1", "float32"), ("reversed=1", "float16"), ("", "int8")],
    indirect=["gpu"],
)

#: heads, rows, size, cells, start_pos, k_budget, spread: rows for a block each, and few that blocks share.
SIZES = {
    "a prompt": (12, 40, 64, 64, 0, 8, 2.0),
    "a later chunk": (3, 33, 24, 16, 300, 6, 3.0),
    "heads of 80": (2, 34, 80, 32, 100, 9, 1.0),
    "heads of 128": (2, 33, 128, 32, 64, 16, 1.0),
    "heads of 256": (1, 33, 256, 8, 40, 5, 1.0),
    "odd numbers": (5, 35, 37, 8, 50, 7, 1.0),
    "one number": (3, 33, 1, 4, 10, 3, 1.0),
    "more cells than registers hold": (13, 33, 8, 256, 900, 64, 1.0),
    "fewer tokens than cells": (4, 40, 16, 256, 20, 11, 1.0),
    "one head": (1, 36, 32, 32, 31, 4, 1.0),
    "few cells of many tokens": (4, 33, 32, 16, 2000, 40, 4.0),
    "a step": (12, 1, 64, 256, 2047, 64, 2.0),
    "a step of few tokens": (12, 1, 64, 256, 70, 64, 2.0),
    "a step of heads of 200": (3, 1, 200, 16, 500, 31, 2.0),
    "a step of odd numbers": (5, 1, 33, 32, 333, 20, 2.0),
    "a few steps": (3, 5, 24, 16, 70, 6, 3.0),
    "a step over one cell": (2, 1, 64, 4, 3000, 1, 5.0),
}


@RUNS
@pytest.mark.parametrize("name", SIZES)
def test_same_as_reference(gpu, name, dtype):
    heads, rows, size, cells, start_pos, k_budget, spread = SIZES[name]
    check(gpu, make_case(heads, rows, size, cells, start_pos, getattr(torch, dtype), 1, spread), k_budget)


@RUNS
@pytest.mark.parametrize("rows", [1, 33])
def test_all_cells_are_dense_attention(gpu, rows, dtype):
    check(gpu, make_case(4, rows, 64, 32, 75, getattr(torch, dtype)), 10**6)


@pytest.mark.parametrize("rows", [1, 33])
def test_ties_go_to_the_lower_head_and_cell(gpu, rows):
    """All scores are the same, then whole numbers: many of them are."""
    case = make_case(3, rows, 8, 64, 700)
    case["scores"].fill_(-1.5)
    check(gpu, case, 50, certain=True)
    case = make_case(5, rows, 8, 64, 700, spread=2.0)
    case["scores"].copy_(case["scores"].round())
    check(gpu, case, 100)


@pytest.mark.parametrize("rows", [1, 33])
def test_ties_of_more_cells_than_registers_hold(gpu, rows):
    case = make_case(13, rows, 4, 256, 600)
    case["scores"].copy_(case["scores"].round())
    check(gpu, case, 90)


@pytest.mark.parametrize("rows", [1, 33])
@pytest.mark.parametrize("special", [torch.nan, torch.inf, -torch.inf])
def test_a_head_without_log_probabilities_ranks_last(gpu, special, rows):
    case = make_case(3, rows, 8, 16, 63)
    case["scores"][0] = special
    case["scores"][1, :, 3] = -torch.inf
    case["gates"].fill_(1)
    out = check(gpu, case, 10)
    assert torch.equal(out[0], torch.zeros_like(out[0]))
    assert out.isfinite().all()
    check(gpu, case, 10**6)
    case["scores"].fill_(special)  # of heads that are all the same the first cells are taken
    check(gpu, case, 10)


@pytest.mark.parametrize("rows", [1, 33])
@pytest.mark.parametrize("special", [torch.nan, torch.inf, -torch.inf])
def test_special_keys_as_softmax(gpu, special, rows):
    case = make_case(2, rows, 8, 4, 150)
    case["q"].fill_(1)
    case["k_cache"][0, 100] = special
    case["k_cache"][1, :70] = special
    check(gpu, case, 250)
    case["k_cache"][0] = special  # no token weighs anything
    check(gpu, case, 250)


@RUNS
@pytest.mark.parametrize("rows", [1, 33])
def test_one_head_takes_all(gpu, rows, dtype):
    """Its tokens are shared by all warps, and by all blocks."""
    case = make_case(4, rows, 64, 32, 900, getattr(torch, dtype))
    case["scores"].mul_(0.01)
    case["scores"][2, :, 24:] -= 40  # the other 24 cells of head 2 share what 32 share elsewhere
    case["gates"].fill_(1)
    out = check(gpu, case, 120)  # 17 cells
    assert out[2].any()
    assert not out[[0, 1, 3]].any()


def test_large_scores_in_one_part_and_not_in_the_next(gpu):
    for rows in (1, 33):
        case = make_case(1, rows, 8, 1, 299)
        case["q"].fill_(100)
        case["k_cache"][0, : 299 + rows] = torch.linspace(-4, 4, 299 + rows)[:, None]
        check(gpu, case, 1)


def test_gate_of_nothing_gives_the_mean(gpu):
    for rows in (1, 33):
        case = make_case(3, rows, 20, 16, 90)
        case["gates"][..., 1] = 0
        assert torch.equal(attend(gpu, case, 8), case["v_mean"])


def test_same_bits_whatever_runs_first(built, tmp_path):
    one, other = (EmulatedGpu(built("emulated_gpu"), words, tmp_path) for words in ("", "reversed=1"))
    for rows in (1, 33):
        case = make_case(7, rows, 64, 64, 1500, torch.float16, spread=3.0)
        for k_budget in (64, 4000):
            assert torch.equal(attend(one, case, k_budget), attend(other, case, k_budget))


@pytest.mark.parametrize(
    ("heads", "size", "cells", "k_budget"),
    [(1, 257, 4, 5), (70, 8, 600, 9)],
    ids=["numbers of a token", "a block's memory"],
)
def test_sizes_that_are_not_taken(gpu, heads, size, cells, k_budget):
    """The CPU computes."""
    for rows in (1, 33):
        case = make_case(heads, rows, size, cells, 20)
        case["scores"].copy_(torch.arange(cells) % 7)  # the same in all heads
        check(gpu, case, k_budget, certain=True, taken=False)


def near(found, expected, tolerance=1e-4):
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance, equal_nan=True)


#: heads, size, features, cells, k_budget, tokens that were there, tokens that come.
STEPS = {
    "a layer": (12, 64, 33, 256, 2, 40, 3),
    "from the first token": (3, 20, 5, 28, 3, 0, 9),
    "far from the first": (2, 64, 9, 16, 20, 1000, 2),
    "odd numbers": (5, 37, 7, 16, 6, 150, 4),
    "everything": (4, 16, 5, 32, 10**6, 90, 3),
    "one head": (1, 8, 3, 4, 2, 5, 3),
}


@RUNS
@pytest.mark.parametrize("name", STEPS)
def test_one_launch_is_the_three_operators(gpu, name, dtype):
    """Tokens one by one: output where the choice does not hang on rounding; the state and the cache always."""
    heads, size, features, cells, k_budget, start, steps = STEPS[name]
    capacity, kept = start + steps + 2, getattr(torch, dtype)
    weights = random_weights(heads, size, features, cells, capacity, seed=heads)
    state = SeaState(*(tensor.nan_to_num(0) for tensor in empty_state(weights)))
    fill = 0 if dtype == "int8" else torch.nan
    cache = [torch.full((heads, capacity, size), fill, dtype=kept) for _ in range(2)]
    cache += [torch.full((heads, capacity), torch.nan) for _ in range(2)] if dtype == "int8" else []
    if start:
        q, k, v = make_inputs(heads, start, size, seed=7)
        reference.sea_estimate(q, k, v, 0, list(weights), *state)
        reference.kv_append(k, v, 0, *cache)
    about = (heads, size, features, weights.row_norm_bias.shape[0], cells, weights.map_weight.shape[1], capacity)
    sure = 0
    for token in range(start, start + steps):
        inputs = make_inputs(heads, 1, size, seed=token)
        given = [tensor.numpy().copy() for tensor in (*inputs, *weights, *state, *cache)]
        numbers = (*about, DTYPES[dtype], heads, capacity, size, token, k_budget)
        scores, gates, v_mean = reference.sea_estimate(*inputs, token, list(weights), *state)
        reference.kv_append(*inputs[1:], token, *cache)
        scales = cache[2:]
        expected = reference.sparse_topk_attention(
            inputs[0], cache[0], cache[1], scores, gates, v_mean, token, k_budget, *scales
        )
        out, *changed = gpu([f"edgekit_sea_step_{dtype}"], "sea_step", numbers, *given)
        for data, tensor in zip(changed[:5], state, strict=True):
            near(torch.from_numpy(np.frombuffer(data, np.float32).reshape(tensor.shape).copy()), tensor)
        for data, tensor in zip(changed[5:], cache, strict=True):
            np.testing.assert_array_equal(np.frombuffer(data, tensor.numpy().dtype).reshape(tensor.shape), tensor)
        n = reference.cell_count(heads, cells, token + 1, k_budget)
        ranked = scores.log_softmax(-1).flatten().sort(descending=True).values
        if n == heads * cells or ranked[n - 1] - ranked[n] > 2e-4:
            near(torch.from_numpy(np.frombuffer(out, np.float32).reshape(expected.shape).copy()), expected)
            sure += 1
    assert sure > 0


def test_a_step_on_the_cpu_and_what_it_refuses(built):
    """The same operator without a GPU, and arguments that do not fit each other: nothing is changed then."""
    machine = built("emulated_gpu")
    machine = dataclasses.replace(machine, environment=(*machine.environment, ("EDGEKIT_GPU", "0")))
    weights = random_weights(3, 20, 5, 28, 9, seed=1)
    state, cache = empty_state(weights), [torch.zeros(3, 9, 20) for _ in range(2)]
    inputs = make_inputs(3, 1, 20, seed=2)
    about = (3, 20, 5, weights.row_norm_bias.shape[0], 28, weights.map_weight.shape[1], 9)
    given = [tensor.numpy().copy() for tensor in (*inputs, *weights, *state, *cache)]
    out, *_ = machine.operator("sea_step", (*about, 0, 3, 9, 20, 0, 7), *given)
    scores, gates, v_mean = reference.sea_estimate(*inputs, 0, list(weights), *state)
    reference.kv_append(*inputs[1:], 0, *cache)
    expected = reference.sparse_topk_attention(inputs[0], cache[0], cache[1], scores, gates, v_mean, 0, 7)
    near(torch.from_numpy(np.frombuffer(out, np.float32).reshape(expected.shape).copy()), expected)
    for numbers, says in (
        ((*about, 0, 2, 9, 20, 0, 7), "sea_step: the estimator has 3 heads of 20, the cache 2 of 20"),
        ((*about, 0, 3, 9, 20, 9, 7), "sea_estimate: start_pos is 9"),
        ((*about, 0, 3, 4, 20, 5, 7), "start_pos is 5 and there are 1 rows, but the cache holds 4 tokens"),
        ((*about, 0, 3, 9, 20, 0, 0), "k_budget is 0"),
    ):
        with pytest.raises(OperatorError, match=says):
            machine.operator("sea_step", numbers, *given)
