"""Programs that hand operators what they do not take: the run fails, and a sentence in the log says why."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekit import Session, kernels
from edgekit.kernels import ops

from .conftest import AVAILABLE, Program


class Calls(nn.Module):
    """Calls one function with the program's inputs."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> object:
        return self.function(*inputs)


def append(k: Tensor, v: Tensor, position: Tensor, k_cache: Tensor, v_cache: Tensor, *scales: Tensor) -> Tensor:
    start_pos = position.item()
    k_cache, v_cache = k_cache.clone(), v_cache.clone()
    return ops.kv_append(k, v, start_pos, k_cache, v_cache, *scales)


def attend(q: Tensor, cache: Tensor, scores: Tensor, gates: Tensor, position: Tensor, budget: int = 4) -> Tensor:
    start_pos = position.item()
    return ops.sparse_topk_attention(q, cache, cache, scores, gates, q, start_pos, budget)


ROWS = torch.zeros(2, 3, 8)
CACHE = torch.zeros(2, 10, 8)
SCORES = torch.zeros(2, 3, 4)
GATES = torch.zeros(2, 3, 2)
AT = torch.tensor
CROW, COL, VAL = AT([0, 2, 3]), AT([0, 3, 1]), torch.ones(3)
X = torch.zeros(4, 5)
IMAGE, WEIGHT = torch.zeros(1, 3, 8, 9), torch.zeros(2, 3, 3, 3)


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    return ops.conv2d(x, weight, None, (0, 0))


@pytest.mark.parametrize(
    ("function", "inputs", "says"),
    [
        (append, (ROWS, ROWS, AT(8), CACHE, CACHE), "kv_append: start_pos is 8 and there are 3 rows, but the cache"),
        (append, (ROWS, ROWS, AT(-1), CACHE, CACHE), "kv_append: start_pos is -1"),
        (append, (ROWS.double(), ROWS, AT(0), CACHE, CACHE), "kv_append: k has dtype Double, it must have Float"),
        (append, (ROWS, CACHE, AT(0), CACHE, CACHE), "kv_append: v has shape (2, 10, 8), it must have (2, 3, 8)"),
        (append, (ROWS, ROWS, AT(0), CACHE.int(), CACHE.int()), "kv_append: k_cache has dtype Int: give Float"),
        (append, (ROWS, ROWS, AT(0), CACHE.char(), CACHE.char()), "kv_append: k_scale or v_scale is missing"),
        (append, (ROWS, ROWS, AT(0), CACHE, CACHE, X), "kv_append: k_scale has shape (4, 5), it must have (2, 10)"),
        (attend, (ROWS, CACHE, SCORES, GATES, AT(8)), "sparse_topk_attention: start_pos is 8 and there are 3 rows"),
        (attend, (ROWS.half(), CACHE, SCORES, GATES, AT(0)), "sparse_topk_attention: q has dtype Half, it must have"),
        (attend, (ROWS, CACHE, SCORES, SCORES, AT(0)), "sparse_topk_attention: gates has shape (2, 3, 4), it must"),
        (attend, (ROWS, CACHE[0], SCORES, GATES, AT(0)), "sparse_topk_attention: k_cache has shape (10, 8): give 3"),
        (
            lambda *inputs: attend(*inputs, budget=0),
            (ROWS, CACHE, SCORES, GATES, AT(0)),
            "sparse_topk_attention: k_budget is 0",
        ),
        (ops.csr_matmul, (CROW, COL, VAL, X.half()), "csr_matmul: x has dtype Half, it must have Float"),
        (ops.csr_matmul, (CROW, COL, VAL[:2], X), "csr_matmul: val has shape (2), it must have (3)"),
        (ops.csr_matmul, (CROW, AT([0, 4, 1]), VAL, X), "csr_matmul: col[1] is 4, but x has 4 rows"),
        (ops.csr_matmul, (AT([0, 4, 3]), COL, VAL, X), "csr_matmul: crow[2] is 3, less than the one before, 4"),
        (convolve, (IMAGE.half(), WEIGHT), "conv2d: x has dtype Half, it must have Float"),
        (
            convolve,
            (IMAGE, torch.zeros(2, 2, 3, 3)),
            "conv2d: weight has shape (2, 2, 3, 3), it must have (2, 3, 3, 3)",
        ),
        (
            lambda x, weight: convolve(x.to(memory_format=torch.channels_last), weight),
            (IMAGE, WEIGHT),
            "conv2d: x of shape (1, 3, 8, 9) is not contiguous",
        ),
    ],
)
def test_it_fails_with_a_sentence(as_program, function, inputs, says):
    """What export cannot see, since it has no values, or lets pass."""
    program = as_program(Calls(function), *inputs)
    for _ in range(2):  # and the program is whole afterwards
        assert f"edgekit::{says}" in program.failure(*inputs)


