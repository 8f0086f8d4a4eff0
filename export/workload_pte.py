"""The operators of a method of a `.pte` program, with what each computes and moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from executorch.exir.scalar_type import ScalarType

from edgekit.devices.operator_kinds import executorch_kind, xnnpack_kind
from edgekit.devices.workload import Operation
from edgekit.errors import EdgekitError
from edgekit.export import operator_cost
from edgekit.export.method_call import MethodCall
from edgekit.export.operator_cost import Cost, Operand, Place, operation
from edgekit.export.program_file import Call, MethodFile
from edgekit.export.xnnpack_graph import BYTES, Node, Value, XnnpackGraph

_DTYPES = {
    ScalarType.BYTE: ("int8", 1),
    ScalarType.CHAR: ("int8", 1),
    ScalarType.SHORT: ("int16", 2),
    ScalarType.INT: ("int32", 4),
    ScalarType.LONG: ("int64", 8),
    ScalarType.HALF: ("fp16", 2),
    ScalarType.FLOAT: ("fp32", 4),
    ScalarType.DOUBLE: ("fp64", 8),
    ScalarType.BOOL: ("bool", 1),
    ScalarType.BFLOAT16: ("bf16", 2),
    ScalarType.UINT16: ("int16", 2),
    ScalarType.BITS16: ("int16", 2),
}
#: The namespace of edgekit's operators.
_OWN = "edgekit::"


def operations(method: MethodFile, call: MethodCall, inputs: Sequence[str]) -> list[Operation]:
    """What a call of a method runs, a delegate's operators in its place.

    A tensor of a dynamic size has one dimension that follows one of the inputs; how it follows is told by the operators
    between them: each output is as much smaller than its largest as the first input that is.

    Args:
        method: of the program.
        call: its rows.
        inputs: the method's, by the manifest's names.

    Raises:
        EdgekitError: the file calls an operator in another way than this edgekit knows.
    """
    reader = _Method(method, call, inputs)
    found: list[Operation] = []
    for index, step in enumerate(method.calls):
        try:
            found += reader.step(index, step)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise EdgekitError(
                f"the program file calls {step.operator} in another way than this edgekit: export it again."
            ) from error
    return found


@dataclass
class _Method:
    method: MethodFile
    call: MethodCall
    inputs: Sequence[str]

    def __post_init__(self) -> None:
        #: By value, the share of its largest size that it has in this call; not there for what is not dynamic.
        self.shares: dict[int, float] = {}
        for value, name in zip(self.method.inputs, self.inputs, strict=False):
            if name in self.call.rows:
                self.shares[value] = self.call.rows[name] / self.method.shape(value)[0]

    def step(self, index: int, step: Call) -> Iterator[Operation]:
        if step.delegate is None:
            yield self._operator(index, step)
            return
        graph = self.method.delegates[step.delegate]
        if graph is None:
            yield operation(Place(step.operator, index, f"delegate {step.operator}"), "other", [], [])
            return
        share = self._share([value for value in step.arguments if not self._is_constant(value)])
        self._follow(share, [value for value in step.arguments if value not in self.shares])
        yield from _delegate(graph, index, step.operator, share)

    def _operator(self, index: int, step: Call) -> Operation:
        outputs = self._tensors(step.arguments[-1:])
        given = [value for value in step.arguments if value not in outputs and not self._is_list_of(value, outputs)]
        kind = executorch_kind(step.operator)
        self._follow(self._share(self._leading(step.operator, given)), outputs)
        place = Place(step.operator, index, "edgekit" if step.operator.startswith(_OWN) else "runtime")
        read = [self._operand(value) for value in self._tensors(given)]
        made = [self._operand(value) for value in outputs]
        return operation(place, kind, read, made, self._cost(step, kind, read, made))

    def _cost(self, step: Call, kind: str, read: list[Operand], made: list[Operand]) -> Cost | None:
        name, arguments = step.operator, step.arguments
        at: list[Any] = [self._operand(value) if self._is_tensor(value) else None for value in arguments]
        if name.startswith(_OWN):
            return self._own_cost(kind, arguments, at, made)
        word = name.split("::")[-1]
        if "et_view" in word or kind == "other":
            return Cost(read=0, written=0)
        if word.startswith(("embedding", "index_select")):
            rows = made[0]
            table = read[0]
            share = rows.count / max(table.count, 1)
            weights = int(sum(o.nbytes for o in read if o.constant) * share)
            moving = [o for o in read if not o.constant and o is not table]
            taken = 0 if table.constant else int(rows.count * table.itemsize)
            return Cost(weights=weights, read=taken + sum(o.nbytes for o in moving), written=rows.nbytes)
        if word.startswith(("select", "slice")):
            return Cost(read=made[0].nbytes)
        if word.startswith(("addmm", "baddbmm")):
            return operator_cost.linear(read[1], made, read[1].shape[-1])
        if kind == "linear" and "sdpa" in word:
            query, cache = at[0], at[3]
            seen = self.call.start + query.count // max(prod(query.shape) // query.shape[1], 1)
            return Cost(macs=2 * query.count * min(seen, cache.shape[1]), form="attention")
        if kind == "linear":
            return operator_cost.linear(read[0], made, read[0].shape[-1])
        if kind == "convolution":
            weight = read[1]
            if word.startswith("convolution") and self._boolean(arguments[6]):
                return operator_cost.transposed_convolution(read[0], weight.shape[2:], weight.shape[1], 1)
            groups = read[0].shape[1] // weight.shape[1]
            return operator_cost.convolution(made, weight.shape[2:], weight.shape[1], groups)
        return None

    def _own_cost(self, kind: str, arguments: Sequence[int], at: list[Any], made: list[Operand]) -> Cost | None:
        if kind == "conv2d":
            return operator_cost.conv2d(at[0], at[1], made)
        if kind == "csr_matmul":
            return operator_cost.csr_matmul(at[2], at[3], made)
        if kind == "kv_append":
            return operator_cost.kv_append(at[0], at[1], at[3])
        if kind == "sparse_topk_attention":
            budget = int(self.method.values[arguments[7]].val.int_val)
            return operator_cost.sparse_topk_attention(at[0], at[1], at[3:6], made, self.call.start, budget)
        if kind == "sea_estimate":
            weights = [self._operand(value) for value in self._tensors([arguments[4]])]
            return operator_cost.sea_estimate(at[0], at[1:3], weights, at[5:10], made)
        return None

    def _leading(self, name: str, given: Sequence[int]) -> Sequence[int]:
        """What the size of an operator's output follows."""
        if "index_select" in name:
            return given[2:3]
        return given

    def _share(self, values: Sequence[int]) -> float | None:
        return next((self.shares[value] for value in values if value in self.shares), None)

    def _follow(self, share: float | None, values: Sequence[int]) -> None:
        if share is not None:
            for value in values:
                if self._is_dynamic(value):
                    self.shares[value] = share

    def _operand(self, value: int) -> Operand:
        tensor = self.method.values[value].val
        dtype, itemsize = _DTYPES[tensor.scalar_type]
        count = prod(tensor.sizes)
        count = max(round(count * self.shares.get(value, 1)), 1) if count else 0
        return Operand(tuple(tensor.sizes), dtype, itemsize, self._is_constant(value), count)

    def _tensors(self, values: Sequence[int]) -> list[int]:
        """The tensors among values, those in lists too, each once."""
        found: list[int] = []
        for value in values:
            content = self.method.values[value].val
            items = content.items if type(content).__name__ in ("TensorList", "OptionalTensorList") else [value]
            found += [item for item in items if item >= 0 and self._is_tensor(item) and item not in found]
        return found

    def _is_list_of(self, value: int, values: Sequence[int]) -> bool:
        return not self._is_tensor(value) and bool(values) and self._tensors([value]) == list(values)

    def _is_tensor(self, value: int) -> bool:
        return hasattr(self.method.values[value].val, "sizes")

    def _is_constant(self, value: int) -> bool:
        return getattr(self.method.values[value].val, "data_buffer_idx", 0) > 0

    def _is_dynamic(self, value: int) -> bool:
        """A number may tell a size (sym_size)."""
        dynamism = getattr(self.method.values[value].val, "shape_dynamism", None)
        return dynamism is None or dynamism.name != "STATIC"

    def _boolean(self, value: int) -> bool:
        return bool(self.method.values[value].val.bool_val)


