"""csr_matmul, a constant sparse matrix times x, against sparse and dense products, and one reading of its data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from edgekit.native_log import captured_stderr

from .measure import COMPUTING, READING, Contender, Row, by_isa, compare
from .runtimes import Node, executorch_program, first_output, onnx_session


class Case(NamedTuple):
    """A square matrix of `size` rows with `entries` in each, times x of `n` columns."""

    size: int
    entries: int
    n: int

    def __str__(self) -> str:
        return f"{self.size}x{self.size}, {self.entries} entries a row, N = {self.n}"


#: A graph as StackVAE-G learns it for 38 channels, and larger matrices with 5 % of their entries.
CASES = tuple(Case(size, entries, n) for size, entries in ((38, 10), (512, 26), (2048, 102)) for n in (1, 64))
QUICK = (Case(38, 10, 1), Case(38, 10, 64))
GROWS = None


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    """All cases."""
    for case in QUICK if quick else CASES:
        yield from compare(
            str(case),
            _contenders(case),
            lambda seed, case=case: (torch.randn(case.size, case.n, generator=torch.Generator().manual_seed(seed)),),  # type: ignore[misc]
            rounds,
        )


def _matrix(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    """crow, col and val, with columns ascending in each row."""
    generator = torch.Generator().manual_seed(case.size)
    crow = torch.arange(case.size + 1) * case.entries
    places = torch.rand(case.size, case.size, generator=generator).argsort()[:, : case.entries]
    return crow, places.sort().values.flatten(), torch.randn(case.size * case.entries, generator=generator)


def _contenders(case: Case) -> dict[str, Contender]:
    crow, col, val = _matrix(case)
    with captured_stderr():  # torch warns that its own is in beta
        sparse = torch.sparse_csr_tensor(crow, col, val, (case.size, case.size))
    dense = sparse.to_dense()
    # One column leaves each entry one product: it is reading, and all are rated by what the sparse product must read.
    size = crow.nbytes + col.nbytes + val.nbytes + 4 * case.size * case.n
    work, unit = (size, READING) if case.n == 1 else (2 * val.numel() * case.n, COMPUTING)

    def contender(run: Callable[[Tensor], Any]) -> Contender:
        return Contender(run, work, unit, answer=first_output)

    data = torch.ones(size // 4)
    x = torch.zeros(case.size, case.n)
    found = {
        **by_isa(contender(lambda x: torch.ops.edgekit.csr_matmul(crow, col, val, x))),
        "torch dense": contender(lambda x: dense @ x),
        "torch sparse_csr": contender(lambda x: sparse @ x),
        "XNNPACK dense": contender(executorch_program(_Dense(dense), x, xnnpack=True)),
    }
    session = onnx_session([Node("MatMul", ["matrix", "x"], ["y"])], {"matrix": dense}, {"y": torch.float32}, x)
    if session is not None:
        found["ONNX Runtime dense"] = contender(session)
    found["one read"] = Contender(lambda x: torch.sum(data), size)
    return found


class _Dense(nn.Module):
    """The product with a dense matrix as the layer that XNNPACK has."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.linear = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False)
        self.linear.weight = nn.Parameter(matrix, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mT).mT
