"""What the exporter asks of a model, whichever it is."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from edgekit.models.kv import KV
from edgekit.models.metrics import Drop, Metric, Predict, TaskMetrics
from edgekit_runtime.tensors import MethodSpec, TensorSpec

#: How the range of an activation is found: by a histogram, which clips what is rare where that costs less; from the
#: smallest and largest value; or from the values that all but a few lie between.
Observer = Literal["histogram", "extremes", "percentile"]
#: Where a model's state is: in buffers that calls change; or in tensors that go in and come out, with edgekit's
#: operators or with torch's own alone.
StateForm = Literal["buffers", "tensors", "standard"]
#: Kinds of layers whose weights recipes round.
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)
#: A layer of a module that a recipe may have rounded, to its weight as the program has it, in float32.
WeightOf = Callable[[nn.Module], Tensor]


@runtime_checkable
class FollowsWeights(Protocol):
    """A module with numbers that are computed from weights which recipes round."""

    def follow_weights(self, weight_of: WeightOf) -> None:
        """Computes them anew; called after the rounding, maybe more than once."""


@dataclass(frozen=True)
class Method:
    """One method to export.

    Attributes:
        spec: its description.
        samples: inputs of its shapes, the largest where a dimension is dynamic.
        module: what is captured, where it is not the model's `device_module`.
        reference: what its answers are compared with, where it is not the model's `reference`.
        states: what `module` takes after its inputs and gives after its outputs, in forms whose state is in tensors.
    """

    spec: MethodSpec
    samples: tuple[Tensor, ...]
    module: nn.Module | None = None
    reference: nn.Module | None = None
    states: tuple[TensorSpec, ...] = ()


@dataclass(frozen=True)
class Request:
    """What the user asked of a model.

    Attributes:
        variant: None for the model's default.
        checkpoint: None for the one that ships.
        data: real data for calibration and for the metric; None for the model's generator.
        batches: batch sizes, one method each.
        sizes: frame sizes (height, width), one method each; empty for the model's own.
        seed: for everything random.
        settings: the model's own settings of an export by name, as text.
    """

    variant: str | None = None
    checkpoint: Path | None = None
    data: Path | None = None
    batches: tuple[int, ...] = (1,)
    sizes: tuple[tuple[int, int], ...] = ()
    seed: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)

    def varied(self, variation: str, value: str) -> Request:
        """The same request with another value of one `Variation`."""
        if variation == "size":
            height, _, width = value.partition("x")
            return replace(self, sizes=((int(height), int(width)),))
        return replace(self, settings={**self.settings, variation: value})

    def fixes(self, variation: str) -> bool:
        """Whether the user asked for a value of it."""
        names = {name.replace("-", "_") for name in self.settings}
        return bool(self.sizes) if variation == "size" else variation in names


#: Parts of a bundle's memory by name, as in its manifest, that a `Variation` changes.
RUN_PARTS = ("delegate_buffers", "delegate_workspace", "planned_arena", "inputs_outputs", "operator_scratch")
ALL_PARTS = ("weights", "graph", "delegate_packed_weights", *RUN_PARTS)


@dataclass(frozen=True)
class Variation:
    """Something about a model's export of which less takes less memory.

    Attributes:
        name: "size", or of a setting.
        values: as text, what the request asks for first, then ever less.
        parts: of the memory, those that it changes.
        exact: whether answers stay the same, and only the speed changes.
    """

    name: str
    values: tuple[str, ...]
    parts: tuple[str, ...]
    exact: bool = False


def custom_variant(checkpoint: Path | None, known: Iterable[str]) -> str:
    """The variant's name of a checkpoint whose shape has none: its own, so that bundles of several lie side by side.

    Args:
        checkpoint: a file, a folder, or a hub's name of it; None where it has no place.
        known: names of variants, which it must not be mistaken for.

    Returns:
        Of a-z, 0-9 and "-"; "custom" where nothing else is left.
    """
    if checkpoint is None:
        return "custom"
    name = checkpoint.stem if checkpoint.is_file() else checkpoint.resolve().name
    words = "-".join(re.findall(r"[a-z0-9]+", name.lower()))
    return f"custom-{words}" if words in known else words or "custom"


def is_inside(path: str, modules: Iterable[str]) -> bool:
    """Whether a module's dotted name is one of these, or lies below one."""
    return any(path == name or path.startswith(f"{name}.") for name in modules)


