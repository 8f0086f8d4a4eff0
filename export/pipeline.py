"""From a model to a bundle, stage by stage."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

import edgekit
from edgekit.bundle import Bundle, check_target, seal, writing
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, GateError, UsageError
from edgekit.export import executorch, verify
from edgekit.export.accuracy import eager_metrics, measure_accuracy, missed
from edgekit.export.carried import check_libraries, check_operators
from edgekit.export.memory import largest_part, memory_parts
from edgekit.export.mixed import kept_by_model
from edgekit.export.native_files import missing_for, native_files
from edgekit.export.operators import indirection
from edgekit.export.quantized import quantized_graphs, rounds_modules
from edgekit.export.recipes import Recipe
from edgekit.models.metrics import Drop, Extent
from edgekit.models.model import Model
from edgekit.report import bytes_text
from edgekit_runtime import Session

Stage = Literal["capture", "quantize", "lower", "verify", "pack"]
STAGES: tuple[Stage, ...] = ("capture", "quantize", "lower", "verify", "pack")

PROGRAM_FILE = "program.pte"
MINIMUM_EXECUTORCH = "1.5"
#: Below this share of multiply-accumulates in fast kernels the user is warned.
FAST_SHARE = 0.95


class OverBudgetError(GateError):
    """An export that takes more memory than it may.

    Attributes:
        memory: its parts, as in a manifest.
        indirection: bytes of XNNPACK's indirection buffers that other operators would save.
    """

    def __init__(self, name: str, memory: Mapping[str, Any], budget: int, indirection: int) -> None:
        part, size = largest_part(memory)
        super().__init__(
            f"{name} takes {bytes_text(memory['peak'])} of memory, {bytes_text(budget)} are allowed; its largest part "
            f"is {part.replace('_', ' ')} with {bytes_text(size)}: give more memory, or export it smaller."
        )
        self.memory = memory
        self.indirection = indirection


def bundle_name(model: Model, device: DeviceProfile, recipe: Recipe) -> str:
    """The name of a bundle's folder."""
    variant = "" if model.variant == "base" else f"-{model.variant}"
    return f"{model.name}{variant}-{device.name}-{recipe.label}"


def check_request(device: DeviceProfile, target: Path, force: bool) -> None:
    """What can be refused before any work is done.

    Raises:
        UsageError: the device takes none of our formats, or the folder is not free.
    """
    if executorch.FORMAT not in device.formats:
        raise UsageError(
            f"{device.name} takes {', '.join(device.formats)}, not {executorch.FORMAT}: choose another device."
        )
    check_target(target, force)


