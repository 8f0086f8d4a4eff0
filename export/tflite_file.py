"""What stands in a `.tflite` file: subgraphs, what they call, and where their constants lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgekit.errors import EdgekitError

#: LiteRT takes operands of custom operators that begin at a multiple of this only.
ALIGNMENT = 64
#: What every other constant is aligned to; the format's own rule.
_LEAST_ALIGNMENT = 16
#: A flatbuffer cannot be larger.
_LARGEST = 2**31 - 1
_IDENTIFIER = b"TFL3"


@dataclass(frozen=True)
class Operator:
    """One operator of a subgraph.

    Attributes:
        name: a builtin's name ("FULLY_CONNECTED"), or a custom operator's whole code ("edgekit.sparse_topk?k=8").
        version: of the builtin, 1 for custom operators.
        custom: whether the runtime must be given it.
        node: the name of its first output, which litert-torch makes of the modules that called it.
    """

    name: str
    version: int
    custom: bool
    node: str = ""


@dataclass(frozen=True)
class TensorText:
    """A graph's input or output; dtype is numpy's name, -1 in the shape a size that may change."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Subgraph:
    """One graph of a program.

    Attributes:
        signature: the name that it is called by from outside, None if other graphs call it only.
        inputs, outputs: in the order of the signature, with the signature's names ("args_0", "output_0"); else the
            graph's own.
        operators: in the order in which they run.
    """

    signature: str | None
    inputs: tuple[TensorText, ...]
    outputs: tuple[TensorText, ...]
    operators: tuple[Operator, ...]


def read_subgraphs(program: bytes) -> list[Subgraph]:
    """The graphs of a program.

    Raises:
        EdgekitError: this is not a `.tflite` program.
    """
    model = _read(program)
    signatures = {signature.subgraphIndex: signature for signature in model.signatureDefs or ()}
    subgraphs = []
    for index, graph in enumerate(model.subgraphs):
        signature = signatures.get(index)
        if signature is None:
            sides = [[(graph.tensors[place].name, place) for place in side] for side in (graph.inputs, graph.outputs)]
        else:
            sides = [[(end.name, end.tensorIndex) for end in side] for side in (signature.inputs, signature.outputs)]
        inputs, outputs = (tuple(_tensor(name, graph.tensors[place]) for name, place in side) for side in sides)
        operators = tuple(
            replace(
                _operator(model.operatorCodes[operator.opcodeIndex]),
                node=_word(graph.tensors[operator.outputs[0]].name) if len(operator.outputs) else "",
            )
            for operator in graph.operators or ()
        )
        subgraphs.append(Subgraph(signature and _word(signature.signatureKey), inputs, outputs, operators))
    return subgraphs


@dataclass(frozen=True)
class GraphTensor:
    """A tensor of a graph: its type ("FLOAT32"), its shape, and whether the file has its content."""

    dtype: str
    shape: tuple[int, ...]
    constant: bool


@dataclass(frozen=True)
class Step:
    """An operator with the places of what it reads and writes; -1 for an input that it is not given.

    Attributes:
        name, node: as in `Operator`.
        inputs, outputs: places of tensors.
        options: a builtin's, by their names.
    """

    name: str
    node: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]

    def option(self, name: str) -> Any:
        return self.options.get(name)

    def attribute(self, name: str) -> str:
        """Of one of edgekit's operators, whose attributes stand in its name."""
        for pair in self.name.partition("?")[2].split("&"):
            key, _, value = pair.partition("=")
            if key == name:
                return value
        raise ValueError(name)


@dataclass(frozen=True)
class Graph:
    """A graph with all of its tensors; `signature` is None where other graphs call it only."""

    signature: str | None
    tensors: tuple[GraphTensor, ...]
    steps: tuple[Step, ...]


def read_graphs(program: bytes) -> list[Graph]:
    """The graphs of a program, in which tensors stand by their places.

    Raises:
        EdgekitError: this is not a `.tflite` program.
    """
    from ai_edge_litert.schema_py_generated import TensorType

    model = _read(program)
    signatures = {signature.subgraphIndex: _word(signature.signatureKey) for signature in model.signatureDefs or ()}
    types = _names(TensorType)
    graphs = []
    for index, graph in enumerate(model.subgraphs):
        tensors = tuple(
            GraphTensor(
                types[tensor.type],
                () if tensor.shape is None else tuple(int(size) for size in tensor.shape),
                model.buffers[tensor.buffer].data is not None,
            )
            for tensor in graph.tensors
        )
        steps = tuple(
            Step(
                _operator(model.operatorCodes[operator.opcodeIndex]).name,
                _word(graph.tensors[operator.outputs[0]].name) if len(operator.outputs) else "",
                tuple(int(place) for place in operator.inputs),
                tuple(int(place) for place in operator.outputs),
                vars(operator.builtinOptions) if operator.builtinOptions is not None else {},
            )
            for operator in graph.operators or ()
        )
        graphs.append(Graph(signatures.get(index), tensors, steps))
    return graphs


