"""csr_matmul against its eager reference, on every instruction set of this CPU, and in an ExecuTorch program."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import edgekit.kernels as kernels
from edgekit.kernels import ops, reference

from .conftest import AVAILABLE


def matrix(rows, columns, density, generator):
    """crow, col, val; columns in any order, and some more than once."""
    counts = torch.poisson(torch.full((rows,), density * columns), generator=generator).long()
    counts = counts if columns else counts * 0
    crow = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    entries = int(crow[-1])
    col = torch.randint(max(columns, 1), (entries,), generator=generator)
    return crow, col, torch.randn(entries, generator=generator)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(0, 30),
    columns=st.integers(0, 30),
    n=st.one_of(st.integers(0, 9), st.integers(0, 150)),
    batch=st.sampled_from(((), (1,), (3,), (2, 0), (2, 3))),
    density=st.sampled_from((0.0, 0.1, 1.0)),
    seed=st.integers(0, 2**32),
)
def test_same_as_reference(rows, columns, n, batch, density, seed):
    generator = torch.Generator().manual_seed(seed)
    crow, col, val = matrix(rows, columns, density, generator)
    x = torch.randn(*batch, columns, n, generator=generator)
    expected = reference.csr_matmul(crow, col, val, x)
    answers = []
    for isa in AVAILABLE:
        kernels.use_isa(isa)
        answers.append(ops.csr_matmul(crow, col, val, x))
        torch.testing.assert_close(answers[-1], expected, atol=1e-5, rtol=1e-5)
        assert torch.equal(answers[-1], answers[0])  # one meaning, to the bit
    kernels.use_isa(None)


def test_special_numbers():
    crow, col = torch.tensor([0, 2, 3, 3]), torch.tensor([0, 1, 2])
    val = torch.tensor([1.0, 0.0, -1.0])
    x = torch.tensor([[1.0, torch.nan, -0.0], [torch.inf, 1e38, 1e-45], [-torch.inf, 3e38, 1.0]])
    expected = torch.tensor([[torch.nan, torch.nan, 0.0], [torch.inf, -3e38, -1.0], [0.0, 0.0, 0.0]])
    for isa in AVAILABLE:
        kernels.use_isa(isa)
        for copies in (1, 8):
            y = ops.csr_matmul(crow, col, val, x.repeat(1, copies))
            torch.testing.assert_close(y, expected.repeat(1, copies), equal_nan=True, atol=0, rtol=0)
    kernels.use_isa(None)


@pytest.mark.parametrize("n", [1, 3, 50])
def test_same_bits_for_any_number_of_threads(isa, threads, n):
    generator = torch.Generator().manual_seed(0)
    crow, col, val = matrix(701, 500, 0.3, generator)
    x = torch.randn(2, 500, n, generator=generator)
    answers = []
    for count in (1, 2, 3):
        threads(count)
        answers.append(ops.csr_matmul(crow, col, val, x))
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"crow": torch.tensor([1, 2, 3])}, ("crow[0]", "1")),
        ({"crow": torch.tensor([0, 4, 3])}, ("crow[2]", "3", "4")),
        ({"crow": torch.tensor([0, 2, 2])}, ("crow[2]", "2", "3")),
        ({"crow": torch.tensor([0, 2, 4])}, ("crow[2]", "4", "3")),
        ({"col": torch.tensor([0, 4, 1])}, ("col[1]", "4")),
        ({"col": torch.tensor([0, 1, -1])}, ("col[2]", "-1")),
        ({"crow": torch.tensor([0, 2, 3], dtype=torch.int32)}, ("crow has dtype",)),
        ({"crow": torch.tensor([], dtype=torch.int64)}, ("crow", "(0)")),
        ({"val": torch.zeros(2)}, ("val has shape", "(2)")),
        ({"val": torch.zeros(3, dtype=torch.float64)}, ("val has dtype",)),
        ({"x": torch.zeros(4)}, ("x has shape", "(4)")),
        ({"x": torch.zeros(4, 5, dtype=torch.float16)}, ("x has dtype",)),
        ({"x": torch.zeros(5, 4).T}, ("x is not contiguous",)),
    ],
)
def test_bad_arguments(change, words):
    arguments = {
        "crow": torch.tensor([0, 2, 3]),
        "col": torch.tensor([0, 3, 1]),
        "val": torch.ones(3),
        "x": torch.zeros(4, 5),
        **change,
    }
    with pytest.raises(RuntimeError) as raised:
        ops.csr_matmul(**arguments)
    sentence = str(raised.value)
    assert all(word in sentence for word in ("csr_matmul", *words)), sentence


class Graph(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for name, tensor in zip(
            ("crow", "col", "val"), matrix(20, 30, 0.2, torch.Generator().manual_seed(1)), strict=True
        ):
            self.register_buffer(name, tensor)

    def forward(self, x):
        return ops.csr_matmul(self.crow, self.col, self.val, x)


def test_executorch_program(as_program):
    program = as_program(Graph(), torch.zeros(2, 30, 9))
    x = torch.randn(2, 30, 9)
    (answer,) = program(x)
    assert torch.equal(torch.from_numpy(answer), Graph()(x))
