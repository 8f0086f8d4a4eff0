"""Which convolutions edgekit's own operator computes, and which are left to XNNPACK.

XNNPACK keeps an indirection buffer of 8 bytes per output pixel and weight of a kernel, for every convolution and for as
long as the program is loaded: 4.7 MB for a 3x3 at 256x256, 150 MB for a 17x17. `edgekit::conv2d` keeps none, and saves
most of the multiplications: by Winograd's transforms for 3x3, by Fourier's for wide kernels. It computes in fp32. So it
takes what is computed in fp32, and of what is int8 the wide kernels; the narrow ones too, unless the device's CPU
multiplies int8 in dot products, which XNNPACK uses. 1x1 kernels need no indirection: they stay in the delegate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

import edgekit.kernels  # noqa: F401 (defines torch.ops.edgekit)
from edgekit.devices.profile import DeviceProfile
from edgekit.export.capture import Graphs, inside
from edgekit.export.recipes import Recipe

_RELU, _LEAKY_RELU = torch.ops.aten.relu.default, torch.ops.aten.leaky_relu.default
_CONV2D = (torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding)

#: Sides of kernels that the operator takes; from `WIDE` on it beats int8 of any kind.
NARROWEST, WIDE, WIDEST = 3, 7, 17
#: Below this many output pixels a convolution is quick and small either way.
LEAST_PIXELS = 64 * 64
#: Names in a device profile of instructions that multiply int8 in dot products.
INT8_DOT_PRODUCTS = {"dotprod", "i8mm", "avx512vnni", "avxvnni"}


@dataclass(frozen=True)
class Convolution:
    """A convolution of a captured graph that `edgekit::conv2d` could compute.

    Attributes:
        node: the convolution.
        end: the node whose output the operator gives: the activation that follows, or the convolution itself.
        activation: factor of negative outputs.
        padding: rows and columns of zeros on each side.
        weight: the name of its weights, the same in every method.
        kernel: height and width.
        pixels: of the output.
    """

    node: Node
    end: Node
    activation: float
    padding: tuple[int, int]
    weight: str
    kernel: tuple[int, int]
    pixels: int

    @property
    def indirection(self) -> int:
        """Bytes of the buffer that XNNPACK keeps for it: a pointer per output pixel and weight of the kernel."""
        return 8 * self.kernel[0] * self.kernel[1] * self.pixels


def choose_operators(
    graphs: Graphs,
    recipe: Recipe,
    device: DeviceProfile,
    keep_fp32: Sequence[str] = (),
    most_indirection: int | None = None,
) -> dict[str, ExportedProgram]:
    """The captured graphs, with `edgekit::conv2d` where it is faster or smaller; changed in place.

    Args:
        graphs: before quantization.
        recipe: what they will be quantized to.
        device: whose CPU will run them.
        keep_fp32: submodules that the recipe leaves in fp32.
        most_indirection: bytes that XNNPACK's indirection buffers of a method may take, where there is a choice; None
            for as many as are fast.
    """
    dot_products = bool(INT8_DOT_PRODUCTS & set(device.cpu.isa))
    candidates, weights = [], set()
    # XNNPACK takes a convolution's weights in fp32, or in int8 with int8 activations.
    stored = recipe.weights != "float32" and recipe.activations != "int8"
    for graph in graphs.values():
        for node in graph.graph_module.graph.nodes:
            found = convolution(node)
            if found is None:
                continue
            int8 = recipe.activations == "int8" and not inside(node, keep_fp32)
            narrowest = WIDE if int8 and dot_products else NARROWEST
            if narrowest <= max(found.kernel) <= WIDEST:
                candidates.append(found)
                if found.pixels >= LEAST_PIXELS or stored:
                    weights.add(found.weight)
    for found in candidates:
        # In every method or in none, or the weights would be stored twice.
        if found.weight in weights:
            _replace(found)
    if most_indirection is not None:
        for found in _largest_indirection(graphs, most_indirection):
            _replace(found)
    for graph in graphs.values():
        graph.graph_module.graph.lint()
        graph.graph_module.recompile()
    return dict(graphs)


def indirection(graphs: Graphs) -> int:
    """Bytes of XNNPACK's indirection buffers that `edgekit::conv2d` would save, of the method with the most."""
    return max(sum(found.indirection for found in _left(graph)) for graph in graphs.values())


def _left(graph: ExportedProgram) -> list[Convolution]:
    """What `edgekit::conv2d` could compute and does not, the largest indirection buffers first."""
    found = [convolution(node) for node in graph.graph_module.graph.nodes]
    able = [one for one in found if one is not None and NARROWEST <= max(one.kernel) <= WIDEST]
    return sorted(able, key=lambda one: -one.indirection)


def _largest_indirection(graphs: Graphs, most: int) -> list[Convolution]:
    """The convolutions that must go so that no method's indirection buffers take more than `most` bytes."""
    gone: set[str] = set()
    for graph in graphs.values():
        left = _left(graph)
        total = sum(found.indirection for found in left if found.weight not in gone)
        for found in left:
            if total > most and found.weight not in gone:
                gone.add(found.weight)
                total -= found.indirection
    return [found for graph in graphs.values() for found in _left(graph) if found.weight in gone]


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
    pixels = value.shape[0] * value.shape[2] * value.shape[3]
    return Convolution(node, end, activation, (height, width), options["weight"].name, kernel, pixels)


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


def _replace(found: Convolution) -> None:
    """Puts the operator where the convolution was; it takes the name of what it replaces, which may be an output."""
    node, end = found.node, found.end
    options = _arguments(node)
    arguments = (options["input"], options["weight"], options["bias"], list(found.padding), found.activation)
    with node.graph.inserting_before(end):
        new = node.graph.call_function(torch.ops.edgekit.conv2d.default, arguments)
    # Whether it stays in fp32 is asked of the convolution's module, not of the activation's.
    new.meta = {**end.meta, "nn_module_stack": node.meta.get("nn_module_stack", {})}
    name = end.name
    end.replace_all_uses_with(new)
    node.graph.erase_node(end)
    if end is not node:
        node.graph.erase_node(node)
    new._rename(name)
