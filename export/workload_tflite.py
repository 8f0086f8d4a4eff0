"""The operators of a method of a `.tflite` program, with what each computes and moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgekit.devices.operator_kinds import tflite_kind
from edgekit.devices.workload import Operation
from edgekit.errors import EdgekitError
from edgekit.export import operator_cost
from edgekit.export.method_call import MethodCall
from edgekit.export.operator_cost import Cost, Operand, Place, operation
from edgekit.export.tflite_file import Graph, Step, read_graphs

#: Bytes a number by TensorFlow Lite's name of its type, and what it is here.
_DTYPES = {
    "FLOAT32": ("fp32", 4.0),
    "FLOAT16": ("fp16", 2.0),
    "BFLOAT16": ("bf16", 2.0),
    "FLOAT64": ("fp64", 8.0),
    "INT4": ("int8", 0.5),
    "INT8": ("int8", 1.0),
    "UINT8": ("int8", 1.0),
    "INT16": ("int16", 2.0),
    "UINT16": ("int16", 2.0),
    "INT32": ("int32", 4.0),
    "UINT32": ("int32", 4.0),
    "INT64": ("int64", 8.0),
    "UINT64": ("int64", 8.0),
    "BOOL": ("bool", 1.0),
}
#: What edgekit's operators are called, before their names.
_OWN = "edgekit."
_VIEWS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")


def operations(data: bytes, call: MethodCall) -> list[Operation]:
    """What a call of a signature runs.

    What is computed from constants alone, such as weights that are widened, the runtime does once, when it loads: it is
    not counted, and its result counts as a constant of the type that it is widened to.

    Raises:
        EdgekitError: this is no such program, or it calls an operator of ours in another way than this edgekit.
    """
    graph = next((graph for graph in read_graphs(data) if graph.signature in (call.method, None)), None)
    if graph is None:
        raise EdgekitError(f"the program has no method {call.method!r}: export it again.")
    constant = {place for place, tensor in enumerate(graph.tensors) if tensor.constant}
    found = []
    for index, step in enumerate(graph.steps):
        if step.inputs and all(place in constant for place in step.inputs if place >= 0):
            constant.update(step.outputs)
            continue
        try:
            found.append(_operation(graph, index, step, call, constant))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise EdgekitError(
                f"the program calls {step.name} in another way than this edgekit: export it again."
            ) from error
    return found


def _operation(graph: Graph, index: int, step: Step, call: MethodCall, constant: set[int]) -> Operation:
    def operands(places: Sequence[int]) -> list[Operand]:
        return [_operand(graph, place, place in constant) for place in places if place >= 0]

    read, made = operands(step.inputs), operands(step.outputs)
    kind = tflite_kind(step.name)
    own = step.name.startswith(_OWN)
    place = Place(step.name, index, "edgekit" if own else "runtime", None, step.node or None)
    cost = _own_cost(kind, step, read, made, call) if own else _cost(kind, step, read, made)
    return operation(place, kind, read, made, cost)


def _operand(graph: Graph, place: int, constant: bool) -> Operand:
    tensor = graph.tensors[place]
    dtype, itemsize = _DTYPES[tensor.dtype]
    return Operand(tensor.shape, dtype, itemsize, constant)


def _cost(kind: str, step: Step, read: list[Operand], made: list[Operand]) -> Cost | None:
    name = step.name
    if name == "FULLY_CONNECTED":
        cost = operator_cost.linear(read[0], made, read[1].shape[-1])
        return replace(cost, precision=_precision(read))
    if name == "BATCH_MATMUL":
        inner = read[0].shape[-2] if step.option("adjX") else read[0].shape[-1]
        return operator_cost.linear(read[0], made, inner)
    if name == "CONV_2D":
        channels = read[1].shape[3]
        cost = operator_cost.convolution(made, read[1].shape[1:3], channels, read[0].shape[3] // channels)
        return replace(cost, precision=_precision(read))
    if name == "DEPTHWISE_CONV_2D":
        # One input channel for each group; with a single group all output channels are made of one image.
        cost = operator_cost.convolution(made, read[1].shape[1:3], 1, read[0].shape[3])
        return replace(cost, precision=_precision(read))
    if name == "TRANSPOSE_CONV":
        return operator_cost.transposed_convolution(read[2], read[1].shape[1:3], read[1].shape[0], 1)
    if name in ("EMBEDDING_LOOKUP", "GATHER", "GATHER_ND"):
        table = read[1] if name == "EMBEDDING_LOOKUP" else read[0]
        taken = int(made[0].count * table.itemsize)
        moving = sum(o.nbytes for o in read if o is not table and not o.constant)
        return Cost(weights=taken if table.constant else 0, read=moving + (0 if table.constant else taken))
    if name in ("SLICE", "STRIDED_SLICE"):
        return Cost(read=made[0].nbytes)
    if name == "RESIZE_NEAREST_NEIGHBOR":
        return Cost(macs=0)
    if name in _VIEWS:
        return Cost(form="view")
    return None


def _precision(read: list[Operand]) -> str:
    """Integer weights round what is multiplied with them, at run time where the input is none itself."""
    return "int8" if "int8" in (read[0].dtype, read[1].dtype) else read[0].dtype


def _own_cost(kind: str, step: Step, read: list[Operand], made: list[Operand], call: MethodCall) -> Cost | None:
    if kind == "conv2d":
        return operator_cost.conv2d(read[0], read[1], made)
    if kind == "csr_matmul":
        return operator_cost.csr_matmul(read[2], read[3], made)
    if kind == "kv_append":
        return operator_cost.kv_append(read[0], read[1], read[3])
    if kind == "sparse_topk_attention":
        budget = int(step.attribute("k_budget"))
        return operator_cost.sparse_topk_attention(read[0], read[1], read[3:6], made, call.start, budget)
    if kind == "sea_estimate":
        return operator_cost.sea_estimate(read[0], read[1:3], read[4:26], read[26:31], made[:3])
    return None
