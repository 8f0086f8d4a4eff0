"""The operators of a method of an `.onnx` program, with what each computes and moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from edgekit.devices.operator_kinds import onnx_kind
from edgekit.devices.workload import Operation
from edgekit.errors import EdgekitError, UsageError
from edgekit.export import operator_cost
from edgekit.export.method_call import MethodCall
from edgekit.export.operator_cost import Cost, Operand, Place, operation

#: Bytes a number by ONNX's name of its type, and what it is here.
_DTYPES = {
    "FLOAT": ("fp32", 4),
    "FLOAT16": ("fp16", 2),
    "BFLOAT16": ("bf16", 2),
    "DOUBLE": ("fp64", 8),
    "INT8": ("int8", 1),
    "UINT8": ("int8", 1),
    "INT16": ("int16", 2),
    "UINT16": ("int16", 2),
    "INT32": ("int32", 4),
    "UINT32": ("int32", 4),
    "INT64": ("int64", 8),
    "UINT64": ("int64", 8),
    "BOOL": ("bool", 1),
}
#: What ONNX Runtime merges into the operator before it.
_MERGED = ("Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "Add", "QuantizeLinear")
_VIEWS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")


def operations(path: Path, call: MethodCall) -> list[Operation]:
    """What a method's file computes, as it stands there: ONNX Runtime merges some of it when it loads the file.

    What is computed from constants alone is not counted, and its result counts as a constant: ONNX Runtime does it
    once. Not so `DequantizeLinear`, which it leaves where it stands or merges into what follows.

    Raises:
        UsageError: onnx is not installed.
        EdgekitError: this is no ONNX file.
    """
    try:
        import onnx
    except ImportError as error:
        raise UsageError("the work of an .onnx program needs a package: run `pip install 'edgekit[onnx]'`.") from error
    try:
        # Where weights lie in another file their shapes stand here nevertheless.
        model = onnx.shape_inference.infer_shapes(onnx.load(str(path), load_external_data=False))
        return _Graph(model.graph).operations()
    except Exception as error:  # protobuf's, and what a damaged graph leads to
        raise EdgekitError(f"{path.name} cannot be read as ONNX: copy the bundle again, or export it again.") from error


class _Graph:
    def __init__(self, graph: Any) -> None:
        from onnx import TensorProto

        names = TensorProto.DataType.Name
        self.graph = graph
        self.operands: dict[str, Operand] = {}
        for value in (*graph.input, *graph.output, *graph.value_info):
            kind = value.type.tensor_type
            shape = tuple(int(size.dim_value) or 1 for size in kind.shape.dim)
            self.operands[value.name] = Operand(shape, *_DTYPES[names(kind.elem_type)])
        for tensor in graph.initializer:
            self.operands[tensor.name] = Operand(tuple(tensor.dims), *_DTYPES[names(tensor.data_type)], True)
        self.makers = {output: node for node in graph.node for output in node.output}
        self.readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def operations(self) -> list[Operation]:
        found = []
        for index, node in enumerate(self.graph.node):
            read = [self.operands.get(name) for name in node.input]
            given = [operand for operand in read if operand is not None]
            constant = bool(given) and all(operand.constant for operand in given)
            if constant and node.op_type != "DequantizeLinear":
                for name in node.output:
                    if name in self.operands:
                        self.operands[name] = replace(self.operands[name], constant=True)
                continue
            made = [self.operands[name] for name in node.output if name in self.operands]
            kind = onnx_kind(node.op_type)
            place = Place(node.op_type, index, "runtime", None, node.name, tuple(self._aliases(node)))
            cost = self._cost(node, kind, given, made)
            found.append(operation(place, kind, given, made, cost))
        return found

    def _aliases(self, node: Any) -> Iterator[str]:
        """Its output's name, and those of what alone reads it and may be merged into it."""
        while True:
            yield str(node.output[0])
            readers = self.readers.get(node.output[0], [])
            if len(readers) != 1 or readers[0].op_type not in _MERGED or len(node.output) != 1:
                return
            node = readers[0]

    def _cost(self, node: Any, kind: str, read: list[Operand], made: list[Operand]) -> Cost | None:
        name = node.op_type
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if name in ("Conv", "ConvTranspose"):
            groups = int(attributes["group"].i) if "group" in attributes else 1
            kernel, channels = read[1].shape[2:], read[1].shape[1]
            if name == "ConvTranspose":
                return operator_cost.transposed_convolution(read[0], kernel, channels, groups)
            return replace(operator_cost.convolution(made, kernel, channels, groups), precision=self._precision(node))
        if kind == "linear":
            turned = name == "Gemm" and "transA" in attributes and attributes["transA"].i
            inner = read[0].shape[-2 if turned else -1]
            return replace(operator_cost.linear(read[0], made, inner), precision=self._precision(node))
        if name in ("Gather", "GatherElements", "GatherND"):
            taken = int(made[0].count * read[0].itemsize)
            moving = sum(operand.nbytes for operand in read[1:] if not operand.constant)
            return Cost(weights=taken if read[0].constant else 0, read=moving + (0 if read[0].constant else taken))
        if name == "Slice":
            return Cost(read=made[0].nbytes)
        if name in _VIEWS:
            return Cost(form="view", read=0, written=0)
        if name == "Resize":
            nearest = "mode" in attributes and attributes["mode"].s == b"nearest"
            return Cost(macs=0 if nearest else 4 * prod(made[0].shape))
        return None

    def _precision(self, node: Any) -> str:
        """int8 where what goes in was rounded and what comes out is: runtimes then compute in integers."""
        inputs = [self.makers.get(name) for name in list(node.input)[:2]]
        outputs: Sequence[Any] = self.readers.get(node.output[0], [])
        rounded = all(maker is not None and maker.op_type == "DequantizeLinear" for maker in inputs)
        after = [reader.op_type for reader in outputs]
        if rounded and after and all(reader in ("QuantizeLinear", "Relu", "Clip") for reader in after):
            return "int8"
        first: Mapping[str, Operand] = self.operands
        return first[node.input[0]].dtype if first[node.input[0]].dtype in ("fp32", "fp16") else "fp32"
