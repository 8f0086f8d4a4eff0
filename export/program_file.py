"""What stands in a program file: methods, what they call, and which of their tensors lies where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from executorch.exir import schema
from executorch.exir._serialize._program import deserialize_pte_binary
from executorch.exir.scalar_type import ScalarType

from edgekit.errors import EdgekitError
from edgekit.export.xnnpack_graph import DELEGATE, XnnpackGraph, read_graphs

_BYTES = {
    ScalarType.BYTE: 1,
    ScalarType.CHAR: 1,
    ScalarType.SHORT: 2,
    ScalarType.INT: 4,
    ScalarType.LONG: 8,
    ScalarType.HALF: 2,
    ScalarType.FLOAT: 4,
    ScalarType.DOUBLE: 8,
    ScalarType.BOOL: 1,
    ScalarType.BFLOAT16: 2,
    ScalarType.UINT16: 2,
    ScalarType.BITS16: 2,
}


@dataclass(frozen=True)
class Call:
    """One step of a method: an operator's name ("aten::add.out") or a delegate's place, and the values it is given."""

    operator: str
    delegate: int | None
    arguments: tuple[int, ...]


@dataclass(frozen=True)
class Planned:
    """A tensor with a place in a method's arena, and the calls from which to which it is used."""

    buffer: int
    start: int
    nbytes: int
    first: int
    last: int


@dataclass(frozen=True)
class MethodFile:
    """A method as the file has it.

    Attributes:
        name: of the method.
        calls: in the order in which they run.
        buffers: bytes of each planned buffer; the last holds the state where the program has one.
        planned: tensors in these buffers.
        values: ExecuTorch's.
        inputs, outputs: which values the caller gives and gets.
        delegates: the graphs of its XNNPACK delegates by their place; None for another delegate.
    """

    name: str
    calls: tuple[Call, ...]
    buffers: tuple[int, ...]
    planned: tuple[Planned, ...]
    values: Sequence[Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    delegates: tuple[XnnpackGraph | None, ...]

    def shape(self, value: int) -> tuple[int, ...]:
        """A tensor's, at its largest."""
        return tuple(self.values[value].val.sizes)

    def nbytes(self, value: int) -> int:
        return tensor_bytes(self.values[value].val)


@dataclass(frozen=True)
class ProgramFile:
    """A program.

    Attributes:
        methods: in the file's order.
        size: bytes of the file.
        constants: bytes of each constant that kernels read, by its index in tensors.
        named: bytes of all constants that delegates read; some may be the kernels' too, once in the file.
        payloads: bytes of what the file holds for its delegates beside them.
    """

    methods: tuple[MethodFile, ...]
    size: int
    constants: tuple[int, ...]
    named: int
    payloads: int

    def only(self, name: str) -> ProgramFile:
        """The same with one method alone."""
        return replace(self, methods=tuple(method for method in self.methods if method.name == name))


def read_program(data: bytes) -> ProgramFile:
    """A program file's content.

    Raises:
        EdgekitError: it is damaged, or no program file.
    """
    try:
        file = deserialize_pte_binary(data)
        program = file.program
        payloads = [
            bytes(program.backend_delegate_data[delegate.processed.index].data)
            for plan in program.execution_plan
            for delegate in plan.delegates
            if delegate.id == DELEGATE
        ]
        graphs = iter(read_graphs(payloads))
        methods = tuple(_method(plan, lambda: next(graphs)) for plan in program.execution_plan)
        constants = tuple(len(buffer.storage) for buffer in program.constant_buffer)
        named = sum(len(buffer) for buffer in file.named_data.buffers) if file.named_data is not None else 0
        return ProgramFile(methods, len(data), constants, named, sum(map(len, payloads)))
    except EdgekitError:
        raise
    except Exception as error:  # ExecuTorch's reader ends in many ways on what is no program
        raise EdgekitError(
            "the program file cannot be read: copy the bundle again, or export it again with this edgekit."
        ) from error


def tensor_bytes(tensor: schema.Tensor) -> int:
    """Bytes of a tensor at its largest."""
    total = _BYTES[tensor.scalar_type]
    for size in tensor.sizes:
        total *= size
    return total


def _method(plan: schema.ExecutionPlan, next_graph: Callable[[], XnnpackGraph]) -> MethodFile:
    if len(plan.chains) != 1:
        raise ValueError(f"{plan.name} has {len(plan.chains)} chains")
    names = [f"{operator.name}.{operator.overload}".rstrip(".") for operator in plan.operators]
    calls = []
    for instruction in plan.chains[0].instructions:
        arguments = instruction.instr_args
        if isinstance(arguments, schema.KernelCall):
            calls.append(Call(names[arguments.op_index], None, tuple(arguments.args)))
        elif isinstance(arguments, schema.DelegateCall):
            index = arguments.delegate_index
            calls.append(Call(plan.delegates[index].id, index, tuple(arguments.args)))
    delegates = tuple(next_graph() if delegate.id == DELEGATE else None for delegate in plan.delegates)
    buffers = tuple(int(size) for size in plan.non_const_buffer_sizes[1:])
    planned = tuple(_planned(plan, calls))
    if any(use.buffer >= len(buffers) or use.start + use.nbytes > buffers[use.buffer] for use in planned):
        raise ValueError(f"{plan.name} has a tensor outside its arena")
    inputs, outputs = tuple(plan.inputs), tuple(plan.outputs)
    return MethodFile(plan.name, tuple(calls), buffers, planned, plan.values, inputs, outputs, delegates)


def _planned(plan: schema.ExecutionPlan, calls: Sequence[Call]) -> list[Planned]:
    spans: dict[int, list[int]] = {}
    for step, call in enumerate(calls):
        for value in _tensors(plan, call.arguments):
            spans.setdefault(value, [step, step])[1] = step
    for value in plan.inputs:
        spans.setdefault(value, [0, 0])[0] = 0
    for value in plan.outputs:
        spans.setdefault(value, [0, 0])[1] = max(len(calls) - 1, 0)
    found = []
    for value, (first, last) in sorted(spans.items()):
        tensor = plan.values[value].val
        place = getattr(tensor, "allocation_info", None)
        if place is not None:
            found.append(Planned(place.memory_id - 1, place.memory_offset, tensor_bytes(tensor), first, last))
    return found


def _tensors(plan: schema.ExecutionPlan, arguments: Sequence[int]) -> list[int]:
    """The tensors among values, those in lists too."""
    found = []
    for value in arguments:
        content = plan.values[value].val
        if isinstance(content, schema.Tensor):
            found.append(value)
        elif isinstance(content, (schema.TensorList, schema.OptionalTensorList)):
            found += [item for item in content.items if item >= 0]
    return found
