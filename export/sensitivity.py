"""What each block of a model costs in a recipe's numbers: one block at a time is rounded, the others stay in fp32."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from dataclasses import fields as dataclass_fields
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from edgekit.devices.profile import DeviceProfile
from edgekit.errors import UsageError
from edgekit.export.accuracy import Accuracy, eager_metrics, measure_accuracy
from edgekit.export.quantized import torch_predict
from edgekit.export.recipes import Recipe
from edgekit.export.verify import Sample, make_samples, significant
from edgekit.models.metrics import Drop, Extent, TaskMetrics
from edgekit.models.model import LAYERS, Method, Model, is_inside

#: Told what is measured next.
OnBlock = Callable[[str], None]


@dataclass(frozen=True)
class BlockCost:
    """What rounding one block alone costs.

    Attributes:
        block: as `--keep-fp32` takes it.
        parameters: numbers in its layers; what keeping it costs is their size in fp32.
        loss: by how much the task metric is worse than eager, in its unit; None without a metric.
        snr_db: lowest signal-to-noise ratio of any output, in dB; None where the answers are equal.
    """

    block: str
    parameters: int
    loss: float | None
    snr_db: float | None


@dataclass(frozen=True)
class Sensitivity:
    """The costs of all blocks, the dearest first, and of the whole recipe.

    Attributes:
        recipe: its label.
        metric: the task metric's name; None where the model has none.
        better: its direction, "higher" or "lower".
        eager: its eager value.
        data: what it was measured on.
        samples: how many samples that were.
        unit: what a sample is.
        whole: everything rounded that the recipe rounds.
        blocks: one block rounded each.
    """

    recipe: str
    metric: str | None
    better: str
    eager: float | None
    data: str
    samples: int
    unit: str
    whole: BlockCost
    blocks: tuple[BlockCost, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Sensitivity:
        """What `to_dict` gave and JSON kept.

        Raises:
            ValueError: it is something else.
        """
        values = {field.name: _checked(fields, field.name, str(field.type)) for field in dataclass_fields(cls)[:-2]}
        rows = fields.get("blocks")
        if not isinstance(rows, list) or not rows:
            raise ValueError("blocks")
        return cls(**values, whole=_block(fields.get("whole")), blocks=tuple(map(_block, rows)))


def _block(row: Any) -> BlockCost:
    if not isinstance(row, dict):
        raise ValueError("a block")
    return BlockCost(
        **{field.name: _checked(row, field.name, str(field.type)) for field in dataclass_fields(BlockCost)}
    )


def _checked(fields: Mapping[str, Any], name: str, kind: str) -> Any:
    """A value of a field of that type, as JSON spells it."""
    value = fields.get(name)
    if value is None and kind.endswith(" | None") and name in fields:
        return None
    wanted = {"str": str, "int": int, "float": float}[kind.removesuffix(" | None")]
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(name)
    return value


class Measuring:
    """Measures one model in torch, in as many recipes as one likes, against one eager run.

    Args:
        model: of the zoo, or of your own.
        device: whose operators are chosen.
        extent: how much of the evaluation set is taken.
        drop: by how much the task metric may be worse; None for what the model allows a recipe.
    """

    def __init__(self, model: Model, device: DeviceProfile, extent: Extent = "quick", drop: Drop | None = None) -> None:
        self.model = model
        self.device = device
        self.extent = extent
        self.drop = drop
        self.eager: TaskMetrics | None = eager_metrics(model, extent)
        self.samples: list[Sample] = make_samples(model, model.methods())

        self._found: dict[Recipe, Accuracy] = {}

    def accuracy(self, recipe: Recipe) -> Accuracy:
        """Of the model in a recipe's numbers; measured once."""
        if recipe not in self._found:
            self._found[recipe] = self._measured(recipe)
        return self._found[recipe]

    def _measured(self, recipe: Recipe) -> Accuracy:
        specs = [method.spec for method in self.model.methods(recipe.kv)]
        predict = torch_predict(self.model, recipe, self.device)
        return measure_accuracy(self.model, recipe, specs, predict, self.samples, self.eager, self.extent, self.drop)


