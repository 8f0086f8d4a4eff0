"""int8 through the exporter: the trunks are quantized, the one-channel paths are not, and the answers stay close."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.export.capture import capture
from edgekit.export.quantize import quantize
from edgekit.export.recipes import find_recipe
from edgekit.models.rpcanet.checkpoint import load_checkpoint
from edgekit.models.rpcanet.model import RPCANetModel


@pytest.fixture(params=["plus", "local"])
def model(request, plus_checkpoint, local_checkpoint) -> RPCANetModel:
    path = plus_checkpoint if request.param == "plus" else local_checkpoint
    return RPCANetModel(load_checkpoint(path), sizes=[(48, 64)])


def test_one_channel_paths_stay_fp32(model):
    methods = model.methods()
    graph = quantize(model, capture(model.device_module, methods), methods, find_recipe("int8"))["forward_48x64"]
    quantized = [node for node in graph.graph.nodes if "quantize_per" in str(node.target)]
    maps = [node for node in quantized if node.meta["val"].dim() == 4 and node.meta["val"].shape[2:] == (48, 64)]
    assert maps
    assert {node.meta["val"].shape[1] for node in maps}.isdisjoint({1})
    # Every convolution between C channels has int8 inputs, but in the background of RPCANet++; those that read or
    # write one channel have not.
    wide = narrow = 0
    for node in graph.graph.nodes:
        if "conv2d" not in str(node.target):
            continue
        weight = node.args[1].meta["val"].shape
        from_int8 = "dequantize" in str(node.args[0].target)
        kept = any(".lowrank." in path for path, _ in node.meta.get("nn_module_stack", {}).values())
        kept &= model.checkpoint.module.config.plus_plus
        if kept or 1 in (weight[0], weight[1]) or node.args[0].meta["val"].shape[2:] == (1, 1):
            narrow += 1
            assert "dequantize" not in str(node.args[1].target)
        else:
            wide += 1
            assert from_int8, node
    assert wide > 0
    assert narrow > 0

    (images,) = model.verification(methods[0], 1)[0]
    with torch.no_grad():
        wanted, got = model.reference(images).numpy(), graph.module()(images).numpy()
    assert 10 * np.log10(np.square(wanted).sum() / np.square(got - wanted).sum()) > 15


def test_ranges_reach_the_extremes(model):
    """A target is a few bright pixels: a range that clips what is rare would clip just these."""
    methods = model.methods()
    graph = quantize(model, capture(model.device_module, methods), methods, find_recipe("int8"))["forward_48x64"]
    quantizers = [node.args[1:5] for node in graph.graph.nodes if ".quantize_per_tensor" in str(node.target)]
    highest = [(high - zero_point) * scale for scale, zero_point, _, high in quantizers]
    # What goes into one of them: the first features of the contrast prior, or of the background's trunk.
    stage = model.device_module.stages[0]
    seen = []
    with torch.no_grad():
        for (images,) in model.calibration(methods[0], model.calibration_samples):
            if model.checkpoint.module.config.plus_plus:
                background, _ = stage.lowrank(images, None)
                seen.append(stage.sparse.contrast.entry(images - background))
            else:
                seen.append(stage.lowrank.trunk.entry(images))
    largest = float(torch.stack(seen).max())
    assert any(high == pytest.approx(largest, rel=0.01) for high in highest), (largest, highest)
