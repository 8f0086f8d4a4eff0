"""Quantize: a recipe applied to captured graphs, or to the weights of modules before they are captured."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import QuantizationConfig
from torch import nn
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torchao.quantization.pt2e.observer import MinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from edgekit.errors import EdgekitError
from edgekit.export.capture import Graphs, export_graph, inside
from edgekit.export.recipes import Recipe
from edgekit.models.model import Method, Model
from edgekit.native_log import captured_stderr

#: XNNPACK's own bound: a smaller step of an activation has no fixed-point form.
SMALLEST_SCALE = 2**-12


#: Weights that share a scale in int4, and torch's name for that, which its type stubs lack.
GROUP = 32
INT4: torch.dtype = getattr(torch, "int4")  # noqa: B009


def quantize_weights(module: nn.Module, recipe: Recipe) -> None:
    """For recipes that need no calibration: rounds a module's linear layers and word embeddings, in place.

    Layers that are rounded already are left alone. In int4, embeddings are int8, as are linear layers whose rows are no
    multiple of a group.
    """
    if recipe.activations != "int8 dynamic":
        return
    with captured_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchao.quantization import quantize_
        from torchao.quantization.granularity import PerAxis, PerGroup
        from torchao.quantization.quant_api import Int8DynamicActivationIntxWeightConfig, IntxWeightOnlyConfig

        if recipe.weights == "int4":
            groups = Int8DynamicActivationIntxWeightConfig(weight_dtype=INT4, weight_granularity=PerGroup(GROUP))
            quantize_(module, groups, lambda part, _: _is_plain(part, nn.Linear) and part.in_features % GROUP == 0)
        rows = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int8, weight_granularity=PerAxis(0))
        quantize_(module, rows, lambda part, _: _is_plain(part, nn.Linear))
        words = IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=PerAxis(0))
        quantize_(module, words, lambda part, _: _is_plain(part, nn.Embedding))


def _is_plain(part: nn.Module, kind: type[nn.Module]) -> bool:
    return isinstance(part, kind) and type(part.weight.data) is torch.Tensor


def quantize(model: Model, graphs: Graphs, methods: list[Method], recipe: Recipe) -> dict[str, ExportedProgram]:
    """The graphs in a recipe's numbers; fp32 graphs come back as they are.

    Raises:
        EdgekitError: a module to be kept in fp32 does not exist.
    """
    if recipe.activations != "int8":
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
            .set_filter_function(lambda node: not inside(node, model.keep_fp32))
        )
        prepared = prepare_pt2e(graph, quantizer)
        with torch.no_grad():
            for inputs in model.calibration(method, recipe.calibration_samples):
                # As a program gets them: edgekit's operators take no other layout.
                prepared(*(value.contiguous() for value in inputs))
            converted = convert_pt2e(prepared)
            _round_weights(converted, model.keep_fp32)
            quantized[method.spec.name] = export_graph(converted, method)
    return quantized


def _round_weights(graph: GraphModule, keep_fp32: Sequence[str]) -> None:
    """Stores the weights of edgekit's convolutions as int8, a scale per output channel; in place.

    They are computed with in fp32: each call widens them first, which costs little beside the convolution.
    """
    replaced = set()
    for node in list(graph.graph.nodes):
        if node.target is not torch.ops.edgekit.conv2d.default or inside(node, keep_fp32):
            continue
        source = node.args[1]
        weight = graph.get_parameter(source.target)
        scale = (weight.abs().amax(dim=(1, 2, 3)) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        rounded = (weight / scale[:, None, None, None]).round().to(torch.int8)
        names = []
        for kind, tensor in (("int8", rounded), ("scale", scale), ("zero", torch.zeros(len(scale), dtype=torch.int64))):
            names.append(f"{node.name}_weight_{kind}")
            graph.register_buffer(names[-1], tensor)
        with graph.graph.inserting_before(node):
            parts = [graph.graph.get_attr(name) for name in names]
            widen = torch.ops.quantized_decomposed.dequantize_per_channel.default
            node.update_arg(1, graph.graph.call_function(widen, (*parts, 0, -127, 127, torch.int8)))
        replaced.add(source.target)
    graph.graph.eliminate_dead_code()
    for target in replaced - {node.target for node in graph.graph.nodes if node.op == "get_attr"}:
        parent, _, name = target.rpartition(".")
        delattr(graph.get_submodule(parent), name)
    graph.recompile()


def _configuration(model: Model) -> QuantizationConfig:
    """int8 weights per output channel and int8 activations per tensor, with the range that the model asks for."""
    configuration = get_symmetric_quantization_config(is_per_channel=True)
    if model.activation_range == "histogram":
        return configuration
    extremes = MinMaxObserver.with_args(eps=SMALLEST_SCALE)
    activation = replace(configuration.input_activation, observer_or_fake_quant_ctr=extremes)
    return replace(configuration, input_activation=activation, output_activation=activation)
