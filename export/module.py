"""A user's own module: the same way to a bundle as the zoo's models."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.bundle import Bundle
from edgekit.devices.profile import load_profile
from edgekit.errors import UsageError
from edgekit.export.accuracy import missed
from edgekit.export.budget import Search
from edgekit.export.formats import Interpreter, Operators, find_format
from edgekit.export.pipeline import bundle_name, export
from edgekit.export.recipes import Recipe, change_recipe, choose_recipe, taken_recipes
from edgekit.export.verify import eager_outputs
from edgekit.models.kv import KV
from edgekit.models.metrics import Predict, TaskMetrics
from edgekit.models.model import Method, Model, Observer, Request
from edgekit_runtime.tensors import MethodSpec, TensorSpec

Inputs = tuple[Tensor, ...]


def export_module(
    module: nn.Module,
    sample_inputs: Inputs | Sequence[Inputs],
    *,
    device: str,
    format: str | None = None,
    operators: Operators = "edgekit",
    interpreter: Interpreter = "litert",
    recipe: str | None = None,
    output_dir: Path | str = "bundles",
    name: str | None = None,
    calibration: Iterable[Inputs] | None = None,
    keep_fp32: Sequence[str] = (),
    samples: int | None = None,
    observer: Observer | None = None,
    seed: int = 0,
    force: bool = False,
    native: bool = True,
    allow_drop: bool = False,
    memory_budget: int | None = None,
) -> Bundle:
    """Exports a module into `output_dir/NAME-DEVICE-RECIPE` and gives the bundle; its name ends in the format where
    that is not `.pte`.

    Args:
        module: in eval mode, on the CPU; returns tensors (a tensor, or a tuple, list or dict of them).
        sample_inputs: a tuple of tensors, one per argument of `forward`; or a list of such tuples, of different
            shapes, each of which becomes a method of the program. Weights are stored once.
        device: a device profile's name, or the path of a profile of your own.
        format: "pte", "tflite" or "onnx"; None for the device's first.
        operators: for `.tflite`, whether edgekit's operators may be called ("edgekit") or only those that every
            interpreter has ("builtin").
        interpreter: the oldest that must run a `.tflite`: "litert" or "tflite-runtime-2.14".
        recipe: a recipe's name; None for the device's default.
        output_dir: where the bundle's folder is made.
        name: of the bundle; None for the class's name.
        calibration: real inputs for the observers of int8, of any of the sample shapes; a fifth of them is kept back
            for verification. Without it, inputs are drawn with the samples' mean and spread, which tells int8 little
            about your data (a warning says so).
        keep_fp32: submodules that stay in fp32, by their names in the module, or patterns of names with *.
        samples: inputs per method that the observers see; None for 128, or all where there are fewer.
        observer: how they find the range of an activation: "histogram" (the default), "extremes" or "percentile".
        seed: for everything random.
        force: replace the bundle that is there.
        native: carry the runner and the libraries that the device needs, where they can be had.
        allow_drop: write a bundle that misses its accuracy gate, with a warning.
        memory_budget: bytes that a process may take that runs the bundle; without a recipe, the most exact one that
            fits is taken.

    Raises:
        UsageError: an unknown device or recipe, samples that do not fit, a folder that is not free.
        GateError: the exported program's answers are too far from the module's, and that is not allowed; or no recipe
            fits the memory.
        EdgekitError: the module cannot be captured or lowered.
    """
    profile = load_profile(device)
    form = find_format(format or profile.formats[0], operators, interpreter)
    model = ModuleModel(module, sample_inputs, name, calibration, seed)
    chosen = choose_recipe(recipe, profile.default_recipe, model)
    if recipe is None and memory_budget is not None:
        if keep_fp32 or samples or observer:
            raise UsageError("keep_fp32, samples and observer belong to one recipe: name it beside memory_budget.")
        recipes = taken_recipes(model)
    else:
        recipes = (change_recipe(chosen, tuple(keep_fp32), samples, observer),)
    if calibration is None and any(one.calibrated for one in recipes):
        warnings.warn("int8 is calibrated on random numbers: give real inputs as calibration=.", stacklevel=2)

    def one(model: Model, recipe: Recipe, most_indirection: int | None = None) -> Bundle:
        target = Path(output_dir) / bundle_name(model, profile, recipe, form)
        return export(
            *(model, profile, recipe, target, seed, force),
            native=native,
            allow_drop=allow_drop,
            memory_budget=memory_budget,
            most_indirection=most_indirection,
            form=form,
        )

    if memory_budget is None:
        bundle = one(model, recipes[0])
    else:
        bundle = Search(lambda request: model, Request(), recipes, memory_budget, one, allow_drop=allow_drop).run()
    if failures := bundle.manifest["accuracy"]["gate"]["failures"]:
        warnings.warn(f"{missed(bundle.name, failures)}.", stacklevel=2)
    return bundle


class ModuleModel(Model):
    """A module with sample inputs, as a model of the exporter."""

    variant = "base"

    def __init__(
        self,
        module: nn.Module,
        sample_inputs: Inputs | Sequence[Inputs],
        name: str | None,
        calibration: Iterable[Inputs] | None,
        seed: int,
    ) -> None:
        if module.training:
            raise UsageError(f"{type(module).__name__} is in training mode: call .eval() on it before the export.")
        self.module = module
        self.seed = seed
        self._name = _file_name(name or type(module).__name__)
        self._samples = _several(sample_inputs)
        self._calibration = None if calibration is None else [_checked(inputs) for inputs in calibration]
        if self._calibration is not None and not self._calibration:
            raise UsageError("calibration is empty: give at least one tuple of inputs, or leave it out.")
        self._methods = [self._method(inputs) for inputs in self._samples]
        names = [method.spec.name for method in self._methods]
        if len(set(names)) < len(names):
            raise UsageError("two of the sample inputs have the same shapes: give each shape once.")

    @property
    def name(self) -> str:
        return self._name

    @property
    def blocks_listed_by(self) -> str:
        return "the module's named_modules() lists them"

    @property
    def reference(self) -> nn.Module:
        return self.module

    @property
    def device_module(self) -> nn.Module:
        return self.module

    def methods(self, kv: KV = "fp32") -> list[Method]:
        return self._methods

    def calibration(self, method: Method, count: int) -> list[Inputs]:
        if self._calibration is None:
            return [method.samples, *self._drawn(method, count - 1, self.seed)]
        observed, _ = self._split(method, self._calibration)
        if not observed:
            wanted = ", ".join("x".join(map(str, sample.shape)) for sample in method.samples)
            raise UsageError(f"calibration has no inputs of shape {wanted}: give some for every sample shape.")
        return observed[:count]

    def verification(self, method: Method, count: int) -> list[Inputs]:
        kept = self._split(method, self._calibration)[1] if self._calibration is not None else []
        return [method.samples, *(kept or self._drawn(method, count, self.seed + 1))][:count]

    def describe(self) -> dict[str, Any]:
        given = self._calibration is not None
        return super().describe() | {"calibrated_on": "inputs of the caller" if given else "random numbers"}

    def _split(self, method: Method, inputs: list[Inputs]) -> tuple[list[Inputs], list[Inputs]]:
        """The inputs of a method's shapes: those for the observers, those for verification."""
        shapes = [sample.shape for sample in method.samples]
        fitting = [tensors for tensors in inputs if [tensor.shape for tensor in tensors] == shapes]
        observed = len(fitting) - len(fitting) // 5
        return fitting[:observed], fitting[observed:]

    def task_metrics(self, predict: Predict | None, samples: int | None = None) -> TaskMetrics | None:
        return None

    def pipeline(self) -> dict[str, Any]:
        return {"name": "tensors"}

    def _method(self, inputs: Inputs) -> Method:
        shapes = "_".join("x".join(map(str, tensor.shape)) or "scalar" for tensor in inputs)
        try:
            outputs = eager_outputs(self.module, inputs)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise UsageError(f"{type(self.module).__name__} does not run on the samples {shapes}: {error}.") from error
        parameters = list(inspect.signature(self.module.forward).parameters)
        names = [parameters[index] if index < len(parameters) else f"input_{index}" for index in range(len(inputs))]
        spec = MethodSpec(
            f"forward_{shapes}" if len(self._samples) > 1 else "forward",
            tuple(
                TensorSpec(label, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
                for label, tensor in zip(names, inputs, strict=True)
            ),
            tuple(
                TensorSpec(f"output_{index}", tuple(array.shape), str(array.dtype))
                for index, array in enumerate(outputs)
            ),
        )
        return Method(spec, inputs)

    def _drawn(self, method: Method, count: int, seed: int) -> list[Inputs]:
        generator = torch.Generator().manual_seed(seed)
        return [tuple(_like(sample, generator) for sample in method.samples) for _ in range(count)]


def _like(sample: Tensor, generator: torch.Generator) -> Tensor:
    """A random tensor with a sample's shape, dtype, mean and spread (whole numbers: within the sample's range)."""
    if not sample.is_floating_point():
        low, high = int(sample.min()), int(sample.max())
        return torch.randint(low, high + 1, sample.shape, generator=generator).to(sample.dtype)
    spread = float(sample.std()) if sample.numel() > 1 else 0.0
    drawn = torch.randn(sample.shape, generator=generator)
    return (drawn * (spread or 1.0) + float(sample.mean())).to(sample.dtype)


def _several(sample_inputs: Any) -> list[Inputs]:
    if isinstance(sample_inputs, Tensor):
        raise UsageError("sample_inputs must be a tuple with one tensor per argument: write (x,) instead of x.")
    if isinstance(sample_inputs, tuple) and all(isinstance(item, Tensor) for item in sample_inputs):
        return [_checked(sample_inputs)]
    if not sample_inputs:
        raise UsageError("sample_inputs is empty: give a tuple of tensors.")
    return [_checked(inputs) for inputs in sample_inputs]


def _checked(inputs: Any) -> Inputs:
    if not isinstance(inputs, (tuple, list)) or not inputs or not all(isinstance(item, Tensor) for item in inputs):
        raise UsageError("sample inputs and calibration are tuples of tensors, one per argument of forward.")
    if any(item.device.type != "cpu" or item.numel() == 0 for item in inputs):
        raise UsageError("sample inputs and calibration must be non-empty tensors on the CPU.")
    return tuple(item.detach() for item in inputs)


def _file_name(name: str) -> str:
    cleaned = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.").lower()
    if not cleaned:
        raise UsageError(f"{name!r} is no name for a bundle: use letters, digits and dashes.")
    return cleaned
