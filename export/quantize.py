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

from edgekit.errors import UsageError
from edgekit.export.capture import Graphs, export_graph, inside
from edgekit.export.percentile import PercentileObserver
from edgekit.export.recipes import Recipe
from edgekit.export.tied_embedding import swap_tied_embeddings
from edgekit.models.model import Method, Model, Observer, is_inside
from edgekit.native_log import captured_stderr

#: XNNPACK's own bound: a smaller step of an activation has no fixed-point form.
SMALLEST_SCALE = 2**-12


#: Weights that share a scale in int4, and torch's name for that, which its type stubs lack.
GROUP = 32
INT4: torch.dtype = getattr(torch, "int4")  # noqa: B009


def quantize_weights(module: nn.Module, recipe: Recipe, kept: Sequence[str] = ()) -> None:
    """For recipes that need no calibration: rounds a module's linear layers and word embeddings, in place.

    All but those in the submodules that are kept in fp32.

    Layers that are rounded already are left alone. In int4, a word embedding that is the head too is int4 as the head,
    with the same bytes; other embeddings are int8, as are linear layers whose rows are no multiple of a group.
    """
    if recipe.activations != "int8 dynamic":
        return

    def rounded(part: nn.Module, name: str, kind: type[nn.Module]) -> bool:
        return isinstance(part, kind) and type(part.weight.data) is torch.Tensor and not is_inside(name, kept)

    with captured_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchao.quantization import quantize_
        from torchao.quantization.granularity import PerAxis, PerGroup
        from torchao.quantization.quant_api import Int8DynamicActivationIntxWeightConfig, IntxWeightOnlyConfig

        tied: list[nn.Module] = []
        if recipe.weights == "int4":
            tied = swap_tied_embeddings(module, kept, GROUP)
            grouped = IntxWeightOnlyConfig(weight_dtype=INT4, granularity=PerGroup(GROUP))
            quantize_(module, grouped, lambda part, _: part in tied)
            groups = Int8DynamicActivationIntxWeightConfig(weight_dtype=INT4, weight_granularity=PerGroup(GROUP))
            quantize_(
                module, groups, lambda part, name: rounded(part, name, nn.Linear) and part.in_features % GROUP == 0
            )
        rows = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int8, weight_granularity=PerAxis(0))
        quantize_(module, rows, lambda part, name: rounded(part, name, nn.Linear))
        words = IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=PerAxis(0))
        quantize_(module, words, lambda part, name: rounded(part, name, nn.Embedding))


def quantize(
    model: Model, graphs: Graphs, methods: list[Method], recipe: Recipe, kept: Sequence[str] | None = None
) -> dict[str, ExportedProgram]:
    """The graphs in a recipe's numbers; those of recipes without calibration come back as they are.

    Args:
        model: gives the inputs that observers see.
        graphs: by method.
        methods: of the model.
        recipe: static int8, or any.
        kept: names of the submodules that stay in fp32; None for the model's own.
    """
    if not recipe.calibrated:
        return dict(graphs)
    kept = model.keep_fp32 if kept is None else kept
    quantized = {}
    for method in methods:
        graph = graphs[method.spec.name].module()
        quantizer = (
            XNNPACKQuantizer()
            .set_global(_configuration(recipe.observer or model.observer))
            .set_filter_function(lambda node: not inside(node, kept))
        )
        prepared = prepare_pt2e(graph, quantizer)
        with torch.no_grad():
            for inputs in calibration_inputs(model, method, recipe):
                # As a program gets them: edgekit's operators take no other layout.
                prepared(*(value.contiguous() for value in inputs))
            converted = convert_pt2e(prepared)
            _round_weights(converted, kept)
            quantized[method.spec.name] = export_graph(converted, method)
    return quantized


def calibration_inputs(model: Model, method: Method, recipe: Recipe) -> list[tuple[torch.Tensor, ...]]:
    """What the observers see of a method.

    Raises:
        UsageError: nothing, or inputs that the method does not take.
    """
    inputs = model.calibration(method, model.calibration_samples if recipe.samples is None else recipe.samples)
    if not inputs:
        raise UsageError(f"{model.name} has no data to calibrate {recipe.name} on: give some with --data.")
    wanted = [(sample.shape, sample.dtype) for sample in method.samples]
    for tensors in inputs:
        if [(tensor.shape, tensor.dtype) for tensor in tensors] != wanted:
            raise UsageError(
                f"calibration data of {_shapes(tensors)} does not fit method {method.spec.name!r}: "
                f"it takes {_shapes(method.samples)}."
            )
    return inputs


def _shapes(tensors: Sequence[torch.Tensor]) -> str:
    """ "float32 1x3x8x8, int64 5"."""
    return ", ".join(
        f"{str(tensor.dtype).removeprefix('torch.')} {'x'.join(map(str, tensor.shape)) or 'scalar'}"
        for tensor in tensors
    )


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


def _configuration(observer: Observer) -> QuantizationConfig:
    """int8 weights per output channel and int8 activations per tensor, with the range that an observer finds."""
    configuration = get_symmetric_quantization_config(is_per_channel=True)
    if observer == "histogram":
        return configuration
    kind = {"extremes": MinMaxObserver, "percentile": PercentileObserver}[observer].with_args(eps=SMALLEST_SCALE)
    activation = replace(configuration.input_activation, observer_or_fake_quant_ctr=kind)
    return replace(configuration, input_activation=activation, output_activation=activation)
