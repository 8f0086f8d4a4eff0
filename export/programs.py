"""From a model's methods to a finished program of any format, with what the manifest says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch.export import ExportedProgram

from edgekit.devices.profile import DeviceProfile
from edgekit.export.capture import capture, check_stateless
from edgekit.export.following import follow_recipe
from edgekit.export.formats import ProgramFormat, check_recipe
from edgekit.export.mixed import kept_modules
from edgekit.export.quantize import quantize
from edgekit.export.quantized import quantized_graphs
from edgekit.export.recipes import Recipe
from edgekit.models.model import Method, Model

#: How to build engines of TensorRT without ONNX Runtime.
TRTEXEC_FILE = "trtexec.txt"

OnStage = Callable[[Literal["capture", "quantize", "lower"]], None]


@dataclass(frozen=True)
class FinishedProgram:
    """A program as it goes into a bundle.

    Attributes:
        files: contents by name; the first is the one that the manifest names.
        entry: what the manifest's `programs` says of it, without `file`, `format` and `methods`.
        memory: as `memory.predict`, or what of it is known.
        tools: packages that made it.
        minimum_runtime: versions by runtime.
        processor: "cpu" or "gpu": what the device runs it on.
        method_files: by method, the file that holds it, where that is not the first.
        indirection: bytes of XNNPACK's indirection buffers that other operators would save.
    """

    files: Mapping[str, bytes]
    entry: Mapping[str, Any]
    memory: Mapping[str, Any]
    tools: tuple[str, ...]
    minimum_runtime: Mapping[str, str]
    processor: str = "cpu"
    method_files: Mapping[str, str] = field(default_factory=dict)
    indirection: int = 0


def make_program(
    model: Model,
    methods: list[Method],
    recipe: Recipe,
    device: DeviceProfile,
    form: ProgramFormat,
    on_stage: OnStage = lambda stage: None,
    most_indirection: int | None = None,
) -> FinishedProgram:
    """Captures, quantizes and lowers.

    Args:
        model: in the format's form.
        methods: of the model, by the recipe's KV cache.
        recipe: any that the format takes.
        device: what it is for.
        form: the format.
        on_stage: told of each stage that begins.
        most_indirection: for `.pte`, see `operators.choose_operators`.

    Raises:
        UsageError: the recipe is not for this format.
        EdgekitError: a stage failed, or the target runtime lacks an operator.
    """
    check_recipe(form, recipe)
    make = {"pte": _pte, "tflite": _tflite, "onnx": _onnx}[form.name]
    return make(model, methods, recipe, device, form, on_stage, most_indirection)


def shares_packed_weights(recipe: Recipe) -> bool:
    """Not where what a delegate packs with weights holds the scales of activations too, because these are fixed."""
    return recipe.activations != "int8"


def _pte(
    model: Model,
    methods: list[Method],
    recipe: Recipe,
    device: DeviceProfile,
    form: ProgramFormat,
    on_stage: OnStage,
    most_indirection: int | None,
) -> FinishedProgram:
    from edgekit.export import executorch
    from edgekit.export.memory import memory_parts
    from edgekit.export.operators import indirection

    graphs = quantized_graphs(model, methods, recipe, device, on_stage, most_indirection)
    on_stage("lower")
    lowered = executorch.lower(graphs)
    share = shares_packed_weights(recipe)
    return FinishedProgram(
        {"program.pte": lowered.data},
        {
            "operators": list(lowered.operators),
            "delegates": list(lowered.delegates),
            "share_packed_weights": share,
            "delegation": {name: _delegation(count) for name, count in lowered.macs.items()},
        },
        memory_parts(lowered, [method.spec for method in methods], device, share),
        ("torch", "executorch", "torchao"),
        {"executorch": executorch.MINIMUM_RUNTIME},
        indirection=indirection(graphs),
    )


def _tflite(
    model: Model,
    methods: list[Method],
    recipe: Recipe,
    device: DeviceProfile,
    form: ProgramFormat,
    on_stage: OnStage,
    most_indirection: int | None,
) -> FinishedProgram:
    from edgekit.export import tflite, tflite_interpreters, tflite_quantize

    kept = kept_modules(model, methods, recipe)
    follow_recipe(methods, recipe, kept)
    on_stage("capture")
    graphs = capture(model.device_module, methods)
    check_stateless(graphs, form.name)
    tflite_interpreters.check_graphs(graphs)
    on_stage("lower")
    program = tflite.convert(graphs, methods)
    on_stage("quantize")
    finished = tflite.finish(tflite_quantize.quantize(program, model, graphs, methods, recipe, kept))
    tflite_interpreters.check_program(finished, form)
    return FinishedProgram(
        {"program.tflite": finished.data},
        {
            "operators": list(finished.custom_operators),
            "builtin_operators": list(finished.builtin_operators),
            "delegates": [],
            "share_packed_weights": shares_packed_weights(recipe),
            # Our operators change a state where it lies; what LiteRT's own do, nobody promises.
            **_states(methods, in_place=bool(finished.custom_operators)),
        },
        _memory(len(finished.data), finished.constant_bytes, methods),
        ("torch", "litert-torch", "ai-edge-quantizer"),
        {"litert": tflite.MINIMUM_RUNTIME},
    )


def _onnx(
    model: Model,
    methods: list[Method],
    recipe: Recipe,
    device: DeviceProfile,
    form: ProgramFormat,
    on_stage: OnStage,
    most_indirection: int | None,
) -> FinishedProgram:
    from edgekit.export import onnx, tensorrt

    kept = kept_modules(model, methods, recipe)
    follow_recipe(methods, recipe, kept)
    on_stage("capture")
    graphs: dict[str, ExportedProgram] = capture(model.device_module, methods)
    check_stateless(graphs, form.name)
    on_stage("quantize")
    graphs = quantize(
        model, graphs, methods, recipe, kept, standard=True, symmetric=tensorrt.limits_of(device) is not None
    )
    on_stage("lower")
    lowered = onnx.lower(graphs, methods, device)
    providers = tensorrt.providers(device)
    return FinishedProgram(
        {**lowered.files, TRTEXEC_FILE: tensorrt.commands(lowered.method_files, methods, recipe).encode()}
        if "tensorrt" in providers
        else lowered.files,
        {
            "operators": list(lowered.operators),
            "delegates": [],
            "opset": lowered.opset,
            "providers": list(providers),
            **_states(methods, in_place=False),
        },
        _memory(sum(map(len, lowered.files.values())), lowered.weights, methods),
        ("torch", "onnx", "onnxscript"),
        {"onnxruntime": lowered.minimum_runtime},
        "gpu" if providers[0] != "cpu" else "cpu",
        lowered.method_files,
    )


def _states(methods: Sequence[Method], in_place: bool) -> dict[str, Any]:
    """The states of all methods, each once; nothing where there are none."""
    states = {spec.name: spec for method in methods for spec in method.states}
    if not states:
        return {}
    found = [{"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)} for spec in states.values()]
    return {"states": found, "states_in_place": in_place}


def _memory(size: int, weights: int, methods: Sequence[Method]) -> dict[str, Any]:
    """What of a program's memory is known where its runtime plans it: the other parts are named as unknown."""
    ends = {
        method.spec.name: {"inputs_outputs": sum(spec.nbytes for spec in (*method.spec.inputs, *method.spec.outputs))}
        for method in methods
    }
    states = {spec.name: spec.nbytes for method in methods for spec in method.states}
    return {
        "weights": weights,
        "graph": size - weights,
        "inputs_outputs": max(end["inputs_outputs"] for end in ends.values()),
        "inputs_outputs_in_arena": 0,
        "state": sum(states.values()),
        "by_method": ends,
        "unknown": ["delegate_packed_weights", "operator_scratch", "peak", "planned_arena", "runtime"],
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