def test_fewer_numbers_than_k(as_program):
    some = {dimension: torch.export.Dim.AUTO(min=2, max=30) for dimension in range(2)}
    program = as_program(Calls(lambda x: ops.sparse_topk(x, 5)), torch.zeros(2, 20), dynamic_shapes=((some,),))
    assert "edgekit::sparse_topk: k is 5: give 1 to x's last dimension, 4." in program.failure(torch.zeros(2, 4))
    x = torch.randn(3, 7)
    values, indices = program(x)
    assert torch.equal(torch.from_numpy(values), x.topk(5).values)
    assert torch.equal(torch.from_numpy(indices), x.topk(5).indices)


@pytest.mark.parametrize("name", ["nonsense", "AVX2", *(isa for isa in kernels.ISAS if isa not in AVAILABLE)])
def test_an_instruction_set_that_is_not_there(as_program, monkeypatch, name):
    program = as_program(Calls(lambda x: ops.sparse_topk(x, 5)), torch.zeros(2, 20))
    with monkeypatch.context() as patch:
        patch.setenv("EDGEKIT_ISA", name)
        kernels.use_isa(None)
        log = program.failure(torch.zeros(2, 20))
    kernels.use_isa(None)
    assert f'edgekit::EDGEKIT_ISA is "{name}", which is not an instruction set of this CPU and library' in log
    assert len(program(torch.zeros(2, 20))) == 2


def test_a_larger_kernel_than_the_image(as_program):
    some = {2: torch.export.Dim.AUTO(min=1, max=20)}
    program = as_program(Calls(convolve), IMAGE, WEIGHT, dynamic_shapes=((some, None),))
    says = "edgekit::conv2d: weight has 3 x 3 numbers a channel, more than x with its padding, 2 x 9."
    assert says in program.failure(torch.zeros(1, 3, 2, 9), WEIGHT)
    assert program(torch.zeros(1, 3, 3, 9), WEIGHT)[0].shape == (1, 2, 1, 7)


def test_rejected_tokens_leave_the_cache_as_it_was(as_program):
    class Cache(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("k", torch.zeros(2, 10, 8))
            self.register_buffer("v", torch.zeros(2, 10, 8))

        def forward(self, rows: Tensor, position: Tensor) -> Tensor:
            start_pos = position.item()
            ops.kv_append(rows, rows, start_pos, self.k, self.v)
            return self.k + self.v

    program: Program = as_program(Cache(), ROWS, AT(0))
    (before,) = program(ROWS + 1, AT(2))
    assert "start_pos is 8" in program.failure(ROWS + 5, AT(8))
    (after,) = program(ROWS + 1, AT(2))
    assert before.sum() == 2 * ROWS.numel()
    assert torch.equal(torch.from_numpy(after), torch.from_numpy(before))


def test_a_session_takes_nothing_of_what_other_programs_log(as_program, pump_bundle):
    program = as_program(Calls(append), ROWS, ROWS, AT(0), CACHE, CACHE)
    session = Session(pump_bundle)
    session.run(np.zeros((1, 5, 16), np.float32))
    assert "edgekit::kv_append: start_pos is -1" in program.failure(ROWS, ROWS, AT(-1), CACHE, CACHE)