def export(
    model: Model,
    device: DeviceProfile,
    recipe: Recipe,
    target: Path,
    seed: int = 0,
    force: bool = False,
    on_stage: Callable[[Stage], None] = lambda stage: None,
    native: bool = True,
    allow_drop: bool = False,
    say: Callable[[str], None] = lambda line: None,
    extent: Extent = "quick",
    max_drop: Drop | None = None,
    memory_budget: int | None = None,
    most_indirection: int | None = None,
) -> Bundle:
    """Exports a model into the folder `target`; the bundle is whole or absent.

    With `native` it carries the runner and the libraries that it needs on the device, where they can be had; `say` is
    told why if not. With `allow_drop` a bundle that misses its accuracy gate is written all the same: its manifest and
    `say` name what it misses. `extent` is how much of the evaluation set the task metrics are taken on; `max_drop`
    takes the place of what the model allows the recipe. With `memory_budget`, in bytes, what is predicted to take more
    at its peak is not written; `most_indirection` has `choose_operators` look for less.

    Raises:
        OverBudgetError: it takes more.
        GateError: the answers are too far from the eager model's, and that is not allowed.
        UsageError: the request makes no sense.
        EdgekitError: a stage failed; the message says which part and what to do.
    """
    check_request(device, target, force)
    torch.manual_seed(seed)
    methods = model.methods(recipe.kv)
    specs = [method.spec for method in methods]
    graphs = quantized_graphs(model, methods, recipe, device, on_stage, most_indirection)
    on_stage("lower")
    lowered = executorch.lower(graphs)
    memory = memory_parts(lowered, specs, device, _shares_packed_weights(recipe))
    if memory_budget is not None and memory["peak"] > memory_budget:
        raise OverBudgetError(target.name, memory, memory_budget, indirection(graphs))

    carried = _carried(device, lowered, say) if native else {}

    fields: dict[str, Any] = {
        "minimum_runtime": {"executorch": MINIMUM_EXECUTORCH},
        "tools": tool_versions(),
        "model": model.describe(),
        "device": device.name,
        "recipe": recipe.name,
        "numbers": _numbers(model, recipe),
        **({"kv": recipe.kv} if model.kv_types else {}),
        "seed": seed,
        "pipeline": model.pipeline(),
        "programs": [
            {
                "file": PROGRAM_FILE,
                "format": executorch.FORMAT,
                "methods": [spec.to_dict() for spec in specs],
                "operators": list(lowered.operators),
                "delegates": list(lowered.delegates),
                "share_packed_weights": _shares_packed_weights(recipe),
                "delegation": {name: _delegation(count) for name, count in lowered.macs.items()},
            }
        ],
        "memory": memory if memory_budget is None else memory | {"budget": memory_budget},
        "accuracy": {},
    }
    with writing(target, force) as folder:
        (folder / PROGRAM_FILE).write_bytes(lowered.data)
        for name, content in model.files().items():
            (folder / name).write_bytes(content)
        for name, path in carried.items():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, folder / name)
        verify.save_samples(verify.make_samples(model, methods), folder)
        # Sealed once so that verification runs what the device will: the files, by way of a session.
        seal(folder, fields)
        on_stage("verify")
        session = Session(Bundle.open(folder))
        samples = verify.load_samples(folder, session.methods)
        found = measure_accuracy(
            model,
            recipe,
            session.methods,
            verify.session_predict(session),
            samples,
            eager_metrics(model, extent),
            extent,
            max_drop,
        )
        if rounds_modules(recipe):
            found = replace(found, agreement=model.agreement(methods))
        fields["accuracy"] = found.to_dict()
        if found.failures and not allow_drop:
            raise GateError(
                f"{missed(target.name, found.failures)}. No bundle was written: try --recipe fp32, calibrate on real "
                f"data with --data, or take it as it is with --allow-drop."
            )
        if found.failures:
            say(f"warning: {missed(target.name, found.failures)}.")
        on_stage("pack")
        seal(folder, fields)
    return Bundle.open(target)


def _shares_packed_weights(recipe: Recipe) -> bool:
    """Not where what a delegate packs with weights holds the scales of activations too, because these are fixed."""
    return recipe.activations != "int8"


def tool_versions() -> dict[str, str]:
    """What made a bundle; the same tools give the same bytes."""
    tools = {name: version(name) for name in ("torch", "executorch", "torchao")}
    return {"edgekit": edgekit.__version__, "python": ".".join(platform.python_version_tuple()[:2]), **tools}


def _carried(
    device: DeviceProfile, lowered: executorch.LoweredProgram, say: Callable[[str], None]
) -> Mapping[str, Path]:
    """The native files of a bundle; none, and a reason told, where they cannot be had or do not fit."""
    if reason := missing_for(device):
        say(f"without a runner: {reason}.")
        return {}
    files = native_files(device.architecture, say)
    try:
        check_libraries(files, device)
    except EdgekitError as error:
        say(f"without a runner: {error}")
        return {}
    check_operators(files, device, lowered.operators, lowered.delegates)
    return files


def _numbers(model: Model, recipe: Recipe) -> dict[str, Any]:
    """How numbers are stored and computed, for the manifest."""
    samples = model.calibration_samples if recipe.samples is None else recipe.samples
    return {
        "weights": recipe.weights,
        "activations": recipe.activations,
        "samples": samples if recipe.calibrated else None,
        "observer": (recipe.observer or model.observer) if recipe.calibrated else None,
        "keep_fp32": list(recipe.keep_fp32),
        "kept_by_model": list(kept_by_model(model, recipe)),
    }


def _delegation(count: Any) -> dict[str, Any]:
    return {
        "macs": count.total,
        "delegated_macs": count.delegated,
        "our_macs": dict(sorted(count.ours.items())),
        "undelegated_macs": dict(sorted(count.undelegated.items())),
        "delegated_operators": dict(sorted(count.delegated_operators.items())),
        "our_operators": dict(sorted(count.our_operators.items())),
        "undelegated_operators": dict(sorted(count.undelegated_operators.items())),
    }
