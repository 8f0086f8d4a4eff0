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
from edgekit.export.weights import GROUP, narrow_weights
from edgekit.models.model import Method, Model, Observer, is_inside
from edgekit.native_log import captured_stderr

#: XNNPACK's own bound: a smaller step of an activation has no fixed-point form.
SMALLEST_SCALE = 2**-12


#: torch's name for it, which its type stubs lack.
INT4: torch.dtype = getattr(torch, "int4")  # noqa: B009


def quantize_weights(module: nn.Module, recipe: Recipe, kept: Sequence[str] = ()) -> nn.Module:
    """For recipes that need no calibration: rounds a module's linear layers and word embeddings, in place; gives it.

    All but those in the submodules that are kept in fp32. It may replace submodules, but not the module itself.

    Layers that are rounded already are left alone. In int4, a word embedding that is the head too is int4 as the head,
    with the same bytes; other embeddings are int8, as are linear layers whose rows are no multiple of a group.
    """
    if recipe.activations != "int8 dynamic":
        return module

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
            _fill_groups(module, kept)
            groups = Int8DynamicActivationIntxWeightConfig(weight_dtype=INT4, weight_granularity=PerGroup(GROUP))
            quantize_(
                module, groups, lambda part, name: rounded(part, name, nn.Linear) and part.in_features % GROUP == 0
            )
        rows = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int8, weight_granularity=PerAxis(0))
        quantize_(module, rows, lambda part, name: rounded(part, name, nn.Linear))
        words = IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=PerAxis(0))
        quantize_(module, words, lambda part, name: rounded(part, name, nn.Embedding))
    return module


class FilledLinear(nn.Linear):
    """A linear layer whose inputs and weights are filled up with zeros to whole groups."""

    def __init__(self, linear: nn.Linear) -> None:
        missing = -linear.in_features % GROUP
        with torch.device("meta"):
            super().__init__(linear.in_features + missing, linear.out_features, linear.bias is not None)
        self.missing = missing
        self.weight = nn.Parameter(nn.functional.pad(linear.weight.detach(), (0, missing)), requires_grad=False)
        self.bias = linear.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.pad(inputs, (0, self.missing)))


def _fill_groups(module: nn.Module, kept: Sequence[str]) -> None:
    """Fills up linear layers in place where that adds a third at most."""
    for name, part in list(module.named_modules()):
        if (
            type(part) is nn.Linear
            and not is_inside(name, kept)
            and 0 < 3 * (-part.in_features % GROUP) <= part.in_features
        ):
            module.set_submodule(name, FilledLinear(part))


def quantize(
    model: Model,
    graphs: Graphs,
    methods: list[Method],
    recipe: Recipe,
    kept: Sequence[str] | None = None,
    in_half: bool = False,
    standard: bool = False,
    symmetric: bool = False,
) -> dict[str, ExportedProgram]:
    """The graphs in a recipe's numbers; where nothing is to be changed they come back as they are.

    Args:
        model: gives the inputs that observers see.
        graphs: by method.
        methods: of the model.
        recipe: any.
        kept: names of the submodules that stay in fp32; None for the model's own.
        in_half: whether fp16 may compute in half precision; else it only stores.
        standard: for programs that know standard operators only: fp16 stores weights of every kind of layer, and a
            plain change of type widens them.
        symmetric: whether int8 activations have a zero point of 0, which TensorRT asks for; it costs what is never
            negative half of its steps, and XNNPACK and ONNX Runtime's CPU the fusion with ReLU.
    """
    kept = model.keep_fp32 if kept is None else kept
    quantized = {}
    for method in methods:
        captured = graphs[method.spec.name]
        graph = captured.module()
        if recipe.calibrated:
            graph = _calibrated(model, method, graph, recipe, kept, symmetric)
        changed = narrow_weights(graph, recipe, kept, in_half, standard) or recipe.calibrated
        quantized[method.spec.name] = export_graph(graph, method) if changed else captured
    return quantized


def _calibrated(
    model: Model, method: Method, graph: GraphModule, recipe: Recipe, kept: Sequence[str], symmetric: bool
) -> GraphModule:
    """A graph in static int8."""
    quantizer = (
        XNNPACKQuantizer()
        .set_global(_configuration(recipe.observer or model.observer, symmetric))
        .set_filter_function(lambda node: not inside(node, kept))
    )
    prepared = prepare_pt2e(graph, quantizer)
    with torch.no_grad():
        for inputs in calibration_inputs(model, method, recipe):
            # As a program gets them: edgekit's operators take no other layout.
            prepared(*(value.contiguous() for value in inputs))
        converted: GraphModule = convert_pt2e(prepared)
    return converted


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


def _configuration(observer: Observer, symmetric: bool) -> QuantizationConfig:
    """int8 weights per output channel and int8 activations per tensor, with the range that an observer finds.

    With `symmetric` the zero point of activations is 0.
    """
    configuration = get_symmetric_quantization_config(is_per_channel=True)
    activation = configuration.input_activation
    if symmetric:
        activation = replace(activation, qscheme=torch.per_tensor_symmetric)
    if observer != "histogram":
        kind = {"extremes": MinMaxObserver, "percentile": PercentileObserver}[observer].with_args(eps=SMALLEST_SCALE)
        activation = replace(activation, observer_or_fake_quant_ctr=kind)
    return replace(configuration, input_activation=activation, output_activation=activation)
