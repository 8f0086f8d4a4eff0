"""The ExecuTorch format: quantized graphs to one `.pte` with XNNPACK, and what that program asks of a device."""

from __future__ import annotations

from dataclasses import dataclass

import executorch.kernels.quantized  # noqa: F401 (registers the out variants of quantized_decomposed)
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import EdgeCompileConfig, ExecutorchProgramManager, to_edge_transform_and_lower

from edgekit.errors import EdgekitError
from edgekit.export.capture import Graphs
from edgekit.export.macs import MacCount, count_macs
from edgekit.native_log import captured_stderr

FORMAT = "pte"


@dataclass(frozen=True)
class LoweredProgram:
    """A finished program.

    Attributes:
        data: the file's bytes.
        manager: ExecuTorch's own view of it, for memory accounting.
        operators: kernels that it calls, "namespace::name.overload", sorted.
        delegates: delegates that it calls, sorted.
        macs: by method.
    """

    data: bytes
    manager: ExecutorchProgramManager
    operators: tuple[str, ...]
    delegates: tuple[str, ...]
    macs: dict[str, MacCount]


def lower(graphs: Graphs) -> LoweredProgram:
    """Lowers all methods into one program; constants that they share are stored once.

    Raises:
        EdgekitError: ExecuTorch cannot lower the graph.
    """
    try:
        with captured_stderr():
            edge = to_edge_transform_and_lower(
                dict(graphs),
                partitioner={name: [XnnpackPartitioner()] for name in graphs},
                compile_config=EdgeCompileConfig(_check_ir_validity=False),
            )
            macs = {name: count_macs(edge.exported_program(name).graph_module) for name in graphs}
            manager = edge.to_executorch()
    except Exception as error:  # its passes raise many kinds
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = lines[0].strip().rstrip(".") if lines else type(error).__name__
        raise EdgekitError(f"ExecuTorch cannot lower this graph: {reason}.") from error
    plans = manager.executorch_program.execution_plan
    operators = {
        f"{operator.name}.{operator.overload}" if operator.overload else operator.name
        for plan in plans
        for operator in plan.operators
    }
    delegates = {delegate.id for plan in plans for delegate in plan.delegates}
    return LoweredProgram(bytes(manager.buffer), manager, tuple(sorted(operators)), tuple(sorted(delegates)), macs)
