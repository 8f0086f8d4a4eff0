"""Weights stored in fewer bits than they are computed in: what is stored, and how far the answers are from fp32's."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import edgekit
from edgekit.devices.profile import load_profile
from edgekit.errors import EdgekitError
from edgekit.export.module import ModuleModel
from edgekit.export.quantized import quantized_graphs
from edgekit.export.recipes import change_recipe, find_recipe
from edgekit.export.weights import computes_in_half

#: A CPU with half-precision arithmetic, and one without; neither matters to integers.
HALF, NO_HALF = "raspberry-pi-5", "raspberry-pi-zero-2w"


class Net(nn.Module):
    """Convolutions, words and linear layers; the rows of most are no whole groups of int4."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 25, 5, padding=2))
        self.words = nn.Embedding(40, 25)
        self.head = nn.Sequential(nn.Linear(25, 96), nn.ReLU(), nn.Linear(96, 10))

    def forward(self, image: torch.Tensor, word: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.body(image)).mean(dim=(2, 3)) + self.words(word))


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval().requires_grad_(False)


def inputs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 1, 20, 24, generator=generator), torch.randint(40, (2,), generator=generator)


def graph_of(net: nn.Module, recipe: str, device: str, kept: tuple[str, ...] = ()):
    model = ModuleModel(copy.deepcopy(net), inputs(0), None, None, 0)
    changed = change_recipe(find_recipe(recipe), kept)
    (graph,) = quantized_graphs(model, model.methods(), changed, load_profile(device)).values()
    return graph


def plain_tensors(graph) -> list[torch.Tensor]:
    """Every constant, torchao's in parts."""
    found = [*graph.state_dict.values(), *graph.constants.values()]
    return [
        part for tensor in found for part in ([tensor.qdata, tensor.scale] if hasattr(tensor, "qdata") else [tensor])
    ]


def snr(expected: np.ndarray, actual: np.ndarray) -> float:
    return float(10 * np.log10(np.var(expected) / np.mean(np.square(expected - actual))))


CONVOLUTIONS, LINEARS, WORDS = 8 * 9 + 25 * 200, 25 * 96 + 96 * 10, 40 * 25


@pytest.mark.parametrize(
    ("recipe", "device", "least", "most"),
    [
        ("fp16", HALF, 50, 100),
        ("fp16", NO_HALF, 60, 100),
        ("int8-dynamic", HALF, 25, 60),
        ("int4", HALF, 8, 35),
    ],
)
def test_answers_and_what_is_stored(net, recipe, device, least, most):
    graph = graph_of(net, recipe, device)
    # Not too close either: fp32 would be.
    found = [(graph.module()(*given).numpy(), net(*given).numpy()) for given in map(inputs, range(1, 9))]
    answers, expected = (np.concatenate(parts) for parts in zip(*found, strict=True))
    assert least < snr(expected, answers) < most
    sizes: dict[torch.dtype, int] = {}
    for tensor in plain_tensors(graph):
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.numel()
    biases = 8 + 25 + 96 + 10
    if recipe == "fp16":
        assert sizes[torch.float16] >= CONVOLUTIONS + LINEARS + WORDS
        assert sizes[torch.float32] <= biases
    elif recipe == "int8-dynamic":
        assert sizes[torch.int8] >= CONVOLUTIONS + LINEARS + WORDS
        assert sizes[torch.float32] <= biases + 2 * (8 + 25 + 96 + 10 + 40)  # a scale per row
    else:
        # Rows of 9 and 200 weights are filled up to 32 and 224, two weights a byte.
        assert sizes[torch.uint8] == (8 * 32 + 25 * 224) // 2
        assert sizes[torch.float32] < 700


@pytest.mark.parametrize("recipe", ["fp16", "int8-dynamic", "int4"])
def test_what_is_kept_stays_as_it_is(net, recipe):
    kept = graph_of(net, recipe, HALF, ("body", "head.*", "words"))
    whole = {tensor.numel() for tensor in kept.state_dict.values() if tensor.dtype == torch.float32}
    assert {8 * 9, 25 * 200, 25 * 96, 96 * 10, 40 * 25} <= whole
    torch.testing.assert_close(kept.module()(*inputs(1)), net(*inputs(1)), atol=1e-5, rtol=1e-4)
    first = graph_of(net, recipe, HALF, ("body.0",))
    floats = [tensor.numel() for tensor in first.state_dict.values() if tensor.dtype == torch.float32]
    assert 8 * 9 in floats
    assert 25 * 200 not in floats


def test_a_chain_of_linear_layers_changes_precision_twice():
    torch.manual_seed(0)
    chain = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    model = ModuleModel(chain, (torch.rand(3, 8),), None, None, 0)
    (graph,) = quantized_graphs(model, model.methods(), find_recipe("fp16"), load_profile(HALF)).values()
    changes = [node for node in graph.graph.nodes if node.target is torch.ops.aten.to.dtype]
    assert [node.args[1] for node in changes] == [torch.float16, torch.float32]


def test_a_weight_beyond_float16(net):
    large = copy.deepcopy(net)
    large.head[0].weight[3, 3] = 1e5
    with pytest.raises(EdgekitError, match=r"head.0.weight is beyond float16's range: keep .* --keep-fp32"):
        graph_of(large, "fp16", HALF)
    graph_of(large, "fp16", HALF, ("head.0",))


def test_devices_that_compute_in_half_precision():
    found = {name: computes_in_half(load_profile(name)) for name in (HALF, NO_HALF, "linux-x86_64", "jetson")}
    assert found == {HALF: True, NO_HALF: False, "linux-x86_64": True, "jetson": True}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "device", "share", "least"),
    [
        ("fp16", HALF, 0.53, 50),
        ("fp16", NO_HALF, 0.53, 60),
        ("int8-dynamic", HALF, 0.32, 25),
        ("int4", HALF, 0.22, 8),
    ],
)
def test_from_the_files(recipe, device, share, least, tmp_path):
    """Programs as a session runs them: the file is as small as the weights, and nothing was widened at export."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 5, padding=2), nn.Flatten(2))
    module = nn.Sequential(*layers, nn.Linear(20 * 24, 128), nn.ReLU(), nn.Linear(128, 64)).eval()
    bundle = edgekit.export_module(
        module, (inputs(0)[0],), device=device, recipe=recipe, output_dir=tmp_path, native=False, allow_drop=True
    )
    weights = sum(parameter.nbytes for parameter in module.parameters())
    assert bundle.manifest["files"]["program.pte"]["bytes"] < share * weights + 20_000
    session = edgekit.Session(bundle)
    pairs = [(module(inputs(seed)[0]).detach().numpy(), session.run(inputs(seed)[0].numpy())[0]) for seed in (1, 2)]
    assert least < snr(*map(np.stack, zip(*pairs, strict=True))) < 100
