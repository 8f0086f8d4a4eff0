"""Numbers that are computed from weights which a recipe rounds: made of the weights as the program has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from edgekit.export.recipes import Recipe
from edgekit.export.weights import GROUP
from edgekit.models.model import FollowsWeights, Method, is_inside


def follow_modules(module: nn.Module, weight_of: Callable[[str, nn.Module], Tensor]) -> None:
    """Has those parts of a module follow that have such numbers.

    Args:
        module: changed in place.
        weight_of: the name of a layer in it, and the layer, to its weight in the program.
    """
    names = {part: name for name, part in module.named_modules()}
    for part in names:
        if isinstance(part, FollowsWeights):
            part.follow_weights(lambda layer: weight_of(names[layer], layer))


def rounded_weight(layer: nn.Module, recipe: Recipe, kept: bool) -> Tensor:
    """A linear layer's weight as a recipe leaves it: torchao's own where it has been rounded, else by the same rule.

    Args:
        layer: with a weight (outputs, inputs).
        recipe: any without calibration.
        kept: whether it stays in fp32.
    """
    weight: Tensor = layer.weight.detach()  # type: ignore[operator]
    if type(weight) is not Tensor:
        return weight.dequantize()
    if kept or recipe.weights == "float32":
        return weight
    if recipe.weights == "float16":
        return weight.half().float()
    grouped = recipe.weights == "int4" and weight.shape[1] % GROUP == 0
    most, groups = (7, weight.unflatten(1, (-1, GROUP))) if grouped else (127, weight[:, None])
    scale = (groups.abs().amax(-1, keepdim=True) / most).clamp_min(torch.finfo(torch.float32).tiny)
    return ((groups / scale).round() * scale).flatten(1)


def follow_recipe(methods: Sequence[Method], recipe: Recipe, kept: Sequence[str]) -> None:
    """The same for the modules of methods, of which formats round the weights after capture."""
    for method in methods:
        if method.module is not None:
            follow_modules(method.module, lambda name, layer: rounded_weight(layer, recipe, is_inside(name, kept)))
