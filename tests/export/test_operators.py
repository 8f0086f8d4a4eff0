"""Which convolutions become `edgekit::conv2d`, and that the graph's answers stay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.export.capture import capture
from edgekit.export.operators import choose_operators
from edgekit.models.model import Method
from edgekit.tensors import MethodSpec

OURS = torch.ops.edgekit.conv2d.default


class Chain(nn.Module):
    """A wide convolution between others, whose output, activated or not, is also the module's."""

    def __init__(self, wide: nn.Module, activation: nn.Module | None) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.wide, self.activation = wide, activation

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.wide(self.first(x))
        features = features if self.activation is None else self.activation(features)
        return features, features.mean(dim=(2, 3))


def wide(**options: object) -> nn.Conv2d:
    return nn.Conv2d(8, 9, **{"kernel_size": 9, "padding": 4, **options})  # type: ignore[arg-type]


def rewritten(module: nn.Module, side: int = 72):
    """The rewritten graph, its inputs, and how many of its nodes are ours."""
    x = torch.randn(1, 1, side, side + 3, generator=torch.Generator().manual_seed(0))
    method = Method(MethodSpec("forward", (), ()), (x,))
    (graph,) = choose_operators(capture(module.eval(), [method])).values()
    return graph, x, [node for node in graph.graph_module.graph.nodes if node.target is OURS]


@pytest.mark.parametrize(
    ("layer", "activation", "factor"),
    [
        (wide(), None, 1.0),
        (wide(bias=False), nn.ReLU(), 0.0),
        (wide(padding="same"), nn.LeakyReLU(0.2), 0.2),
        (wide(padding="valid"), nn.LeakyReLU(), 0.01),
        (wide(kernel_size=(3, 11), padding=(1, 5)), nn.ReLU(), 0.0),
        (wide(), nn.Sigmoid(), 1.0),
    ],
)
def test_wide_convolutions_are_ours(layer, activation, factor):
    module = Chain(layer, activation)
    graph, x, ours = rewritten(module)
    (node,) = ours
    assert node.args[4] == factor
    with torch.no_grad():
        for found, expected in zip(graph.module()(x), module(x), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        wide(stride=2),
        wide(dilation=2, padding=8),
        nn.Conv2d(8, 8, 9, padding=4, groups=8),
        nn.Conv2d(8, 9, 5, padding=2),
        nn.Conv2d(8, 9, 19, padding=9),
        nn.Conv2d(8, 2, 9, padding=4),
        wide(padding_mode="reflect", padding=4),
    ],
)
def test_others_are_left_to_the_delegate(layer):
    _, _, ours = rewritten(Chain(layer, nn.ReLU()))
    assert len(ours) == int(getattr(layer, "padding_mode", "zeros") == "reflect")


def test_small_images_are_left_to_the_delegate():
    assert rewritten(Chain(wide(), None), side=40)[2] == []
