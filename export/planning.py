"""Which of a program's tensors get a place in its arena."""

from __future__ import annotations

from executorch.exir import memory
from executorch.exir.passes import MemoryPlanningPass
from torch.export.graph_signature import ExportGraphSignature, OutputKind
from torch.fx import GraphModule, Node
from torch.fx.passes.infra.pass_base import PassResult


class CallersMemoryPass(MemoryPlanningPass):  # type: ignore[misc]  # executorch has no types
    """Leaves inputs and outputs out of the plan: a session has them read and written where the caller has them.

    A method keeps them in its plan, and a session copies, where an output has no memory of its own: it is also an
    input, a buffer or another output, or a view. Buffers that a method changes are the same memory in every method.
    """

    def __init__(self) -> None:
        super().__init__(share_mutable_buffers=True)

    def run(self, graph_module: GraphModule, graph_signature: ExportGraphSignature | None = None) -> PassResult:
        """Plans one method."""
        inside = graph_signature is None or not _apart(graph_module, graph_signature)
        self.alloc_graph_input = self.alloc_graph_output = inside
        return super().run(graph_module, graph_signature)


def _apart(graph_module: GraphModule, signature: ExportGraphSignature) -> bool:
    """Whether every output is a tensor of its own."""
    given = graph_module.graph.output_node().args[0]
    assert isinstance(given, (tuple, list))
    kinds = [spec.kind for spec in signature.output_specs]
    outputs = [node for node, kind in zip(given, kinds, strict=True) if kind == OutputKind.USER_OUTPUT]
    return len(set(outputs)) == len(outputs) and all(
        isinstance(node, Node) and node.op == "call_function" and node.target is not memory.view for node in outputs
    )
