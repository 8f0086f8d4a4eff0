"""The parts of a program's memory, as far as the program itself tells them."""

from __future__ import annotations

from typing import Any

from executorch.exir._serialize._program import deserialize_pte_binary

from edgekit.errors import EdgekitError
from edgekit.export.executorch import LoweredProgram
from edgekit_runtime.tensors import MethodSpec

#: Parts that nobody counts yet; the manifest lists them as null, so that no sum pretends to be whole.
NOT_YET_COUNTED = ("delegate_packed_weights", "operator_scratch", "runtime")


def memory_parts(lowered: LoweredProgram, methods: list[MethodSpec]) -> dict[str, Any]:
    """Bytes by part.

    `weights`: constants in the file. `graph`: the rest of the file. `planned_arena`: the largest method's planned
    buffers. `inputs_outputs`: the largest method's inputs and outputs, of which `inputs_outputs_in_arena` are planned
    inside the arena and must not be counted twice. `state`: buffers that outlive a call; ExecuTorch plans them with the
    arena, here they are taken out of it. `by_method` has the parts that differ between methods.
    """
    file = deserialize_pte_binary(lowered.data)
    constants = sum(len(buffer.storage) for buffer in file.program.constant_buffer)
    if file.named_data is not None:
        constants += sum(len(buffer) for buffer in file.named_data.buffers) - lowered.shared
    plans = {plan.name: plan for plan in file.program.execution_plan}
    by_method = {}
    for method in methods:
        if method.name not in plans:
            raise EdgekitError(f"the program has no method {method.name!r} after lowering.")
        plan = plans[method.name]
        # Index 0 is reserved by ExecuTorch and always empty.
        arena = sum(int(size) for size in plan.non_const_buffer_sizes) - lowered.state
        total = inside = 0
        for index, spec in zip([*plan.inputs, *plan.outputs], [*method.inputs, *method.outputs], strict=True):
            total += spec.nbytes
            if getattr(plan.values[index].val, "allocation_info", None) is not None:
                inside += spec.nbytes
        by_method[method.name] = {
            "planned_arena": arena,
            "inputs_outputs": total,
            "inputs_outputs_in_arena": inside,
        }
    return {
        "weights": constants,
        "graph": len(lowered.data) - constants,
        **{name: max(parts[name] for parts in by_method.values()) for name in next(iter(by_method.values()))},
        "state": lowered.state,
        "by_method": by_method,
        **dict.fromkeys(NOT_YET_COUNTED),
    }


def largest_part(memory: dict[str, Any]) -> tuple[str, int]:
    names = [
        n for n, v in memory.items() if isinstance(v, int) and n not in ("peak", "budget", "inputs_outputs_in_arena")
    ]
    return max(((n, memory[n]) for n in names), key=lambda p: p[1])
