"""sparse_topk against the eager reference and against torch.topk, in every instruction set and runtime."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgekit import kernels
from edgekit.errors import EdgekitError
from edgekit.kernels import reference

from .conftest import AVAILABLE

topk = torch.ops.edgekit.sparse_topk

SPECIAL = (0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-45, -1e-45, 1e-38, 3.4e38, -3.4e38, 6e-8, 65504.0)


@st.composite
def problems(draw: st.DrawFn) -> tuple[torch.Tensor, int, bool]:
    """Rows of random lengths: smooth, of few distinct numbers, or with special ones among them."""
    rows = draw(st.integers(1, 4))
    n = draw(st.one_of(st.integers(1, 70), st.sampled_from([127, 128, 255, 256, 257, 1000, 1024, 2049, 3072])))
    k = draw(st.one_of(st.integers(1, n), st.just(1), st.just(n)))
    dtype = draw(st.sampled_from([torch.float32, torch.float16]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["smooth", "ties", "special", "sorted", "equal", "huge", "bits"]))
    x = torch.randn(rows, n, generator=generator)
    if kind == "ties":
        x = (x * draw(st.sampled_from([0.5, 2.0, 20.0]))).round()
    elif kind == "special":
        places = torch.randint(len(SPECIAL), (rows, n), generator=generator)
        mixed = torch.rand(rows, n, generator=generator) < draw(st.sampled_from([0.02, 0.5, 1.0]))
        x = torch.where(mixed, torch.tensor(SPECIAL)[places], x)
    elif kind == "sorted":
        x = x.sort(dim=-1, descending=draw(st.booleans())).values
    elif kind == "equal":
        x = torch.full((rows, n), draw(st.sampled_from(SPECIAL)))
    elif kind == "huge":
        x = x * torch.pow(10.0, torch.randint(-44, 38, (rows, n), generator=generator).float())
    elif kind == "bits":
        x = torch.randint(-(2**31), 2**31 - 1, (rows, n), generator=generator, dtype=torch.int32).view(torch.float32)
    return x.to(dtype), k, draw(st.booleans())


def same(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Bit for bit: NaN and the sign of zero included."""
    bits = torch.int32 if found.dtype == torch.float32 else torch.int16
    return torch.equal(found.view(bits), expected.view(bits))


@settings(max_examples=400, deadline=None)
@given(problems())
def test_it_is_the_reference(problem):
    x, k, sort = problem
    values, indices = reference.sparse_topk(x, k, sort)
    for name in AVAILABLE:
        kernels.use_isa(name)
        found = topk(x, k, sort)
        assert torch.equal(found[1], indices), name
        assert same(found[0], values), name
    kernels.use_isa(None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_torch_finds_the_same_values(isa, dtype):
    x = torch.randn(3, 5, 777, generator=torch.Generator().manual_seed(1)).to(dtype)
    values, indices = topk(x, 50, True)
    expected = torch.topk(x, 50).values
    assert torch.equal(values, expected)
    assert torch.equal(x.gather(-1, indices), expected)
    unsorted, places = topk(x, 50, False)
    assert torch.equal(unsorted.sort(descending=True).values, expected)
    assert bool((places.diff(dim=-1) > 0).all())


def test_ties_zeros_and_nan(isa):
    x = torch.tensor([[math.nan, 1.0, -0.0, 0.0, 1.0, -math.inf, math.nan]])
    values, indices = topk(x, 7, True)
    assert indices.tolist() == [[1, 4, 2, 3, 5, 0, 6]]
    assert np.signbit(values.numpy()).tolist()[0][2:4] == [True, False]
    assert topk(x, 3, False)[1].tolist() == [[1, 2, 4]]


@pytest.mark.parametrize("sort", [True, False])
def test_the_same_for_any_number_of_threads(isa, threads, sort):
    x = torch.randn(301, 513, generator=torch.Generator().manual_seed(2)).round(decimals=1)
    threads(1)
    expected = topk(x, 40, sort)
    for count in (2, 3, 8):
        threads(count)
        found = topk(x, 40, sort)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])


def test_rows_that_mislead_the_sample(isa):
    """The guess at a threshold comes from evenly spread places: here they hold the smallest, then the largest."""
    for sign in (1.0, -1.0):
        x = torch.randn(1, 2048, generator=torch.Generator().manual_seed(3)).abs()
        x[0, ::32] = -sign * 1e6
        x[0, 1::33] = sign * 1e6
        expected = reference.sparse_topk(x, 64)
        assert torch.equal(topk(x, 64)[1], expected[1])


