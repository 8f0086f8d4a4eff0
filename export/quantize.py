"""Quantize: a recipe applied to captured graphs."""

from __future__ import annotations

from dataclasses import replace

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import QuantizationConfig
from torch.export import ExportedProgram
from torch.fx import Node
from torchao.quantization.pt2e.observer import MinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from edgekit.errors import EdgekitError
from edgekit.export.capture import Graphs
from edgekit.export.recipes import Recipe
from edgekit.models.model import Method, Model

#: XNNPACK's own bound: a smaller step of an activation has no fixed-point form.
SMALLEST_SCALE = 2**-12


def quantize(model: Model, graphs: Graphs, methods: list[Method], recipe: Recipe) -> dict[str, ExportedProgram]:
    """The graphs in a recipe's numbers; fp32 graphs come back as they are.

    Raises:
        EdgekitError: a module to be kept in fp32 does not exist.
    """
    if recipe.activations == "float32":
        return dict(graphs)
    known = {name for name, _ in model.device_module.named_modules()}
    for name in model.keep_fp32:
        if name not in known:
            raise EdgekitError(f"{model.name} has no module {name!r} to keep in fp32.")
    quantized = {}
    for method in methods:
        graph = graphs[method.spec.name].module()
        quantizer = (
            XNNPACKQuantizer()
            .set_global(_configuration(model))
            .set_filter_function(lambda node: not _inside(node, model.keep_fp32))
        )
        prepared = prepare_pt2e(graph, quantizer)
        with torch.no_grad():
            for inputs in model.calibration(method, recipe.calibration_samples):
                prepared(*inputs)
            converted = convert_pt2e(prepared)
            quantized[method.spec.name] = torch.export.export(converted, method.samples)
    return quantized


def _configuration(model: Model) -> QuantizationConfig:
    """int8 weights per output channel and int8 activations per tensor, with the range that the model asks for."""
    configuration = get_symmetric_quantization_config(is_per_channel=True)
    if model.activation_range == "histogram":
        return configuration
    extremes = MinMaxObserver.with_args(eps=SMALLEST_SCALE)
    activation = replace(configuration.input_activation, observer_or_fake_quant_ctr=extremes)
    return replace(configuration, input_activation=activation, output_activation=activation)


def _inside(node: Node, modules: tuple[str, ...]) -> bool:
    """Whether a graph node was made by one of these submodules."""
    paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    return any(path == name or path.startswith(f"{name}.") for path in paths for name in modules)