def custom_codes(program: bytes) -> list[str]:
    """The custom operators that a program calls, each once, sorted.

    Raises:
        EdgekitError: this is not a `.tflite` program.
    """
    return sorted({call.name for graph in read_subgraphs(program) for call in graph.operators if call.custom})


def constant_bytes(program: bytes) -> int:
    """Bytes of a program's constants."""
    return sum(len(buffer.data) for buffer in _read(program).buffers if buffer.data is not None)


def align_constants(program: bytes) -> bytes:
    """The program with every constant that a custom operator reads at a multiple of `ALIGNMENT` bytes.

    Where no custom operator reads a constant, the program as it is. Otherwise it is written anew, always in the same
    bytes; a program that was written by this function comes out unchanged. Constants that lie behind the flatbuffer, as
    ai-edge-quantizer puts them, are taken into it: old interpreters do not look there.

    Raises:
        EdgekitError: this is not a `.tflite` program, or one that is too large for a flatbuffer.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = _read(program)
    read = {
        graph.tensors[place].buffer
        for graph in model.subgraphs
        for operator in graph.operators or ()
        if _operator(model.operatorCodes[operator.opcodeIndex]).custom
        for place in operator.inputs
        if place >= 0 and model.buffers[graph.tensors[place].buffer].data is not None
    }
    if not read and not _has_outside(program):
        return program
    if len(program) + ALIGNMENT * len(model.buffers) > _LARGEST:
        raise EdgekitError(
            "a .tflite program cannot be larger than 2 GB: export a smaller model, or a recipe with integers."
        )

    class Aligned(schema.BufferT):  # type: ignore[misc]
        """A constant that is written at a multiple of what its readers need."""

        def __init__(self, data: Any, alignment: int) -> None:
            super().__init__(data)
            self.alignment = alignment

        def Pack(self, builder: Any) -> int:  # noqa: N802 (the name in the generated schema)
            data = None
            if self.data is not None:
                content = bytes(memoryview(self.data))
                builder.StartVector(1, len(content), self.alignment)
                builder.head -= len(content)
                builder.Bytes[builder.head : builder.head + len(content)] = content
                data = builder.EndVector()
            schema.BufferStart(builder)
            if data is not None:
                schema.BufferAddData(builder, data)
            return int(schema.BufferEnd(builder))

    model.buffers = [
        Aligned(buffer.data, ALIGNMENT if index in read else _LEAST_ALIGNMENT)
        for index, buffer in enumerate(model.buffers)
    ]
    builder = flatbuffers.Builder(len(program) + ALIGNMENT * len(read))
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _read(program: bytes) -> Any:
    """The program's objects; constants that lie behind the flatbuffer as if they were in it."""
    from ai_edge_litert import schema_py_generated as schema

    if program[4:8] != _IDENTIFIER:
        raise EdgekitError("this is no .tflite program: export it again.")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(program, 0))
    for buffer in model.buffers:
        if buffer.offset > 1:
            if buffer.offset + buffer.size > len(program):
                raise EdgekitError("this .tflite program is damaged, a constant ends behind the file: export it again.")
            buffer.data = memoryview(program)[buffer.offset : buffer.offset + buffer.size]
            buffer.offset = buffer.size = 0
    return model


def _has_outside(program: bytes) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(program, 0)
    return any(model.Buffers(place).Offset() > 1 for place in range(model.BuffersLength()))


def _operator(code: Any) -> Operator:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    # Older files have the builtin in one byte.
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    if builtin == BuiltinOperator.CUSTOM:
        return Operator(_word(code.customCode), code.version, True)
    return Operator(_names(BuiltinOperator)[builtin], code.version, False)


def _tensor(name: bytes, tensor: Any) -> TensorText:
    from ai_edge_litert.schema_py_generated import TensorType

    shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    sizes = () if shape is None else tuple(int(size) for size in shape)
    return TensorText(_word(name), _names(TensorType)[tensor.type].lower(), sizes)


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _word(text: bytes | None) -> str:
    return "" if text is None else text.decode()
