"""sparse_topk against torch.topk, ExecuTorch's portable kernel, ONNX Runtime, and one reading of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from . import c_header
from .measure import OURS, Contender, Row, by_isa, compare
from .runtimes import Node, executorch_program, onnx_session

#: Rows, their length n, and k.
SHAPES = ((4096, 256, 32), (1024, 2048, 64), (2048, 3072, 96), (12, 2048, 64), (1, 3072, 96))
#: Those that are also called by way of the C header, as a model calls them once a token.
SMALL = ((12, 2048, 64), (1, 3072, 96))
QUICK = ((4, 64, 8),)
GROWS = None


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    """All cases."""
    for count, n, k in QUICK if quick else SHAPES:
        shape, inputs = f"({count}, {n}, {k})", _inputs(count, n)
        for sort in (True, False):
            case = f"{shape} {'sorted' if sort else 'unsorted'}"
            yield from compare(case, _in_torch(count, n, k, sort), inputs, rounds)
        if quick or (count, n, k) in SMALL:
            yield from compare(f"{shape} sorted, C header", _in_c(count, n, k), inputs, rounds)
        yield from compare(f"{shape} sorted, .pte", _in_a_program(count, n, k), inputs, rounds)


def _inputs(count: int, n: int) -> Callable[[int], tuple[Tensor]]:
    return lambda seed: (torch.randn(count, n, generator=torch.Generator().manual_seed(seed)),)


def _in_torch(count: int, n: int, k: int, sort: bool) -> dict[str, Contender]:
    size = 4 * count * n
    ours = Contender(lambda x: torch.ops.edgekit.sparse_topk(x, k, sort), size, answer=_values)
    found = by_isa(ours)
    found["torch.topk"] = Contender(lambda x: torch.topk(x, k, sorted=sort), size, answer=_values)
    session = onnx_session(
        [Node("TopK", ["x", "k"], ["values", "indices"], {"sorted": int(sort)})],
        {"k": torch.tensor([k])},
        {"values": torch.float32, "indices": torch.int64},
        torch.zeros(count, n),
    )
    if session is not None:
        found["ONNX Runtime"] = Contender(session, size, answer=_values)
    found["one read"] = Contender(torch.sum, size)
    return found


def _in_c(count: int, n: int, k: int) -> dict[str, Contender]:
    size = 4 * count * n
    return {
        OURS: Contender(c_header.sparse_topk(count, n, k, True), size, answer=_values),
        "torch.topk": Contender(lambda x: torch.topk(x, k), size, answer=_values),
    }


def _in_a_program(count: int, n: int, k: int) -> dict[str, Contender]:
    x, size = torch.zeros(count, n), 4 * count * n
    return {
        OURS: Contender(executorch_program(_Ours(k), x), size, answer=_values),
        "ExecuTorch portable": Contender(executorch_program(_Torch(k), x), size, answer=_values),
        # What a call from Python costs without any operator.
        "empty program": Contender(executorch_program(_Nothing(count, k), x)),
    }


def _values(found: Any) -> Tensor:
    """The chosen numbers, descending: unsorted ones come in any order."""
    return torch.as_tensor(found[0]).sort(descending=True).values


class _Ours(nn.Module):
    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = torch.ops.edgekit.sparse_topk(x, self.k)
        return values, indices


class _Torch(nn.Module):
    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = torch.topk(x, self.k)
        return values, indices


class _Nothing(nn.Module):
    """Gives constants of the same shapes, whatever comes in."""

    def __init__(self, count: int, k: int) -> None:
        super().__init__()
        self.values = nn.Buffer(torch.zeros(count, k))
        self.indices = nn.Buffer(torch.zeros(count, k, dtype=torch.int64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.values, self.indices