def _delegate(graph: XnnpackGraph, index: int, name: str, share: float | None) -> Iterator[Operation]:
    """The nodes of an XNNPACK graph; with `share`, what it computes is so much smaller than its largest."""
    for place, node in enumerate(graph.nodes):
        read = [_xnnpack_operand(graph.values[value], share) for value in node.inputs]
        made = [_xnnpack_operand(graph.values[value], share) for value in node.outputs]
        kind = xnnpack_kind(node.kind)
        where = Place(node.kind, place, f"delegate {name}", index)
        yield operation(where, kind, read, made, _xnnpack_cost(node, kind, read, made))


def _xnnpack_operand(value: Value, share: float | None) -> Operand:
    count = value.count
    if share is not None and value.constant is None and count > 1:
        count = max(round(count * share), 1)
    dtype = "fp16" if value.dtype == "fp16" else "fp32" if value.dtype in ("fp32", "pfp32") else "int8"
    if "32" in value.dtype and dtype == "int8":
        dtype = "int32"
    return Operand(value.shape, dtype, BYTES[value.dtype], value.constant is not None, count)


def _xnnpack_cost(node: Node, kind: str, read: list[Operand], made: list[Operand]) -> Cost | None:
    fields = node.fields
    if kind == "convolution":
        kernel = (fields["kernel_height"], fields["kernel_width"])
        channels, groups = fields["group_input_channels"], fields["groups"]
        if node.kind == "ConvTranspose2d":
            return operator_cost.transposed_convolution(read[0], kernel, fields["group_output_channels"], groups)
        return operator_cost.convolution(made, kernel, channels, groups)
    if node.kind == "ScaledDotProductAttention":
        query, key = read[0], read[1]
        return Cost(macs=query.count * key.shape[-2] + made[0].count * key.shape[-2], form="attention")
    if kind == "linear":
        return operator_cost.linear(read[0], made, read[0].shape[-1])
    return None
