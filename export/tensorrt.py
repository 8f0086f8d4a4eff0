"""TensorRT on a device: which operators of ONNX it takes, and the command that builds its engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgekit.devices.profile import DeviceProfile
from edgekit.devices.tensorrt import TensorRT, load_tensorrt
from edgekit.errors import EdgekitError
from edgekit.export.recipes import Recipe
from edgekit.models.model import Method

if TYPE_CHECKING:
    import onnx

#: Inputs whose element type an operator is listed by, where it is not the first.
_TYPED_INPUT = {"Where": 1, "OneHot": 2}
#: Operators that are listed by the element type of what they give.
_BY_OUTPUT = {"Constant", "ConstantOfShape", "EyeLike", "RandomNormal", "RandomUniform"}
#: Listed types that stand for others: TensorRT reads doubles as floats.
_READ_AS = {"double": "float32", "float": "float32"}


def limits_of(device: DeviceProfile) -> TensorRT | None:
    """What a device's TensorRT takes; None where it has none."""
    version = device.gpu.tensorrt if device.gpu is not None else None
    return None if version is None else load_tensorrt(version)


def providers(device: DeviceProfile) -> list[str]:
    """What ONNX Runtime is to run a program with on a device, the preferred first."""
    gpu = [] if device.gpu is None else ["cuda"]
    return [*(["tensorrt"] if limits_of(device) is not None else []), *gpu, "cpu"]


def commands(method_files: Mapping[str, str], methods: Sequence[Method], recipe: Recipe) -> str:
    """The `trtexec` command lines that build the engines of a bundle's programs, one a method; run in its folder.

    Args:
        method_files: by method, its program's file.
        methods: their shapes.
        recipe: its numbers: int8 is in the program, which names the scales; fp16 is up to TensorRT; fp32 is exact
            without TF32 only.
    """
    numbers = "--int8" if recipe.activations == "int8" else "--fp16" if recipe.weights == "float16" else "--noTF32"
    lines = []
    for method in methods:
        file = method_files[method.spec.name]
        engine = file.removesuffix(".onnx") + ".engine"
        words = ["trtexec", f"--onnx={file}", f"--saveEngine=../{engine}", numbers]
        dynamic = [spec for spec in method.spec.inputs if spec.dynamic]
        for flag, rows in (("min", 1), ("opt", None), ("max", None)) if dynamic else ():
            shapes = (
                f"{spec.name}:" + "x".join(map(str, (rows or spec.shape[0], *spec.shape[1:]))) for spec in dynamic
            )
            words.append(f"--{flag}Shapes={','.join(shapes)}")
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes of a graph and of the graphs inside its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes(attribute.g)
            for inner in attribute.graphs:
                yield from nodes(inner)


def check(proto: onnx.ModelProto, method: str, device: DeviceProfile, limits: TensorRT) -> None:
    """Refuses a program that a device's TensorRT does not take.

    Raises:
        EdgekitError: names the first such operator and its node, and what TensorRT wants.
    """
    program = _Program(proto)
    opset = next(entry.version for entry in proto.opset_import if entry.domain == "")
    where = f"TensorRT {limits.version} of {device.name}"
    if not limits.oldest_opset <= opset <= limits.newest_opset:
        raise EdgekitError(
            f"method {method!r} is ONNX of opset {opset}, {where} takes {limits.oldest_opset} to "
            f"{limits.newest_opset}: set opset in the device's profile."
        )
    for node in nodes(proto.graph):
        complaint = _complaint(program, node, limits)
        if complaint:
            raise EdgekitError(
                f"{where} does not take node {node.name!r} ({node.op_type}) of method {method!r}: {complaint}."
            )


def _complaint(program: _Program, node: onnx.NodeProto, limits: TensorRT) -> str | None:
    """What is wrong with a node, and what to do."""
    if node.op_type not in limits.elements:
        return "it has no such operator; use others in the module, or export for --format pte"
    if node.op_type in _BY_OUTPUT:
        named = node.output[0]
    else:
        place = _TYPED_INPUT.get(node.op_type, 0)
        named = node.input[place] if len(node.input) > place else ""
    element = program.element(named)
    listed = limits.elements[node.op_type]
    if element is not None and element not in listed:
        return f"it takes {', '.join(sorted(listed))}, not {element}; convert it in the module"
    special = _SPECIAL.get(node.op_type)
    return special(program, node, limits) if special else None


