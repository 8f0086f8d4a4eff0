"""The parts of a program's memory, and its peak: known from the program file, before a device is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from executorch.exir._serialize._program import _get_extended_header

from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError
from edgekit.export.executorch import LoweredProgram
from edgekit.export.program_file import MethodFile, read_program
from edgekit.export.timeline import Step, threads_of, timeline
from edgekit_runtime.tensors import MethodSpec

#: Parts of a step that are one part of the manifest.
_JOINED = {"arena": "planned_arena", "arena_idle": "planned_arena", "delegate_constants": "weights"}


def memory_parts(
    lowered: LoweredProgram, methods: Sequence[MethodSpec], device: DeviceProfile, share: bool = True
) -> dict[str, Any]:
    """Bytes by part of a program that was just lowered; see `predict`."""
    return predict(lowered.data, lowered.state, methods, device, share)


def predict(
    data: bytes, state: int, methods: Sequence[MethodSpec], device: DeviceProfile, share: bool
) -> dict[str, Any]:
    """Bytes by part, for a manifest.

    - `weights`: constants in the file, which are mapped and not copied; `graph`: the rest of the file.
    - `delegate_packed_weights`: XNNPACK's, in the order in which its kernels read them, from loading on.
      `delegate_buffers`: pointers that its convolutions read by, and structures. `delegate_workspace`: what its
      delegates share while one of them runs.
    - `planned_arena`: the largest method's planned buffers. `inputs_outputs`: the largest method's inputs and outputs,
      of which `inputs_outputs_in_arena` are planned inside the arena and must not be counted twice.
    - `state`: buffers that outlive a call; ExecuTorch plans them with the arena, here they are taken out of it.
    - `operator_scratch`: what edgekit's operators ask for while they run, with `threads`.
    - `runtime`: the program that runs it and its libraries; measured, not derived, as `measured` says.
    - `peak_load`, `peak`: of the whole process, while methods are loaded and over all; `at_peak` has the parts at that
      moment, which sum up to `peak`. Of `weights` there are those in memory then: of a table the rows that are read.
    - `by_method` has the parts that differ between methods, and the peak of a session that uses this one alone.

    Args:
        data: the program file.
        state: bytes of the buffers that outlive a call.
        methods: as the manifest has them.
        device: whose kernels and cores decide on packed weights, scratch and workspace.
        share: whether methods share packed weights.
    """
    program = read_program(data)
    found = {method.name: method for method in program.methods}
    for spec in methods:
        if spec.name not in found:
            raise EdgekitError(f"the program has no method {spec.name!r} after lowering.")
    steps = timeline(program, device, state, share)
    highest = max(steps, key=lambda step: step.total)
    header = _get_extended_header(data)
    least = program.payloads + (header.program_size if header is not None else 0)
    weights = min(sum(program.constants) + program.named, len(data) - least)
    by_method = {}
    for spec in methods:
        alone = timeline(program.only(spec.name), device, state, share)
        by_method[spec.name] = _method_parts(found[spec.name], spec, state) | {
            "delegate_packed_weights": alone[-1].parts["delegate_packed_weights"],
            "delegate_workspace": alone[-1].parts["delegate_workspace"],
            "operator_scratch": alone[-1].parts["operator_scratch"],
            "peak": max(step.total for step in alone),
        }
    largest = {
        name: max(parts[name] for parts in by_method.values())
        for name in ("planned_arena", "inputs_outputs", "inputs_outputs_in_arena")
    }
    end = steps[-1].parts
    return {
        "weights": weights,
        "graph": len(data) - weights,
        "delegate_packed_weights": end["delegate_packed_weights"],
        "delegate_buffers": end["delegate_buffers"],
        "delegate_workspace": end["delegate_workspace"],
        **largest,
        "state": state,
        "operator_scratch": end["operator_scratch"],
        "runtime": end["runtime"],
        "peak_load": max(step.total for step in steps if step.loading),
        "peak": highest.total,
        "at_peak": _joined(highest),
        "by_method": by_method,
        "threads": threads_of(device),
        "measured": ["runtime"],
    }


def largest_part(memory: Mapping[str, Any]) -> tuple[str, int]:
    """The part of a manifest's memory that is largest at the peak, and its bytes."""
    name = max(memory["at_peak"], key=lambda part: memory["at_peak"][part])
    return name, memory["at_peak"][name]


def _joined(step: Step) -> dict[str, int]:
    parts: dict[str, int] = {}
    for name, size in step.parts.items():
        parts[_JOINED.get(name, name)] = parts.get(_JOINED.get(name, name), 0) + size
    return {name: size for name, size in parts.items() if size}


def _method_parts(method: MethodFile, spec: MethodSpec, state: int) -> dict[str, int]:
    total = inside = 0
    for value, tensor in zip([*method.inputs, *method.outputs], [*spec.inputs, *spec.outputs], strict=True):
        total += tensor.nbytes
        if getattr(method.values[value].val, "allocation_info", None) is not None:
            inside += tensor.nbytes
    return {
        "planned_arena": sum(method.buffers) - state,
        "inputs_outputs": total,
        "inputs_outputs_in_arena": inside,
    }
