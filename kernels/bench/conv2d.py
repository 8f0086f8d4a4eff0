"""conv2d against torch's convolution: the shapes of RPCANet++ and a chain of four 3x3 convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

import edgekit.kernels  # noqa: F401 (defines torch.ops.edgekit)

from .measure import OURS, Row, compare

CHANNELS, SIDE = 32, 256
#: Side of the kernel, and how many such convolutions, each with a ReLU, follow each other.
CASES = ((17, 1), (9, 1), (7, 1), (5, 1), (3, 4))
UNIT = "GMAC/s of a direct convolution"


def rows(rounds: int) -> Iterator[Row]:
    """All cases."""
    for kernel, count in CASES:
        generator = torch.Generator().manual_seed(kernel)
        weight = torch.randn(CHANNELS, CHANNELS, kernel, kernel, generator=generator) / (kernel * CHANNELS**0.5)
        bias = torch.randn(CHANNELS, generator=generator)
        contenders = {OURS: _chain(_ours, weight, bias, count), "torch": _chain(_torch, weight, bias, count)}
        work = 1e-9 * count * CHANNELS**2 * kernel**2 * SIDE**2
        case = f"{CHANNELS} to {CHANNELS}, {kernel}x{kernel} at {SIDE}x{SIDE}, {count} in a chain"
        yield from compare(case, contenders, _inputs, dict.fromkeys(contenders, work), rounds)


def _inputs(seed: int) -> tuple[Tensor]:
    return (torch.randn(1, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)),)


def _ours(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.ops.edgekit.conv2d(x, weight, bias, [weight.shape[-1] // 2] * 2, 0.0)


def _torch(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2).relu_()


def _chain(
    layer: Callable[[Tensor, Tensor, Tensor], Tensor], weight: Tensor, bias: Tensor, count: int
) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        for _ in range(count):
            x = layer(x, weight, bias)
        return x

    return run
