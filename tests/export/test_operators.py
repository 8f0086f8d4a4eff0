"""Which convolutions become `edgekit::conv2d`, and that the graph's answers stay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.devices.profile import load_profile
from edgekit.export.capture import capture
from edgekit.export.module import ModuleModel
from edgekit.export.operators import choose_operators
from edgekit.export.quantize import quantize
from edgekit.export.recipes import find_recipe
from edgekit.models.model import Method
from edgekit_runtime.tensors import MethodSpec

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


#: A CPU with int8 dot products, and one without.
DOT_PRODUCTS, NO_DOT_PRODUCTS = "jetson", "raspberry-pi-zero-2w"


def rewritten(module: nn.Module, side: int = 72, recipe: str = "fp32", device: str = DOT_PRODUCTS, keep_fp32=()):
    """The rewritten graph, its inputs, and which of its nodes are ours."""
    x = torch.randn(1, 1, side, side + 3, generator=torch.Generator().manual_seed(0))
    method = Method(MethodSpec("forward", (), ()), (x,))
    graphs = capture(module.eval(), [method])
    (graph,) = choose_operators(graphs, find_recipe(recipe), load_profile(device), keep_fp32).values()
    return graph, x, [node for node in graph.graph_module.graph.nodes if node.target is OURS]


def kernels_of(nodes) -> list[int]:
    return [max(node.args[1].meta["val"].shape[2:]) for node in nodes]


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
def test_a_convolution_becomes_ours(layer, activation, factor):
    module = Chain(layer, activation)
    graph, x, ours = rewritten(module)
    first, second = ours
    assert (first.args[4], second.args[4]) == (1.0, factor)
    with torch.no_grad():
        for found, expected in zip(graph.module()(x), module(x), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        wide(stride=2),
        wide(dilation=2, padding=8),
        nn.Conv2d(8, 8, 9, padding=4, groups=8),
        nn.Conv2d(8, 9, 1),
        nn.Conv2d(8, 9, 19, padding=9),
        wide(padding_mode="reflect", padding=4),
    ],
)
def test_others_are_left_to_the_delegate(layer):
    _, _, ours = rewritten(Chain(layer, nn.ReLU()))
    assert kernels_of(ours) == ([3, 9] if getattr(layer, "padding_mode", "zeros") == "reflect" else [3])


def test_small_images_are_left_to_the_delegate():
    assert rewritten(Chain(wide(), None), side=40)[2] == []


@pytest.mark.parametrize(
    ("device", "keep_fp32", "kernels"),
    [
        (DOT_PRODUCTS, (), [9]),
        (DOT_PRODUCTS, ("first",), [3, 9]),
        (NO_DOT_PRODUCTS, (), [3, 9]),
    ],
)
def test_int8_is_ours_where_it_has_no_dot_products(device: str, keep_fp32: tuple[str, ...], kernels: list[int]):
    assert kernels_of(rewritten(Chain(wide(), None), 72, "int8", device, keep_fp32)[2]) == kernels


def test_int8_rounds_the_weights_of_ours():
    torch.manual_seed(0)
    module = Chain(wide(), nn.ReLU()).eval()
    with torch.no_grad():
        module.wide.weight[0] = 0
    x = torch.rand(1, 1, 72, 75)
    turned = x.mT.contiguous().mT  # as augmentation leaves it
    model = ModuleModel(module, (x,), None, [(turned,)] * 5, 0)
    recipe, kept = find_recipe("int8"), ("first",)
    graphs = choose_operators(capture(module, model.methods()), recipe, load_profile(DOT_PRODUCTS), kept)
    (graph,) = quantize(model, graphs, model.methods(), recipe, kept).values()
    sizes = {value.dtype: value.numel() for value in graph.state_dict.values() if value.dim() == 4}
    assert sizes == {torch.int8: 9 * 8 * 9 * 9, torch.float32: 8 * 3 * 3}
    # Half a step of each channel's largest weight is the most that a weight is off.
    limit = module.wide.weight.abs().amax(dim=(1, 2, 3)) / 254
    (int8,) = (value for value in graph.state_dict.values() if value.dtype == torch.int8)
    (scale,) = (value for name, value in graph.state_dict.items() if name.endswith("_scale"))
    rounded = int8 * scale[:, None, None, None]
    assert ((rounded - module.wide.weight).abs() <= limit[:, None, None, None] * 1.001).all()
    features = module.first(x).abs().max().item()
    worst = (limit * 8 * 9 * 9 * features)[None, :, None, None]
    with torch.no_grad():
        found, expected = graph.module()(x)[0], module(x)[0]
    assert ((found - expected).abs() <= worst + 1e-5).all()
    assert (found - expected).abs().max() > 0