class _Program:
    """Types, shapes and constants of a program by the names of its tensors."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        import onnx

        self._constants = {tensor.name: tensor for tensor in proto.graph.initializer}
        self._types: dict[str, onnx.TypeProto.Tensor] = {}
        # The exporter's own notes are enough; what they lack follows from them.
        inferred = onnx.shape_inference.infer_shapes(proto) if proto.ByteSize() < 1 << 30 else proto
        graphs = [inferred.graph]
        for node in nodes(inferred.graph):
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
        for graph in graphs:
            for value in (*graph.input, *graph.output, *graph.value_info):
                self._types[value.name] = value.type.tensor_type

    def constant(self, name: str) -> np.ndarray | None:
        """A tensor that is stored."""
        from onnx.numpy_helper import to_array

        return to_array(self._constants[name]) if name in self._constants else None

    def element(self, name: str) -> str | None:
        """Such as "float32"; None where nothing is said."""
        from onnx import TensorProto

        number = self._constants[name].data_type if name in self._constants else 0
        if not number and name in self._types:
            number = self._types[name].elem_type
        word = TensorProto.DataType.Name(number).lower() if number else None
        return None if word is None else _READ_AS.get(word, word)

    def rank(self, name: str) -> int | None:
        """How many dimensions a tensor has."""
        if name in self._constants:
            return len(self._constants[name].dims)
        return len(self._types[name].shape.dim) if name in self._types else None


def _attribute(node: onnx.NodeProto, name: str, otherwise: object) -> object:
    from onnx.helper import get_attribute_value

    for attribute in node.attribute:
        if attribute.name == name:
            value = get_attribute_value(attribute)
            return value.decode() if isinstance(value, bytes) else value
    return otherwise


def _topk(program: _Program, node: onnx.NodeProto, limits: TensorRT) -> str | None:
    count = program.constant(node.input[1])
    if count is None or int(count.reshape(())) <= limits.largest_topk:
        return None
    return f"k is {int(count.reshape(()))}, it takes {limits.largest_topk} at most; choose fewer"


def _symmetric(program: _Program, node: onnx.NodeProto, limits: TensorRT) -> str | None:
    """Q/DQ have zero points of 0."""
    zero = program.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(1)
    if zero is not None and not zero.any():
        return None
    return "its zero point is not 0; calibrate with symmetric activations"


def _pooled(program: _Program, node: onnx.NodeProto, limits: TensorRT) -> str | None:
    rank = program.rank(node.input[0])
    if rank is not None and rank not in (4, 5):
        return f"it pools over 2 or 3 dimensions, not {rank - 2}; add a dimension in the module"
    if len(node.output) > 1 and node.output[1]:
        return "it gives no indices of what is largest; compute them otherwise"
    return None


def _constant_axes(place: int) -> Callable[[_Program, onnx.NodeProto, TensorRT], str | None]:
    def complaint(program: _Program, node: onnx.NodeProto, limits: TensorRT) -> str | None:
        if len(node.input) <= place or not node.input[place] or program.constant(node.input[place]) is not None:
            return None
        return "its axes are computed, it takes constant ones; fix them in the module"

    return complaint


def _resize(program: _Program, node: onnx.NodeProto, limits: TensorRT) -> str | None:
    way = _attribute(node, "coordinate_transformation_mode", "half_pixel")
    known = ("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners")
    if way not in known:
        return f"it resizes by {', '.join(known)}, not {way}; resize otherwise"
    if (mode := _attribute(node, "mode", "nearest")) not in ("nearest", "linear"):
        return f"it resizes nearest or linear, not {mode}; resize otherwise"
    if _attribute(node, "antialias", 0):
        return "it resizes without antialiasing; leave it out"
    return None


#: The list's restrictions that a program shows.
_SPECIAL: dict[str, Callable[[_Program, onnx.NodeProto, TensorRT], str | None]] = {
    "TopK": _topk,
    "QuantizeLinear": _symmetric,
    "DequantizeLinear": _symmetric,
    "AveragePool": _pooled,
    "MaxPool": _pooled,
    "CumSum": _constant_axes(1),
    "Squeeze": _constant_axes(1),
    "Unsqueeze": _constant_axes(1),
    "Resize": _resize,
}
