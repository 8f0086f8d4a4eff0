"""Weights that are stored in fewer bits than they are computed in.

edgekit's convolutions compute in fp32 whatever their weights are stored in: each call widens them first, which costs
little beside the convolution. Linear layers of fp16 are computed in half precision where the device's CPU can, which
XNNPACK does; elsewhere they too are widened at each call, and multiplied by XNNPACK in fp32. Word embeddings are looked
up in half precision. Convolutions that are left to XNNPACK stay in fp32: it takes their weights in no other float.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import torch
from executorch.exir.passes import _quant_patterns_and_replacements  # noqa: F401 (defines embedding_4bit)
from torch import Tensor
from torch.fx import GraphModule, Node

import edgekit.kernels  # noqa: F401 (defines torch.ops.edgekit)
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError
from edgekit.export.capture import inside
from edgekit.export.recipes import Recipe

#: Weights that share a scale in int4.
GROUP = 32

_ATEN, _QUANTIZED = torch.ops.aten, torch.ops.quantized_decomposed
#: Layers with weights, which are their second argument.
_LAYERS = (
    _ATEN.linear.default,
    _ATEN.conv1d.default,
    _ATEN.conv2d.default,
    _ATEN.conv2d.padding,
    _ATEN.conv_transpose1d.default,
    _ATEN.conv_transpose2d.input,
)
#: Operators of one tensor that give the same bits before and after a change of precision.
_EXACT = {
    _ATEN.relu.default,
    _ATEN.view.default,
    _ATEN.reshape.default,
    _ATEN.permute.default,
    _ATEN.transpose.int,
    _ATEN.squeeze.dim,
    _ATEN.unsqueeze.default,
    _ATEN.flatten.using_ints,
    _ATEN.slice.Tensor,
}


def computes_in_half(device: DeviceProfile) -> bool:
    """Whether XNNPACK has kernels in half precision for a device's CPU."""
    needed = {"fp16"} if device.architecture == "aarch64" else {"avx2", "f16c"}
    return needed <= set(device.cpu.isa)


def narrow_weights(
    graph: GraphModule, recipe: Recipe, kept: Sequence[str], in_half: bool, standard: bool = False
) -> bool:
    """Stores a graph's weights as a recipe says, in place; gives whether anything changed.

    Args:
        graph: as captured, of which `choose_operators` made edgekit's convolutions.
        recipe: whose dtype weights get.
        kept: submodules that stay in fp32.
        in_half: whether the device's CPU computes in half precision.
        standard: whether the program is of standard operators only; its float16 weights of every kind of layer are
            widened by a change of type, and what runs it decides what is computed in which precision.

    Raises:
        EdgekitError: a weight is beyond float16's range.
    """
    narrowed: dict[object, Callable[[GraphModule, Node], None]] = {}
    if recipe.weights in _STORED:
        store = _STORED[recipe.weights]
        narrowed[torch.ops.edgekit.conv2d.default] = lambda graph, node: store(graph, node, 1)
    if recipe.weights == "float16" and standard:
        narrowed |= dict.fromkeys(_LAYERS, lambda graph, node: _float16(graph, node, 1))
        narrowed[_ATEN.embedding.default] = _embedding_in_half
    elif recipe.weights == "float16":
        narrowed[_ATEN.linear.default] = _linear_in_half if in_half else _linear_widened
        narrowed[_ATEN.embedding.default] = _embedding_in_half
    replaced: set[Any] = set()
    for node in list(graph.graph.nodes):
        if node.target not in narrowed or inside(node, kept):
            continue
        place = 0 if node.target is _ATEN.embedding.default else 1
        source = node.args[place]
        if source.op != "get_attr" or _constant(graph, source).dtype != torch.float32:
            continue
        replaced.update(part.target for part in node.args if isinstance(part, Node) and part.op == "get_attr")
        narrowed[node.target](graph, node)
    if not replaced:
        return False
    if recipe.weights == "float16" and not standard:
        _join_halves(graph)
    graph.graph.eliminate_dead_code()
    for target in replaced - {node.target for node in graph.graph.nodes if node.op == "get_attr"}:
        parent, _, name = target.rpartition(".")
        delattr(graph.get_submodule(parent), name)
    graph.graph.lint()
    graph.recompile()
    return True


def _float16(graph: GraphModule, node: Node, place: int) -> None:
    """Halves the argument at a place; it is widened at each call."""
    with graph.graph.inserting_before(node):
        half = _stored(graph, node, "float16", _half(graph, node.args[place]))
        node.update_arg(place, graph.graph.call_function(_ATEN.to.dtype, (half, torch.float32)))


def _int8(graph: GraphModule, node: Node, place: int) -> None:
    """Rounds the argument at a place to int8, a scale per output channel."""
    weight = _constant(graph, node.args[place])
    scale = (weight.abs().amax(dim=(1, 2, 3)) / 127).clamp(min=torch.finfo(torch.float32).tiny)
    rounded = (weight / scale[:, None, None, None]).round().to(torch.int8)
    with graph.graph.inserting_before(node):
        parts = [
            _stored(graph, node, kind, tensor)
            for kind, tensor in (
                ("int8", rounded),
                ("scale", scale),
                ("zero", torch.zeros(len(scale), dtype=torch.int64)),
            )
        ]
        widen = _QUANTIZED.dequantize_per_channel.default
        node.update_arg(place, graph.graph.call_function(widen, (*parts, 0, -127, 127, torch.int8)))