def test_out_writes_into_what_it_is_given(isa):
    x = torch.randn(4, 100)
    values, indices = torch.empty(4, 9), torch.empty(4, 9, dtype=torch.int64)
    found = torch.ops.edgekit.sparse_topk.out(x, 9, True, values=values, indices=indices)
    assert found[0] is values
    assert torch.equal(indices, reference.sparse_topk(x, 9)[1])
    with pytest.raises(RuntimeError, match="sparse_topk: indices is not int64"):
        torch.ops.edgekit.sparse_topk.out(x, 9, True, values=values, indices=indices.int())
    with pytest.raises(RuntimeError, match="sparse_topk: values or indices does not have x's shape with k = 8"):
        torch.ops.edgekit.sparse_topk.out(x, 8, True, values=values, indices=indices)
    with pytest.raises(RuntimeError, match="sparse_topk: values has another dtype than x"):
        torch.ops.edgekit.sparse_topk.out(x, 9, True, values=values.half(), indices=indices)


@pytest.mark.parametrize(
    ("x", "k", "says"),
    [
        (torch.zeros(2, 5), 0, "sparse_topk: k is 0: give 1 to x's last dimension, 5"),
        (torch.zeros(2, 5), -3, "sparse_topk: k is -3"),
        (torch.zeros(2, 5), 6, "sparse_topk: k is 6: give 1 to x's last dimension, 5"),
        (torch.zeros(2, 0), 1, "sparse_topk: k is 1"),
        (torch.zeros(2, 5, dtype=torch.float64), 1, "sparse_topk: x has dtype 7 "),
        (torch.zeros(2, 5, dtype=torch.int64), 1, "sparse_topk: x has dtype 4 "),
        (torch.zeros(5, 2).T, 1, "sparse_topk: x is not contiguous"),
        (torch.tensor(1.0), 1, "sparse_topk: x has 0 dimensions"),
    ],
)
def test_what_it_does_not_take(isa, x, k, says):
    with pytest.raises(RuntimeError, match=says):
        topk(x, k)


def test_no_rows(isa):
    values, indices = topk(torch.zeros(0, 5), 2)
    assert (values.shape, indices.shape) == ((0, 2), (0, 2))


def test_torch_accepts_the_operator():
    """Schema, fake and real implementation fit each other, also under torch.export."""
    x = torch.randn(3, 40)
    torch.library.opcheck(torch.ops.edgekit.sparse_topk.default, (x, 5, True))
    with pytest.raises(RuntimeError, match="sparse_topk: k is 50"):
        torch.export.export(Best(50), (x,))


class Best(nn.Module):
    def __init__(self, k: int, sort: bool = True) -> None:
        super().__init__()
        self.k, self.sort = k, sort

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, indices = torch.ops.edgekit.sparse_topk(x * 2.0, self.k, self.sort)
        return values + 1.0, indices


@pytest.mark.parametrize("sort", [True, False])
def test_program(isa, as_program, sort):
    x = torch.randn(2, 12, 300, generator=torch.Generator().manual_seed(4))
    program = as_program(Best(33, sort), x)
    for seed in range(3):
        x = torch.randn(2, 12, 300, generator=torch.Generator().manual_seed(seed)).round(decimals=1)
        values, indices = reference.sparse_topk(x * 2.0, 33, sort)
        found = program(x)
        assert np.array_equal(found[0], (values + 1.0).numpy())
        assert np.array_equal(found[1], indices.numpy())


def test_profiles_name_the_operator(as_program, tmp_path):
    x = torch.randn(2, 12, 300)
    assert "native_call_edgekit::sparse_topk.out" in as_program(Best(33), x).profile(tmp_path, x)


def test_instruction_sets_by_name(monkeypatch):
    with pytest.raises(EdgekitError, match="unknown instruction set 'avx': did you mean 'avx2'"):
        kernels.use_isa("avx")
    missing = next(name for name in kernels.ISAS if name not in AVAILABLE)
    with pytest.raises(EdgekitError, match=f'"{missing}" is not an instruction set of this CPU'):
        kernels.use_isa(missing)
    monkeypatch.setenv("EDGEKIT_ISA", missing)
    kernels.use_isa(None)
    # ctypes reads the C environment, which monkeypatch sets too.
    with pytest.raises(EdgekitError, match=f'EDGEKIT_ISA is "{missing}"'):
        kernels.isa()
    with pytest.raises(RuntimeError, match="EDGEKIT_ISA"):
        topk(torch.zeros(1, 4), 1)
    monkeypatch.setenv("EDGEKIT_ISA", "scalar")
    kernels.use_isa(None)
    assert kernels.isa() == "scalar"
    monkeypatch.delenv("EDGEKIT_ISA")
    kernels.use_isa(None)
    assert kernels.isa() == AVAILABLE[-1]
