"""From a model to a bundle, stage by stage."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

import edgekit
from edgekit.bundle import Bundle, check_target, seal, writing
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, GateError, UsageError
from edgekit.export import licenses, sbom, verify
from edgekit.export.accuracy import eager_metrics, measure_accuracy, missed
from edgekit.export.carried import check_libraries, check_operators
from edgekit.export.components import components_of
from edgekit.export.formats import PTE, ProgramFormat, check_format
from edgekit.export.gpu import gpu_part
from edgekit.export.memory import largest_part
from edgekit.export.mixed import kept_by_model
from edgekit.export.native_files import missing_for, native_files
from edgekit.export.programs import FinishedProgram, make_program
from edgekit.export.quantized import rounds_modules
from edgekit.export.recipes import Recipe
from edgekit.export.runtime_files import runtime_files
from edgekit.files import sha256_of
from edgekit.models.metrics import Drop, Extent
from edgekit.models.model import Method, Model
from edgekit.report import bytes_text
from edgekit.sessions import open_session

Stage = Literal["capture", "quantize", "lower", "verify", "pack"]
STAGES: tuple[Stage, ...] = ("capture", "quantize", "lower", "verify", "pack")

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


def bundle_name(model: Model, device: DeviceProfile, recipe: Recipe, form: ProgramFormat = PTE) -> str:
    """The name of a bundle's folder."""
    variant = "" if model.variant == "base" else f"-{model.variant}"
    return f"{model.name}{variant}-{device.name}-{recipe.label}{form.label}"


def check_request(device: DeviceProfile, target: Path, force: bool, form: ProgramFormat = PTE) -> None:
    """What can be refused before any work is done.

    Raises:
        UsageError: the device does not take the format, its tools are not installed, or the folder is not free.
    """
    check_format(form, device)
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
    form: ProgramFormat = PTE,
) -> Bundle:
    """Exports a model into the folder `target`; the bundle is whole or absent.

    With `native` it carries the runner and the libraries that it needs on the device, where they can be had; `say` is
    told why if not. With `allow_drop` a bundle that misses its accuracy gate is written all the same: its manifest and
    `say` name what it misses. `extent` is how much of the evaluation set the task metrics are taken on; `max_drop`
    takes the place of what the model allows the recipe. With `memory_budget`, in bytes, what is predicted to take more
    at its peak is not written; `most_indirection` has `choose_operators` look for less. `form` is the program's format.

    Raises:
        OverBudgetError: it takes more.
        GateError: the answers are too far from the eager model's, and that is not allowed.
        UsageError: the request makes no sense.
        EdgekitError: a stage failed; the message says which part and what to do.
    """
    check_request(device, target, force, form)
    if memory_budget is not None and form.name != "pte":
        raise UsageError(
            f"--memory-budget is for .pte: how much .{form.name} takes is not known beforehand; leave it out."
        )
    torch.manual_seed(seed)
    model = model.in_form(form.state_form)
    methods = model.methods(recipe.kv)
    program = make_program(model, methods, recipe, device, form, on_stage, most_indirection)
    memory = dict(program.memory)
    if memory_budget is not None:
        if memory["peak"] > memory_budget:
            raise OverBudgetError(target.name, memory, memory_budget, program.indirection)
        memory["budget"] = memory_budget

    carried = _carried(device, form, program, say) if native else {}
    gpu = gpu_part(device, program.entry["operators"], carried, say)

    fields: dict[str, Any] = {
        "minimum_runtime": dict(program.minimum_runtime),
        "tools": tool_versions(program.tools),
        "model": model.describe(),
        "device": device.name,
        "recipe": recipe.name,
        "numbers": _numbers(model, recipe, form),
        **({"kv": recipe.kv} if model.kv_types else {}),
        "seed": seed,
        "pipeline": model.pipeline(),
        "programs": [
            {
                "file": next(iter(program.files)),
                "format": form.name,
                "methods": _methods(methods, program),
                "processor": program.processor,
                **program.entry,
            }
        ],
        "memory": memory,
        **({} if gpu is None else {"gpu": gpu}),
        "accuracy": {},
    }
    with writing(target, force) as folder:
        for name, content in {**program.files, **model.files()}.items():
            (folder / name).write_bytes(content)
        for name, path in carried.items():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, folder / name)
        verify.save_samples(verify.make_samples(model, methods), folder)
        _list_parts(folder, fields, bundle_name(model, device, recipe, form))
        # Sealed once so that verification runs what the device will: the files, by way of a session.
        seal(folder, fields)
        on_stage("verify")
        session = open_session(Bundle.open(folder))
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
        if form.name == "pte" and rounds_modules(recipe):
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


def _list_parts(folder: Path, fields: dict[str, Any], name: str) -> None:
    """Writes what a bundle consists of and under which licences, and names both files in the manifest's fields."""
    hashes = {path.relative_to(folder).as_posix(): sha256_of(path) for path in folder.rglob("*") if path.is_file()}
    components = components_of(fields, hashes)
    (folder / sbom.FILE_NAME).write_bytes(sbom.make_sbom(name, components, hashes, fields["tools"]))
    (folder / licenses.FILE_NAME).write_bytes(licenses.make_licenses(components))
    fields |= {"sbom": sbom.FILE_NAME, "licenses": licenses.FILE_NAME}


def tool_versions(packages: Sequence[str] = ("torch", "executorch", "torchao")) -> dict[str, str]:
    """What made a bundle; the same tools give the same bytes."""
    tools = {name: version(name) for name in packages}
    return {"edgekit": edgekit.__version__, "python": ".".join(platform.python_version_tuple()[:2]), **tools}


def _methods(methods: Sequence[Method], program: FinishedProgram) -> list[dict[str, Any]]:
    """The manifest's methods: what callers see, the states behind them, and their own file where they have one."""
    first = next(iter(program.files))
    found = []
    for method in methods:
        entry = method.spec.to_dict()
        if method.states:
            entry["states"] = [spec.name for spec in method.states]
        if (file := program.method_files.get(method.spec.name, first)) != first:
            entry["file"] = file
        found.append(entry)
    return found


def _carried(
    device: DeviceProfile, form: ProgramFormat, program: FinishedProgram, say: Callable[[str], None]
) -> Mapping[str, Path]:
    """The native files of a bundle; none, and a reason told, where they cannot be had or do not fit."""
    if reason := missing_for(device):
        say(f"without a runner: {reason}.")
        return {}
    try:
        files = {**native_files(device.architecture, say), **runtime_files(form.name, device.architecture, say)}
        check_libraries(files, device)
    except EdgekitError as error:
        say(f"without a runner: {error}")
        return {}
    check_operators(files, device, form.name, program.entry["operators"], program.entry["delegates"])
    return files


def _numbers(model: Model, recipe: Recipe, form: ProgramFormat) -> dict[str, Any]:
    """How numbers are stored and computed, for the manifest."""
    samples = model.calibration_samples if recipe.samples is None else recipe.samples
    observer = "moving average of extremes" if form.name == "tflite" else recipe.observer or model.observer
    return {
        "weights": recipe.weights,
        "activations": recipe.activations,
        "samples": samples if recipe.calibrated else None,
        "observer": observer if recipe.calibrated else None,
        "keep_fp32": list(recipe.keep_fp32),
        "kept_by_model": list(kept_by_model(model, recipe)),
    }