def _int4(graph: GraphModule, node: Node, place: int) -> None:
    """Rounds the argument at a place to int4, a scale per group of an output channel's weights.

    ExecuTorch's lookup of 4-bit rows, two values a byte, is what widens them: all rows are looked up.
    """
    weight = _constant(graph, node.args[place])
    rows = weight.flatten(1)
    filled = torch.nn.functional.pad(rows, (0, -rows.shape[1] % GROUP))
    groups = filled.unflatten(1, (-1, GROUP))
    scale = (groups.abs().amax(dim=2) / 7).clamp(min=torch.finfo(torch.float32).tiny)
    values = ((groups / scale[..., None]).round().to(torch.int16) + 8).flatten(1)
    packed = (values[:, ::2] * 16 + values[:, 1::2]).to(torch.uint8)
    with graph.graph.inserting_before(node):
        parts = [
            _stored(graph, node, kind, tensor)
            for kind, tensor in (("int4", packed), ("scale", scale), ("row", torch.arange(len(rows))))
        ]
        call = graph.graph.call_function
        wide = call(_QUANTIZED.embedding_4bit.default, (*parts[:2], None, -8, 7, parts[2]))
        if filled.shape != rows.shape:
            wide = call(_ATEN.contiguous.default, (call(_ATEN.slice.Tensor, (wide, 1, 0, rows.shape[1])),))
        node.update_arg(place, call(_ATEN.reshape.default, (wide, list(weight.shape))))


_STORED = {"float16": _float16, "int8": _int8, "int4": _int4}


def _linear_in_half(graph: GraphModule, node: Node) -> None:
    """A linear layer computed in half precision."""
    call = graph.graph.call_function
    with graph.graph.inserting_before(node):
        value = call(_ATEN.to.dtype, (node.args[0], torch.float16))
        weights = zip(("float16", "bias"), node.args[1:], strict=False)
        halves = [_stored(graph, node, kind, _half(graph, part)) for kind, part in weights if part is not None]
        half = call(_ATEN.linear.default, (value, *halves))
        node.replace_all_uses_with(call(_ATEN.to.dtype, (half, torch.float32)))
    graph.graph.erase_node(node)


def _linear_widened(graph: GraphModule, node: Node) -> None:
    """A linear layer as a batched product, which XNNPACK takes with weights that are not constant."""
    call = graph.graph.call_function
    inputs, bias = node.args[0], node.args[2] if len(node.args) > 2 else None
    with graph.graph.inserting_before(node):
        weight = _half(graph, node.args[1])
        half = _stored(graph, node, "float16", weight.t().contiguous()[None])
        wide = call(_ATEN.to.dtype, (half, torch.float32))
        rows = call(_ATEN.reshape.default, (inputs, [1, -1, weight.shape[1]]))
        product = call(_ATEN.bmm.default, (rows, wide))
        shape = [
            size if isinstance(size, int) else call(_ATEN.sym_size.int, (inputs, place))
            for place, size in enumerate(node.meta["val"].shape[:-1])
        ]
        result = call(_ATEN.reshape.default, (product, [*shape, weight.shape[0]]))
        if bias is not None:
            result = call(_ATEN.add.Tensor, (result, bias))
        node.replace_all_uses_with(result)
    graph.graph.erase_node(node)


def _embedding_in_half(graph: GraphModule, node: Node) -> None:
    """Rows looked up in half precision, then widened: exact but for the rounding of the weights."""
    with graph.graph.inserting_before(node):
        half = _stored(graph, node, "float16", _half(graph, node.args[0]))
        found = graph.graph.call_function(_ATEN.embedding.default, (half, *node.args[1:]))
        node.replace_all_uses_with(graph.graph.call_function(_ATEN.to.dtype, (found, torch.float32)))
    graph.graph.erase_node(node)


def _join_halves(graph: GraphModule) -> None:
    """Leaves out changes of precision between layers that are computed in half, where nothing but exact steps lie."""
    for node in graph.graph.nodes:
        if _is_change(node, torch.float16):
            chain, source = [], node.args[0]
            while source.target in _EXACT and len(source.users) == 1:
                chain.append(source)
                source = source.args[0]
            if _is_change(source, torch.float32) and len(source.users) == 1:
                first = chain[-1] if chain else None
                if first is not None:
                    first.update_arg(0, source.args[0])
                    node.replace_all_uses_with(node.args[0])
                else:
                    node.replace_all_uses_with(source.args[0])


def _is_change(node: Any, dtype: torch.dtype) -> bool:
    """Whether a node changes the precision of something computed to a dtype."""
    return node.target is _ATEN.to.dtype and node.args[1] is dtype and node.args[0].op != "get_attr"


def _constant(graph: GraphModule, node: Any) -> Tensor:
    constant: Tensor = attrgetter(str(node.target))(graph)
    return constant.detach()


def _half(graph: GraphModule, node: Any) -> Tensor:
    half = _constant(graph, node).half()
    if not half.isfinite().all():
        raise EdgekitError(f"{node.target} is beyond float16's range: keep its module in fp32 with --keep-fp32.")
    return half


def _stored(graph: GraphModule, node: Node, kind: str, tensor: Tensor) -> Node:
    """A new constant for a node."""
    name = f"{node.name}_{kind}"
    graph.register_buffer(name, tensor)
    return graph.graph.get_attr(name)