def check_rounds(recipe: Recipe) -> None:
    """Refuses a recipe that rounds nothing.

    Raises:
        UsageError: such as fp32.
    """
    if recipe.weights == "float32":
        raise UsageError(f"{recipe.name} rounds nothing, so that nothing is sensitive: choose another with --recipe.")


def measure_sensitivity(
    measuring: Measuring, recipe: Recipe, blocks: Sequence[str], on_block: OnBlock = lambda block: None
) -> Sensitivity:
    """Rounds one block after the other.

    Args:
        measuring: of the model.
        recipe: in whose numbers; what it keeps in fp32 stays there.
        blocks: names or patterns of modules, as `Model.blocks()`.
        on_block: told of each block, and first of "all".

    Raises:
        UsageError: the recipe rounds nothing, or there are no blocks.
    """
    check_rounds(recipe)
    model, eager = measuring.model, measuring.eager
    if not blocks:
        raise UsageError(f"{model.name} has no block that {recipe.name} rounds: choose another recipe with --recipe.")
    modules = captured_modules(model, model.methods(recipe.kv))
    on_block("all")
    whole = _cost("all", modules, blocks, measuring.accuracy(recipe))
    costs = []
    for block in blocks:
        on_block(block)
        alone = replace(recipe, keep_fp32=(*recipe.keep_fp32, *everything_but(modules, block)))
        costs.append(_cost(block, modules, [block], measuring.accuracy(alone)))
    return Sensitivity(
        recipe=recipe.label,
        metric=eager.gated.name if eager else None,
        better="higher" if eager is None or eager.gated.higher_is_better else "lower",
        eager=significant(eager.gated.value) if eager else None,
        data=eager.data if eager else "",
        samples=eager.samples if eager else 0,
        unit=eager.unit if eager else "",
        whole=whole,
        blocks=tuple(sorted(costs, key=_dearest_first)),
    )


def captured_modules(model: Model, methods: Iterable[Method]) -> list[nn.Module]:
    """What is captured for some methods, each once."""
    modules = [method.module or model.device_module for method in methods]
    return list({id(module): module for module in modules}.values())


def everything_but(modules: Iterable[nn.Module], block: str) -> tuple[str, ...]:
    """Names of the fewest modules that hold all layers outside of a block, which is a name or a pattern of names.

    A module without weights is in no list: an activation goes with the layer before it.
    """
    names: dict[str, None] = {}
    for module in modules:
        inside = [name for name, _ in module.named_modules() if name and fnmatchcase(name, block)]
        _add_outside(module, "", inside, names)
    return tuple(names)


def _add_outside(module: nn.Module, prefix: str, inside: Sequence[str], names: dict[str, None]) -> None:
    for child, part in module.named_children():
        path = f"{prefix}{child}"
        if is_inside(path, inside) or not any(isinstance(layer, LAYERS) for layer in part.modules()):
            continue
        if any(name.startswith(f"{path}.") for name in inside):
            _add_outside(part, f"{path}.", inside, names)
        else:
            names[path] = None


def _cost(name: str, modules: Iterable[nn.Module], blocks: Sequence[str], accuracy: Accuracy) -> BlockCost:
    ratios = [output.snr_db for output in accuracy.outputs if output.snr_db is not None]
    layers = {
        path: sum(parameter.numel() for parameter in part.parameters(recurse=False))
        for module in modules
        for path, part in module.named_modules()
        if isinstance(part, LAYERS) and any(_below(path, block) for block in blocks)
    }
    loss = None if accuracy.loss is None else significant(accuracy.loss)
    return BlockCost(name, sum(layers.values()), loss, significant(min(ratios)) if ratios else None)


def _below(path: str, block: str) -> bool:
    """Whether a module's name, or that of one around it, fits a pattern."""
    parts = path.split(".")
    return any(fnmatchcase(".".join(parts[:count]), block) for count in range(1, len(parts) + 1))


def _dearest_first(cost: BlockCost) -> tuple[float, float]:
    """By loss, then by noise: a metric of few samples is the same for many blocks."""
    return -(cost.loss or 0.0), float("inf") if cost.snr_db is None else cost.snr_db
