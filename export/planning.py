"""Which of a program's tensors get a place in its arena, and where."""

from __future__ import annotations

from collections.abc import Iterable

from executorch.exir import memory
from executorch.exir.memory_planning import (
    MemoryAlgoResult,
    MemoryPlanningAlgorithmSuite,
    SpecAllocResult,
    greedy,
)
from executorch.exir.passes import MemoryPlanningPass
from executorch.exir.tensor import TensorSpec
from torch.export.graph_signature import ExportGraphSignature, OutputKind
from torch.fx import GraphModule, Node
from torch.fx.passes.infra.pass_base import PassResult


class CallersMemoryPass(MemoryPlanningPass):  # type: ignore[misc]  # executorch has no types
    """Leaves inputs and outputs out of the plan: a session has them read and written where the caller has them.

    A method keeps them in its plan, and a session copies, where an output has no memory of its own: it is also an
    input, a buffer or another output, or a view. Buffers that a method changes are the same memory in every method.
    """

    def __init__(self) -> None:
        # The suite takes whichever needs least.
        super().__init__(MemoryPlanningAlgorithmSuite([greedy, by_breadth]), share_mutable_buffers=True)

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


def by_breadth(
    alignment: int,
    specs: set[TensorSpec],
    graph_module: GraphModule,
    graph_signature: ExportGraphSignature,
    extra_padding: int = 0,
) -> MemoryAlgoResult:
    """Places tensors step by step, the step where most is alive first, and of a step's the largest first.

    Each goes into the smallest gap that fits between those that live with it (Pisarchyk and Lee, "Efficient Memory
    Management for Deep Neural Net Inference", 2020: greedy by breadth). Views of other tensors are ExecuTorch's to
    place: a method with such is left to `greedy`.
    """
    result = greedy(alignment, specs, graph_module, graph_signature, extra_padding)
    if any(spec.storage_base is not None for spec in specs):
        return result
    sizes = list(result.bufsizes)
    places = dict(result.spec_dict)
    for buffer in {place.mem_id for place in places.values()}:
        inside = [spec for spec, place in places.items() if place.mem_id == buffer]
        offsets = _places(inside)
        padding = result.bufsizes[buffer] - max(places[spec].mem_offset + spec.allocated_memory for spec in inside)
        sizes[buffer] = max(offsets[spec] + spec.allocated_memory for spec in inside) + padding
        for spec in inside:
            places[spec] = SpecAllocResult(buffer, places[spec].mem_obj_id, offsets[spec])
    return MemoryAlgoResult(places, sizes)


def _places(specs: Iterable[TensorSpec]) -> dict[TensorSpec, int]:
    specs = sorted(specs, key=lambda spec: (-spec.allocated_memory, *spec.lifetime))
    alive: dict[int, list[TensorSpec]] = {}
    for spec in specs:
        for step in range(spec.lifetime[0], spec.lifetime[1] + 1):
            alive.setdefault(step, []).append(spec)
    breadth = {step: sum(spec.allocated_memory for spec in found) for step, found in alive.items()}
    offsets: dict[TensorSpec, int] = {}
    for step in sorted(alive, key=lambda step: (-breadth[step], step)):
        for spec in alive[step]:
            if spec not in offsets:
                others = (other for other in offsets if _meet(spec, other))
                blocks = sorted((offsets[other], offsets[other] + other.allocated_memory) for other in others)
                offsets[spec] = smallest_gap(blocks, spec.allocated_memory)
    return offsets


def smallest_gap(blocks: Iterable[tuple[int, int]], size: int) -> int:
    """Where `size` bytes fit best between blocks (start, end), sorted: the smallest gap, or behind the last."""
    best, least, end = None, 0, 0
    for start, stop in blocks:
        if start - end >= size and (best is None or start - end < least):
            best, least = end, start - end
        end = max(end, stop)
    return end if best is None else best


def _meet(one: TensorSpec, other: TensorSpec) -> bool:
    return bool(one.lifetime[0] <= other.lifetime[1] and other.lifetime[0] <= one.lifetime[1])
