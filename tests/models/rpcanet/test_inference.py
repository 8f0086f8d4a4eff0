"""The device module: every simplification against the module as trained."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgekit.models.rpcanet.config import RPCANetConfig
from edgekit.models.rpcanet.inference import (
    DeviceBackground,
    DeviceContrast,
    DeviceMemoryBackground,
    DeviceObjects,
    DeviceRPCANet,
    DeviceStage,
    FirstMemory,
    NextMemory,
    Trunk,
    _convolutions,
    output_names,
    precise_modules,
)

CONFIGS = [
    RPCANetConfig(1, False, 8),
    RPCANetConfig(3, False, 8),
    RPCANetConfig(1, True, 8, 5),
    RPCANetConfig(3, True, 8, 5),
]


def close(actual: Tensor, expected: Tensor) -> None:
    """Equal to float rounding, measured against the largest value."""
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 5e-6 * expected.abs().max()


@pytest.fixture
def image() -> Tensor:
    return torch.rand(2, 1, 24, 19, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_whole(build, image: Tensor, config: RPCANetConfig):
    trained = build(config)
    close(DeviceRPCANet(trained)(image), trained(image))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_stage_outputs(build, image: Tensor, config: RPCANetConfig):
    trained = build(config)
    outputs = DeviceRPCANet(trained, stage_outputs=True)(image)
    names = output_names(config.stages, stage_outputs=True)
    assert len(names) == len(set(names)) == len(outputs) == 3 * config.stages
    found = dict(zip(names, outputs, strict=True))
    found[f"target_{config.stages}"] = found["logits"]
    for number, stage in enumerate(trained.decompose(image), 1):
        for kind, expected in stage._asdict().items():
            close(found[f"{kind}_{number}"], expected)


@pytest.mark.parametrize("part", ["lowrank.convs", "merge.mapping"])
def test_normalisation_is_folded(build, image: Tensor, part: str):
    layers = build(CONFIGS[0]).stage(0).get_submodule(part)
    trunk = Trunk(_convolutions(layers))
    close(trunk(image), layers(image))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in trunk.modules())


def test_background(build, image: Tensor):
    trained = build(CONFIGS[0]).stage(0).lowrank
    close(DeviceBackground(trained.convs)(image, None)[0], trained(image, None)[0])


@pytest.mark.parametrize("stage", [0, 2])
def test_shrinkage_step_is_folded(build, image: Tensor, stage: int):
    for config in (CONFIGS[1], CONFIGS[3]):
        trained = build(config).stage(stage).sparse
        close(DeviceObjects(trained)(image), trained(image))


def test_central_kernel_is_a_constant(build, image: Tensor):
    trained = build(CONFIGS[2]).stage(0).sparse.contrast
    device = DeviceContrast(trained)
    close(device(image), trained(image))
    assert device.flat.weight.shape == (8, 8, 1, 1)
    assert device.wide.weight.shape == (8, 8, 5, 5)


def test_first_memory(build):
    features = torch.randn(2, 8, 7, 9)
    trained = build(CONFIGS[3]).stage(0).lowrank.ConvLSTM
    device = FirstMemory(trained)
    for got, wanted in zip(device(features, None), trained(features, None), strict=True):
        close(got, wanted)
    # The forget gate and all that looks at the past are gone: three convolutions of eight.
    assert sum(parameter.numel() for parameter in device.parameters()) == 3 * (8 * 8 * 9 + 8)


def test_next_memory(build):
    features, hidden, cell = torch.randn(3, 2, 8, 7, 9).unbind()
    trained = build(CONFIGS[3]).stage(1).lowrank.ConvLSTM
    device = NextMemory(trained)
    for got, wanted in zip(device(features, (hidden, cell)), trained(features, (hidden, cell)), strict=True):
        close(got, wanted)
    assert sum(isinstance(module, nn.Conv2d) for module in device.modules()) == 1


@pytest.mark.parametrize("first", [True, False])
def test_memory_background(build, image: Tensor, first: bool):
    trained = build(CONFIGS[3]).stage(1).lowrank
    memory = None if first else tuple(torch.randn(2, 2, 8, 24, 19).unbind())
    got, (hidden, cell) = DeviceMemoryBackground(trained, first)(image, memory)
    wanted, (wanted_hidden, wanted_cell) = trained(image, memory)
    close(got, wanted)
    close(hidden, wanted_hidden)
    close(cell, wanted_cell)


def test_first_stage_without_zeros(build, image: Tensor):
    trained = build(CONFIGS[1]).stage(0)
    device = DeviceStage(trained, first=True, restore=True)
    wanted, _ = trained(image, torch.zeros_like(image), None)
    for got, expected in zip(device(image, None, None)[:3], wanted, strict=True):
        close(got, expected)
    graph = torch.export.export(DeviceRPCANet(build(CONFIGS[3])), (image,)).graph
    assert not [node for node in graph.nodes if "zeros" in str(node.target)]


def test_graph_is_plain(build, image: Tensor):
    """What is captured: a convolution per layer, no normalisation, no sums over weights, no adaptive pooling."""
    graph = torch.export.export(DeviceRPCANet(build(CONFIGS[3])), (image,)).graph
    called = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    # A stage: 1 + 2 + gates + 2 + 1 background, 1 + 2 + flat + wide + 1 contrast, 8 objects, 5 restoration.
    assert sum("conv2d" in name for name in called) == 3 * (7 + 6 + 8) + 2 * 5
    assert not [name for name in called if "batch_norm" in name or "sum" in name or "pool" in name]


def test_restoration_is_left_out_only_for_the_mask(build):
    trained = build(CONFIGS[1])
    count = [
        sum(parameter.numel() for parameter in DeviceRPCANet(trained, stage_outputs=outputs).parameters())
        for outputs in (True, False)
    ]
    trunk = Trunk(_convolutions(trained.stage(2).merge.mapping))
    assert count[0] - count[1] == sum(parameter.numel() for parameter in trunk.parameters())


def test_trained_weights_are_not_touched(build, image: Tensor):
    trained = build(CONFIGS[3])
    before = trained(image)
    device = DeviceRPCANet(trained)
    for parameter in device.parameters():
        parameter.zero_()
    assert torch.equal(trained(image), before)


def test_what_int8_leaves_in_fp32(build, image: Tensor):
    """Everything of one channel: sums, and the convolutions next to them; the background; not the other trunks."""
    device = DeviceRPCANet(build(CONFIGS[3]))
    names = precise_modules(device)
    kept = {module for name in names for module in device.get_submodule(name).modules()}
    for name, module in device.named_modules():
        if isinstance(module, nn.Conv2d):
            narrow = 1 in (module.in_channels, module.out_channels) or module.out_channels == 8 // 4
            assert (module in kept) == (narrow or module.in_channels == 8 // 4 or ".lowrank." in name)
    graph = torch.export.export(device, (image,)).graph
    for node in graph.nodes:
        if node.op == "call_function" and "conv" not in str(node.target) and node.meta["val"].shape[1] == 1:
            paths = [path for path, _ in node.meta["nn_module_stack"].values()]
            assert any(path.startswith(name) for path in paths for name in names), node
