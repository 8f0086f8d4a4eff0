"""The ExecuTorch format: quantized graphs to one `.pte` with XNNPACK, and what that program asks of a device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import executorch.kernels.quantized  # noqa: F401 (registers the out variants of quantized_decomposed)
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import (
    EdgeCompileConfig,
    ExecutorchBackendConfig,
    ExecutorchProgramManager,
    to_edge_transform_and_lower,
)
from torch.export import ExportedProgram

from edgekit.errors import EdgekitError
from edgekit.export.capture import Graphs
from edgekit.export.macs import MacCount, count_macs
from edgekit.export.planning import CallersMemoryPass
from edgekit.export.shared_constants import share_constants
from edgekit.native_log import captured_stderr

#: The oldest ExecuTorch that runs what is lowered here.
MINIMUM_RUNTIME = "1.5"


@dataclass(frozen=True)
class LoweredProgram:
    """A finished program.

    Attributes:
        data: the file's bytes.
        manager: ExecuTorch's own view of it, for memory accounting.
        operators: kernels that it calls, "namespace::name.overload", sorted.
        delegates: delegates that it calls, sorted.
        macs: by method.
        state: bytes of the buffers that calls change, which outlive a call.
        shared: bytes of constants that kernels and delegates both read, which the file has once.
    """

    data: bytes
    manager: ExecutorchProgramManager
    operators: tuple[str, ...]
    delegates: tuple[str, ...]
    macs: dict[str, MacCount]
    state: int
    shared: int = 0


def lower(graphs: Graphs) -> LoweredProgram:
    """Lowers all methods into one program; constants that they share are stored once.

    Raises:
        EdgekitError: ExecuTorch cannot lower the graph, or it changes its inputs.
    """
    try:
        with captured_stderr():
            edge = to_edge_transform_and_lower(
                dict(graphs),
                partitioner={name: [XnnpackPartitioner()] for name in graphs},
                compile_config=EdgeCompileConfig(_check_ir_validity=False),
            )
            for name in graphs:
                _check_inputs(edge.exported_program(name))
            macs = {name: count_macs(edge.exported_program(name).graph_module) for name in graphs}
            state = state_bytes(edge.exported_program(name) for name in graphs)
            # The fusion turns rounded word embeddings into one operator; it is for nothing else, and would widen int4
            # weights of convolutions.
            fusion = any(_looks_up_rounded(graph) for graph in graphs.values())
            config = ExecutorchBackendConfig(
                memory_planning_pass=CallersMemoryPass(),
                emit_mutable_buffer_names=True,
                do_quant_fusion_and_const_prop=fusion,
            )
            manager = edge.to_executorch(config)
    except EdgekitError:
        raise
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
    data, shared = share_constants(bytes(manager.buffer))
    return LoweredProgram(data, manager, tuple(sorted(operators)), tuple(sorted(delegates)), macs, state, shared)


def state_bytes(graphs: Iterable[ExportedProgram]) -> int:
    """Bytes of the buffers that some method changes; methods share them by name."""
    sizes = {}
    for graph in graphs:
        for name in graph.graph_signature.buffers_to_mutate.values():
            sizes[name] = (graph.state_dict[name] if name in graph.state_dict else graph.constants[name]).nbytes
    return sum(sizes.values())


def _check_inputs(graph: ExportedProgram) -> None:
    """Refuses a graph that changes an input in place: it is the caller's memory."""
    for name in graph.graph_signature.user_inputs_to_mutate.values():
        raise EdgekitError(f"the module changes its input '{name}' in place: have it work on {name}.clone().")


def _looks_up_rounded(graph: ExportedProgram) -> bool:
    """Whether a graph looks words up in a table that torchao rounded."""
    return any(
        node.target is torch.ops.aten.embedding.default
        and any(getattr(source.target, "namespace", None) == "torchao" for source in node.all_input_nodes)
        for node in graph.graph.nodes
    )
