"""conv2d with a ReLU against torch, XNNPACK, ONNX Runtime, and one reading of the image: the shapes of RPCANet++."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .measure import COMPUTING, OURS, Contender, Row, by_isa, compare
from .runtimes import Node, executorch_program, first_output, onnx_session


@dataclass(frozen=True)
class Case:
    """Sizes of one case.

    Attributes:
        kernel: its side.
        count: how many such convolutions follow each other.
        channels: of input and output.
        side: of the image.
        scalar: whether plain C++ is quick enough to be measured.
    """

    kernel: int
    count: int = 1
    channels: int = 32
    side: int = 256
    scalar: bool = False

    def __str__(self) -> str:
        chain = f", {self.count} in a chain" if self.count > 1 else ""
        return f"{self.kernel}x{self.kernel}, {self.channels} channels, {self.side}x{self.side}{chain}"


CASES = (
    *(Case(17), Case(9), Case(7), Case(5), Case(3, count=4)),
    *(Case(17, channels=16, side=32, scalar=True), Case(3, side=64, scalar=True)),
)
QUICK = (Case(17, channels=2, side=24, scalar=True), Case(3, count=2, channels=4, side=16, scalar=True))
GROWS = None


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    """All cases."""
    for case in QUICK if quick else CASES:
        shape = (1, case.channels, case.side, case.side)
        yield from compare(
            str(case),
            _contenders(case, torch.zeros(shape)),
            lambda seed, shape=shape: (torch.randn(shape, generator=torch.Generator().manual_seed(seed)),),  # type: ignore[misc]
            rounds,
        )


def _contenders(case: Case, x: Tensor) -> dict[str, Contender]:
    chain = _chain(case)
    runs: dict[str, Callable[[Tensor], object] | None] = {
        "torch": _in_torch(chain),
        "XNNPACK": executorch_program(chain, x, xnnpack=True),
        "ONNX Runtime": _in_onnx(chain, x),
    }
    # All are rated by what a direct convolution computes, though ours computes less.
    work = 2.0 * case.count * case.channels**2 * case.kernel**2 * case.side**2
    ours = Contender(_ours(chain), work, COMPUTING, answer=first_output)
    found = by_isa(ours) if case.scalar else {OURS: ours}
    for name, run in runs.items():
        if run is not None:
            found[name] = Contender(run, work, COMPUTING, answer=first_output)
    found["one read"] = Contender(torch.sum, x.nbytes)
    return found


def _chain(case: Case) -> nn.Sequential:
    generator = torch.Generator().manual_seed(case.kernel)
    layers: list[nn.Module] = []
    for _ in range(case.count):
        layer = nn.Conv2d(case.channels, case.channels, case.kernel, padding=case.kernel // 2).requires_grad_(False)
        nn.init.normal_(layer.weight, std=1 / (case.kernel * case.channels**0.5), generator=generator)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers)


def _convolutions(chain: nn.Sequential) -> list[nn.Conv2d]:
    return [layer for layer in chain if isinstance(layer, nn.Conv2d)]


def _ours(chain: nn.Sequential) -> Callable[[Tensor], Tensor]:
    layers = [(layer.weight, layer.bias, list(layer.padding)) for layer in _convolutions(chain)]

    def run(x: Tensor) -> Tensor:
        for weight, bias, padding in layers:
            x = torch.ops.edgekit.conv2d(x, weight, bias, padding, 0.0)
        return x

    return run


def _in_torch(chain: nn.Sequential) -> Callable[[Tensor], Tensor]:
    layers = [(layer.weight, layer.bias, layer.padding) for layer in _convolutions(chain)]

    def run(x: Tensor) -> Tensor:
        for weight, bias, padding in layers:
            x = functional.conv2d(x, weight, bias, padding=padding).relu_()
        return x

    return run


def _in_onnx(chain: nn.Sequential, x: Tensor) -> Callable[[Tensor], object] | None:
    nodes, last = [], "x"
    constants: dict[str, Tensor] = {}
    for index, layer in enumerate(_convolutions(chain)):
        names = [f"weight{index}", f"bias{index}"]
        constants |= zip(names, layer.parameters(), strict=True)
        nodes.append(Node("Conv", [last, *names], [f"sum{index}"], {"pads": list(layer.padding) * 2}))
        last = f"y{index}"
        nodes.append(Node("Relu", [f"sum{index}"], [last]))
    return onnx_session(nodes, constants, {last: torch.float32}, x)
