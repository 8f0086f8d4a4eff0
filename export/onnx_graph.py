"""Changes of an ONNX graph after torch's exporter made it, before it is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, NameFixPass

#: An operator and what it takes beside what goes through it.
_Step = tuple[str, list[ir.Value | None]]

#: What makes floats of stored constants at each call, so that the file has them in fewer bits.
_WIDENING = ("Cast", "DequantizeLinear")


def stays(node: ir.Node) -> bool | None:
    """For onnxscript's optimizer: False for what widens weights, which must not be folded; else as it likes."""
    return False if node.op_type in _WIDENING and _is_narrow(node.inputs[0]) else None


def _is_narrow(value: ir.Value | None) -> bool:
    return value is not None and value.dtype in (ir.DataType.FLOAT16, ir.DataType.INT8)


def move_transposes(model: ir.Model) -> None:
    """Transposes what weights are stored as, where a graph transposes what they are widened to.

    Nothing then lies between them and their layer, which is how TensorRT knows int8 weights ("Explicit Quantization",
    TensorRT's documentation).
    """
    for node in list(model.graph):
        if node.op_type != "Transpose" or node.domain:
            continue
        widened = node.inputs[0]
        widening = widened.producer() if widened is not None else None
        if widened is None or widening is None or widening.op_type not in _WIDENING or len(widened.consumers()) > 1:
            continue
        stored = widening.inputs[0]
        if stored is None or stored.const_value is None or not stored.is_initializer() or len(stored.consumers()) > 1:
            continue
        axes = list(node.attributes["perm"].as_ints())
        if widening.op_type == "DequantizeLinear":
            scale = widening.inputs[1]
            if scale is None or scale.shape is None or len(scale.shape) > 1:
                continue
            axis = widening.attributes.get_int("axis", 1)
            widening.attributes["axis"] = ir.AttrInt64("axis", axes.index(axis % len(axes)))
        turned = np.ascontiguousarray(stored.const_value.numpy().transpose(axes))
        stored.const_value = ir.tensor(turned, dtype=stored.dtype, name=stored.name)
        stored.shape = ir.Shape(turned.shape)
        widened.shape = ir.Shape(turned.shape)
        for user, place in node.outputs[0].uses():
            user.replace_input_with(place, widened)
        model.graph.remove(node, safe=True)


def replace_unlisted(model: ir.Model) -> None:
    """Says by operators that TensorRT has what it does not have for a type: truth values that are equal, whole numbers
    that are kept between bounds."""
    for node in list(model.graph):
        first = node.inputs[0] if node.inputs else None
        if node.domain or first is None:
            continue
        if node.op_type == "Equal" and first.dtype == ir.DataType.BOOL:
            _replace(model, node, [("Xor", [node.inputs[1]]), ("Not", [])])
        elif node.op_type == "Clip" and first.dtype in (ir.DataType.INT32, ir.DataType.INT64):
            bounds = zip(("Max", "Min"), node.inputs[1:], strict=False)
            steps: list[_Step] = [(operator, [bound]) for operator, bound in bounds if bound is not None]
            _replace(model, node, steps or [("Identity", [])])


def _replace(model: ir.Model, node: ir.Node, steps: Sequence[_Step]) -> None:
    """Puts a chain of operators in a node's place; each takes what the one before gave, then its other inputs."""
    old, chain = node.outputs[0], []
    value: ir.Value | None = node.inputs[0]
    for place, (operator, others) in enumerate(steps):
        last = place + 1 == len(steps)
        name = node.name if last else f"{node.name}_{operator.lower()}"
        chain.append(ir.node(operator, [value, *others], name=name))
        value = given = chain[-1].outputs[0]
        given.name = old.name if last else f"{old.name}_{operator.lower()}"
        given.shape, given.type = old.shape, old.type
    ir.convenience.replace_nodes_and_values(model.graph, node, [node], chain, [old], [chain[-1].outputs[0]])


def name_ends(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Names a graph's inputs and outputs; what inside has one of these names gets another one."""
    graph = model.graph
    if len(graph.inputs) != len(inputs) or len(graph.outputs) != len(outputs):
        raise ValueError(
            f"it takes {len(graph.inputs)} and gives {len(graph.outputs)} tensors, not {len(inputs)} and {len(outputs)}"
        )
    for value, name in zip([*graph.inputs, *graph.outputs], [*inputs, *outputs], strict=True):
        value.name = name
    NameFixPass()(model)


def clean(model: ir.Model) -> None:
    """Removes what says where and how a graph was made: traces with paths, the exporter's notes."""
    ClearMetadataAndDocStringPass()(model)
    model.metadata_props.clear()
    model.doc_string = None
    graph = model.graph
    graph.metadata_props.clear()
    graph.doc_string = None
    values = [*graph.inputs, *graph.initializers.values(), *(output for node in graph for output in node.outputs)]
    for value in values:
        value.metadata_props.clear()
        value.doc_string = None
    # Shapes of what lies inside follow from those of the inputs.
    for node in graph:
        for output in node.outputs:
            if not output.is_graph_output():
                output.metadata_props.clear()
