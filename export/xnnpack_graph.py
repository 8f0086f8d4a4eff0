"""The graphs that XNNPACK is given, read from a delegate's data in a program file."""

from __future__ import annotations

import importlib.resources
import json
import re
import struct
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executorch.backends.xnnpack import serialization
from executorch.exir._serialize._flatbuffer import _run_flatc

from edgekit.errors import EdgekitError

DELEGATE = "XnnpackBackend"

#: Bytes of a number by XNNPACK's name of its type; 4-bit ones are two in a byte.
BYTES: dict[str, float] = {
    "fp32": 4,
    "fp16": 2,
    "bf16": 2,
    "qint8": 1,
    "quint8": 1,
    "qcint8": 1,
    "qdint8": 1,
    "qpint8": 1,
    "qint32": 4,
}
BYTES |= {"qcint32": 4, "int32": 4, "pfp32": 4, "qcint4": 0.5, "qbint4": 0.5}

_EXTERNAL_INPUT, _EXTERNAL_OUTPUT = 1, 2
#: Limits that are none, which flatc writes and JSON does not have.
_NOT_FINITE = re.compile(rb": -?(inf|nan)\b")
#: Before the graph stands a header: 4 zeros, "XH00", and where the graph and the constants lie.
_MAGIC, _HEADER = b"XH00", struct.Struct("<4s4sHIIIQ")


@dataclass(frozen=True)
class Value:
    """A tensor of a delegate.

    Attributes:
        dtype: XNNPACK's name of it, such as "fp32" or "qcint8".
        shape: at its largest.
        constant: the name of its bytes in the program's named data, "" for bytes of the delegate's own; None for a
            tensor that is computed.
        external: whether it is the program's, and takes no place in the delegate's workspace.
        group: numbers that share a scale; 0 for a scale per tensor or channel.
    """

    dtype: str
    shape: tuple[int, ...]
    constant: str | None
    external: bool
    group: int

    @property
    def count(self) -> int:
        total = 1
        for size in self.shape:
            total *= size
        return total

    @property
    def nbytes(self) -> int:
        return int(-(-self.count * BYTES[self.dtype] // 1))


@dataclass(frozen=True)
class Node:
    """An operation of a delegate: its kind ("Conv2d"), the values that it reads and writes, and its other fields."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    fields: Mapping[str, Any]
    limited: bool


@dataclass(frozen=True)
class XnnpackGraph:
    values: Mapping[int, Value]
    nodes: tuple[Node, ...]


def read_graphs(payloads: Sequence[bytes]) -> list[XnnpackGraph]:
    """The graphs of delegates, from their data.

    Raises:
        EdgekitError: it is no such data.
    """
    graphs = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        schema = folder / "schema.fbs"
        schema.write_bytes(importlib.resources.files(serialization).joinpath("schema.fbs").read_bytes())
        for index, payload in enumerate(payloads):
            (folder / f"{index}.bin").write_bytes(_graph_bytes(payload))
        # One call for all: a language model has hundreds of delegates.
        files = [str(folder / f"{index}.bin") for index in range(len(payloads))]
        options = ["--json", "--defaults-json", "--strict-json", "-o", name]
        try:
            if files:
                _run_flatc([*options, str(schema), "--", *files])
            for index in range(len(payloads)):
                text = (folder / f"{index}.json").read_bytes()
                graphs.append(_graph(json.loads(_NOT_FINITE.sub(b": null", text))))
        except EdgekitError:
            raise
        except Exception as error:  # flatc ends in many ways on what is no graph, and so do we on its text
            raise damaged() from error
    return graphs


def damaged() -> EdgekitError:
    return EdgekitError(
        "the program file's XNNPACK delegate cannot be read: copy the bundle again, or export it again."
    )


def _graph_bytes(payload: bytes) -> bytes:
    if len(payload) < _HEADER.size:
        raise damaged()
    _, magic, _, start, size, _, _ = _HEADER.unpack_from(payload)
    if magic != _MAGIC:
        start, size = 0, len(payload)
    if start + size > len(payload):
        raise damaged()
    return payload[start : start + size]


def _graph(text: Mapping[str, Any]) -> XnnpackGraph:
    constants = text.get("constant_data") or []
    values = {}
    for entry in text["xvalues"]:
        union = entry["xvalue_union"]
        quantized = union.get("tensor_value") is not None
        tensor = union["tensor_value"] if quantized else union
        parameters = union.get("quant_params", {}) if quantized else {}
        index = tensor["constant_buffer_idx"]
        values[tensor["id_out"]] = Value(
            tensor["datatype"].removeprefix("xnn_datatype_"),
            tuple(tensor.get("dims", ())),
            constants[index].get("named_key", "") if index else None,
            bool(tensor["flags"] & (_EXTERNAL_INPUT | _EXTERNAL_OUTPUT)),
            parameters.get("group_size", 0),
        )
    nodes = []
    for entry in text["xnodes"]:
        fields = entry["xnode_union"]
        ids = {name: value for name, value in fields.items() if name.endswith("_id") and value in values}
        outputs = tuple(value for name, value in ids.items() if name.startswith("output"))
        inputs = tuple(value for name, value in ids.items() if not name.startswith("output"))
        kind = entry["xnode_union_type"].removeprefix("XNN")
        if any(value not in values for value in outputs) or not outputs:
            raise damaged()
        nodes.append(Node(kind, inputs, outputs, fields, entry.get("output_min_max") is not None))
    return XnnpackGraph(values, tuple(nodes))
