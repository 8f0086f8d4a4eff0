"""sparse_topk against torch.topk, ExecuTorch's portable kernel, and one reading of the row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from edgekit import kernels
from edgekit.native_log import captured_stderr

from .measure import OURS, Row, compare

SHAPES = ((4096, 256, 32), (1024, 2048, 64), (2048, 3072, 96), (12, 2048, 64), (1, 3072, 96))
UNIT = "GB/s"


class _TorchTopk(nn.Module):
    def __init__(self, k: int, sort: bool) -> None:
        super().__init__()
        self.k, self.sort = k, sort

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = torch.topk(x, self.k, sorted=self.sort)
        return values, indices


class _OurTopk(_TorchTopk):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = torch.ops.edgekit.sparse_topk(x, self.k, self.sort)
        return values, indices


def rows(rounds: int) -> Iterator[Row]:
    """All cases."""
    for count, n, k in SHAPES:
        for sort in (True, False):
            case = f"({count}, {n}, {k}) {'sorted' if sort else 'unsorted'}"
            yield from _through_torch(case, count, n, k, sort, rounds)
        yield from _in_a_program(f"({count}, {n}, {k}) .pte", count, n, k, rounds)


def _inputs(count: int, n: int) -> Callable[[int], tuple[Tensor]]:
    return lambda seed: (torch.randn(count, n, generator=torch.Generator().manual_seed(seed)),)


def _through_torch(case: str, count: int, n: int, k: int, sort: bool, rounds: int) -> list[Row]:
    def ours(x: Tensor) -> object:
        return torch.ops.edgekit.sparse_topk(x, k, sort)

    def scalar(x: Tensor) -> object:
        kernels.use_isa("scalar")
        found = ours(x)
        kernels.use_isa(None)
        return found

    contenders = {
        OURS: ours,
        "edgekit scalar": scalar,
        "torch.topk": lambda x: torch.topk(x, k, sorted=sort),
        "one read": torch.sum,
    }
    gigabytes = 4e-9 * count * n
    return compare(case, contenders, _inputs(count, n), dict.fromkeys(contenders, gigabytes), rounds)


def _in_a_program(case: str, count: int, n: int, k: int, rounds: int) -> list[Row]:
    contenders = {
        OURS: _program(_OurTopk(k, True), count, n),
        "ExecuTorch portable": _program(_TorchTopk(k, True), count, n),
    }
    return compare(case, contenders, _inputs(count, n), None, rounds)


def _program(module: nn.Module, count: int, n: int) -> Callable[[Tensor], object]:
    from executorch.exir import to_edge
    from executorch.runtime import Runtime

    from edgekit.kernels.native import load_executorch_binding

    with captured_stderr():
        exported = torch.export.export(module.eval(), (torch.zeros(count, n),))
        buffer = to_edge(exported).to_executorch().buffer
        runtime = Runtime.get()
        load_executorch_binding()
        program = runtime.load_program(buffer)
        method = program.load_method("forward")
    # A method does not keep its program alive.
    return lambda x, program=program: method.execute([x])  # type: ignore[misc]
