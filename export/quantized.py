"""A model in a recipe's numbers: the graphs that are lowered, and the same run in torch, which needs no lowering."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal

import torch
from torch import nn
from torch.export import ExportedProgram

from edgekit.devices.profile import DeviceProfile
from edgekit.export.capture import capture
from edgekit.export.following import follow_recipe
from edgekit.export.mixed import kept_modules
from edgekit.export.operators import choose_operators
from edgekit.export.quantize import quantize, quantize_weights
from edgekit.export.recipes import Recipe
from edgekit.export.verify import eager_outputs
from edgekit.export.weights import computes_in_half
from edgekit.models.metrics import Predict
from edgekit.models.model import Method, Model
from edgekit_runtime.tensors import Array


def quantized_graphs(
    model: Model,
    methods: list[Method],
    recipe: Recipe,
    device: DeviceProfile,
    on_stage: Callable[[Literal["capture", "quantize"]], None] = lambda stage: None,
    most_indirection: int | None = None,
) -> dict[str, ExportedProgram]:
    """The graphs of a model's methods in a recipe's numbers, as they are lowered for a device.

    `most_indirection` is for `choose_operators`.

    Raises:
        UsageError: a module that is to stay in fp32 does not exist, or calibration data does not fit.
        EdgekitError: the module cannot be captured.
    """
    kept = kept_modules(model, methods, recipe)
    on_stage("capture")
    module = model.device_module
    if any(method.module is None for method in methods):
        module = quantize_weights(copy.deepcopy(module), recipe, kept)  # the model's own may be asked for again
    for method in methods:
        if method.module is not None:
            quantize_weights(method.module, recipe, kept)
    follow_recipe(methods, recipe, kept)
    graphs = choose_operators(capture(module, methods), recipe, device, kept, most_indirection)
    on_stage("quantize")
    return quantize(model, graphs, methods, recipe, kept, computes_in_half(device))


def rounds_modules(recipe: Recipe) -> bool:
    """Whether a recipe's numbers are those of the modules that were captured, and not only of their graphs."""
    return recipe.activations == "int8 dynamic" or recipe.weights == "float32"


def torch_predict(model: Model, recipe: Recipe, device: DeviceProfile) -> Predict:
    """The model's methods in a recipe's numbers, run in torch: int8 is computed as fp32 of rounded numbers.

    Differs from the device's program by the rounding of sums only.
    """
    methods = model.methods(recipe.kv)
    modules: dict[str, nn.Module]
    if recipe.activations == "int8 dynamic" and all(method.module is not None for method in methods):
        # The modules themselves are rounded: what capture makes of them computes the same, and takes its time.
        kept = kept_modules(model, methods, recipe)
        modules = {method.spec.name: method.module for method in methods if method.module is not None}
        for module in modules.values():
            quantize_weights(module, recipe, kept)
        follow_recipe(methods, recipe, kept)
    else:
        graphs = quantized_graphs(model, methods, recipe, device)
        modules = {name: graph.module() for name, graph in graphs.items()}

    def predict(name: str, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        return eager_outputs(modules[name], [torch.from_numpy(array) for array in inputs])

    return predict
