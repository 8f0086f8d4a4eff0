"""The operators: their schemas, and what each means to torch where no kernel runs (shapes, eager references).

Every operator has a functional form and one that writes into tensors it is given (`.out`), which is what an ExecuTorch
program calls. On a CPU the native kernels run; elsewhere the references of `edgekit.kernels.reference`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from edgekit.kernels import reference

NAMESPACE = "edgekit"

SPARSE_TOPK = "(Tensor x, int k, bool sorted=True) -> (Tensor values, Tensor indices)"
SPARSE_TOPK_OUT = (
    "(Tensor x, int k, bool sorted=True, *, Tensor(a!) values, Tensor(b!) indices) -> (Tensor(a!), Tensor(b!))"
)


def sparse_topk(x: Tensor, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest of the last dimension.

    Args:
        x: (..., n) float32 or float16, contiguous.
        k: 1 to n; a constant of the graph.
        sorted: descending by value; otherwise by ascending index.

    Returns:
        values (..., k) of x's dtype, and indices (..., k) int64. Equal values (-0 equals 0) rank by index, the lower
        first; NaN ranks below everything.

    Raises:
        RuntimeError: another dtype or layout, or k out of range; the sentence names operator, argument and value.
    """
    return torch.ops.edgekit.sparse_topk(x, k, sorted)  # type: ignore[no-any-return]


def _topk_shapes(x: Tensor, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    reference.check_topk(x, k)
    shape = (*x.shape[:-1], k)
    return x.new_empty(shape), x.new_empty(shape, dtype=torch.int64)


@functools.cache
def define() -> None:
    """Defines every operator in torch, once."""
    _define("sparse_topk", SPARSE_TOPK, SPARSE_TOPK_OUT, reference.sparse_topk, _topk_shapes, ("values", "indices"))


def _define(
    name: str,
    schema: str,
    out_schema: str,
    eager: Callable[..., object],
    shapes: Callable[..., object],
    outputs: tuple[str, ...],
) -> None:
    """Defines a functional operator and its `.out` form, with reference and fake implementations."""

    def into(*arguments: object, **keywords: Tensor) -> object:
        targets = tuple(keywords.pop(output) for output in outputs)
        results = eager(*arguments)
        for target, result in zip(targets, results if isinstance(results, tuple) else (results,), strict=True):
            target.copy_(result)
        return targets if len(targets) > 1 else targets[0]

    def shaped(*arguments: object, **keywords: Tensor) -> object:
        shapes(*arguments)
        targets = tuple(keywords[output] for output in outputs)
        return targets if len(targets) > 1 else targets[0]

    full = f"{NAMESPACE}::{name}"
    for suffix, text, plain, fake in (("", schema, eager, shapes), (".out", out_schema, into, shaped)):
        torch.library.define(full + suffix, text)
        torch.library.impl(full + suffix, "CompositeExplicitAutograd")(plain)
        torch.library.register_fake(full + suffix)(fake)
