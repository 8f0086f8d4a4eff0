"""Which convolutions edgekit's own operator computes, and which are left to XNNPACK.

XNNPACK keeps an indirection buffer of 8 bytes per output pixel and weight of a kernel, for every convolution and for as
long as the program is loaded: 150 MB for a 17x17 at 256x256. `edgekit::conv2d` keeps none, and computes wide kernels by
way of the Fourier transform. Narrow kernels stay with XNNPACK, so that its regions of the graph stay whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

import edgekit.kernels  # noqa: F401 (defines torch.ops.edgekit)
from edgekit.export.capture import Graphs

_RELU, _LEAKY_RELU = torch.ops.aten.relu.default, torch.ops.aten.leaky_relu.default
_CONV2D = (torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding)

#: Kernels of these sides go by way of the Fourier transform, in fp32, whatever else is int8.
WIDE, WIDEST = 7, 17
#: Below this many output pixels a convolution is quick and small either way.
LEAST_PIXELS = 64 * 64
#: Below this many channels in or out the transforms cost more than they save.
LEAST_CHANNELS = 8


@dataclass(frozen=True)
class Convolution:
    """A convolution of a captured graph that `edgekit::conv2d` could compute.

    Attributes:
        node: the convolution.
        end: the node whose output the operator gives: the activation that follows, or the convolution itself.
        activation: factor of negative outputs.
        padding: rows and columns of zeros on each side.
        kernel: height and width.
        channels: of input and output.
        pixels: of the output.
    """

    node: Node
    end: Node
    activation: float
    padding: tuple[int, int]
    kernel: tuple[int, int]
    channels: tuple[int, int]
    pixels: int


def choose_operators(graphs: Graphs) -> dict[str, ExportedProgram]:
    """The captured graphs, with `edgekit::conv2d` where it is faster and smaller; changed in place."""
    for graph in graphs.values():
        nodes = graph.graph_module.graph
        for node in list(nodes.nodes):
            found = convolution(node)
            if found is not None and _ours(found):
                _replace(found)
        nodes.lint()
        graph.graph_module.recompile()
    return dict(graphs)


def convolution(node: Node) -> Convolution | None:
    """What `edgekit::conv2d` could compute: fp32, stride 1, not dilated, not grouped, padded alike on both sides."""
    if node.op != "call_function" or node.target not in _CONV2D:
        return None
    options = _arguments(node)
    value, weight = node.meta["val"], options["weight"].meta["val"]
    kernel = tuple(weight.shape[2:])
    padding = options["padding"]
    if padding == "same" and all(side % 2 for side in kernel):
        padding = [side // 2 for side in kernel]
    elif padding == "valid":
        padding = [0, 0]
    plain = [list(options[name]) == [1, 1] for name in ("stride", "dilation")] + [options["groups"] == 1]
    if not all(plain) or isinstance(padding, str) or value.dtype != torch.float32 or value.dim() != 4:
        return None
    end, activation = _activation(node)
    height, width = ([*padding] * 2)[:2]
    channels = (weight.shape[1], weight.shape[0])
    pixels = value.shape[0] * value.shape[2] * value.shape[3]
    return Convolution(node, end, activation, (height, width), kernel, channels, pixels)


def _arguments(node: Node) -> dict[str, Any]:
    """Every argument of a call by its name in the operator's schema, defaults included."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = {argument.name: value for argument, value in zip(schema, node.args, strict=False)}
    return {argument.name: argument.default_value for argument in schema} | given | node.kwargs


def _activation(node: Node) -> tuple[Node, float]:
    """The activation that alone reads a node, and its factor of negative numbers; without one the node itself and 1."""
    users = list(node.users)
    if len(users) == 1 and users[0].target == _RELU:
        return users[0], 0.0
    if len(users) == 1 and users[0].target == _LEAKY_RELU:
        return users[0], float(_arguments(users[0])["negative_slope"])
    return node, 1.0


def _ours(found: Convolution) -> bool:
    return (
        found.pixels >= LEAST_PIXELS and WIDE <= max(found.kernel) <= WIDEST and min(found.channels) >= LEAST_CHANNELS
    )


def _replace(found: Convolution) -> None:
    """Puts the operator where the convolution was; it takes the name of what it replaces, which may be an output."""
    node, end = found.node, found.end
    options = _arguments(node)
    arguments = (options["input"], options["weight"], options["bias"], list(found.padding), found.activation)
    with node.graph.inserting_before(end):
        new = node.graph.call_function(torch.ops.edgekit.conv2d.default, arguments)
    new.meta = dict(end.meta)
    name = end.name
    end.replace_all_uses_with(new)
    node.graph.erase_node(end)
    if end is not node:
        node.graph.erase_node(node)
    new._rename(name)