class Model(ABC):
    """One system of the zoo, loaded: module, sample inputs, calibration data, task metric."""

    #: The recipe that stands in for a device's default where the model refuses that.
    preferred_recipe = "int8"
    #: Recipes that the model refuses, by name, and why: the rest of a sentence that begins "sea-opt refuses int8: ".
    refused_recipes: Mapping[str, str] = {}
    #: Whether models of this kind can have a KV cache.
    has_kv: bool = False
    #: Names of submodules of what is captured that recipes with integers leave in fp32.
    keep_fp32: tuple[str, ...] = ()
    #: How static int8 finds the range of an activation where the user does not say.
    observer: Observer = "histogram"
    #: Inputs per method that its observers see where the user does not say.
    calibration_samples = 128
    #: Samples of the evaluation set that an export takes by default; None for all.
    quick_samples: int | None = None

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def variant(self) -> str: ...

    @property
    @abstractmethod
    def reference(self) -> nn.Module:
        """The eager fp32 model that answers are compared with, of the same inputs and outputs."""

    @property
    @abstractmethod
    def device_module(self) -> nn.Module:
        """The module to capture: exact, but without what a device does not need."""

    @property
    def kv_types(self) -> tuple[KV, ...]:
        """How the KV cache may be stored, the default first; empty for models without one."""
        return ()

    def in_form(self, form: StateForm) -> Model:
        """The same model with its state elsewhere; itself where it has none.

        Raises:
            UsageError: a setting of the export does not go with it.
        """
        return self

    @abstractmethod
    def methods(self, kv: KV = "fp32") -> list[Method]:
        """What to export.

        Args:
            kv: how a KV cache is stored; models without one take no notice.
        """

    def blocks(self) -> list[str]:
        """The parts that a recipe may treat apart, in the module's order, each as `--keep-fp32` takes it: a name of a
        submodule of what is captured, or a pattern of names.

        Here: every layer with weights outside of `keep_fp32`.
        """
        modules = [method.module or self.device_module for method in self.methods()]
        names = (name for module in modules for name, part in module.named_modules() if isinstance(part, LAYERS))
        return [name for name in dict.fromkeys(names) if name and not is_inside(name, self.keep_fp32)]

    @property
    def blocks_listed_by(self) -> str:
        """What lists the blocks."""
        return f"`edgekit export {self.name} --dry-run` with your other options lists its blocks"

    @abstractmethod
    def calibration(self, method: Method, count: int) -> list[tuple[Tensor, ...]]:
        """Inputs of one method as in training, for the observers."""

    @abstractmethod
    def verification(self, method: Method, count: int) -> list[tuple[Tensor, ...]]:
        """Inputs of one method that calibration did not see."""

    def verification_calls(
        self, methods: Sequence[Method], count: Callable[[Method], int]
    ) -> Iterator[tuple[Method, tuple[Tensor, ...]]]:
        """What verification runs, in this order; a program with a state remembers the calls before.

        Args:
            methods: of this model.
            count: how many inputs of a method are welcome.
        """
        for method in methods:
            for inputs in self.verification(method, count(method)):
                yield method, inputs

    @abstractmethod
    def task_metrics(self, predict: Predict | None, samples: int | None = None) -> TaskMetrics | None:
        """The model's metrics with answers from `predict`, or from the reference itself, in batches of its liking.

        Args:
            predict: runs one method; None for the reference.
            samples: of the evaluation set, evenly spaced where that makes sense; None for all.

        Returns:
            None where there is nothing to measure.
        """

    def max_drop(self, recipe: str, kv: KV = "fp32") -> Drop:
        """How much worse than the eager model's the first task metric may be before the gate closes.

        Args:
            recipe: its name.
            kv: how a KV cache is stored.
        """
        return Drop(0.005)

    @abstractmethod
    def pipeline(self) -> dict[str, Any]:
        """The task's name (`name`) and settings, for the manifest."""

    def files(self) -> Mapping[str, bytes]:
        """What else the bundle holds, by file name: what the pipeline needs beside the program."""
        return {}

    def agreement(self, methods: Sequence[Method]) -> Metric | None:
        """How often these methods' modules choose what the reference chooses; None where nothing is chosen.

        Args:
            methods: their modules rounded by a recipe, and run in torch.
        """
        return None

    def variations(self) -> tuple[Variation, ...]:
        """What of the export may be made smaller for a memory budget, the least loss first."""
        return ()

    def parameters(self) -> int:
        """Trainable parameters of the reference."""
        return sum(parameter.numel() for parameter in self.reference.parameters())

    def describe(self) -> dict[str, Any]:
        """What the manifest says of the model."""
        return {"name": self.name, "variant": self.variant, "parameters": self.parameters()}
