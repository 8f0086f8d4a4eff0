"""What XNNPACK takes for a delegate: packed weights, indirection buffers, and a workspace for the tensors inside.

Derived from XNNPACK's source (src/operators, src/packing, src/memory-planner.c, src/runtime.c) and checked against
counted allocations in `tests/export/test_xnnpack_memory.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgekit.devices.profile import DeviceProfile
from edgekit.export.planning import smallest_gap
from edgekit.export.xnnpack_graph import Node, Value, XnnpackGraph

#: What XNNPACK may read beyond a tensor; and to what it rounds tensors in its workspace.
EXTRA, LINE = 16, 64
POINTER = 8
#: Bytes of a delegate's structures, by node (its operator with it) and by value: as counted, malloc's own included.
NODE_BYTES, VALUE_BYTES, GRAPH_BYTES = 1000, 130, 700


@dataclass(frozen=True)
class Tile:
    """A matrix kernel: it makes `rows` x `columns` outputs at once, from `depth` inputs at a time."""

    rows: int
    columns: int
    depth: int


#: By instruction set (the first that a profile names), then by what is multiplied: "f32"; "qs8": int8 by int8; "qd8"
#: and "qd4": int8 and int4 weights by activations quantized at every call (XNNPACK's src/configs/gemm-config.c). "dw":
#: channels that a depthwise kernel makes at once (dwconv-config.c).
_TILES: Mapping[str, Mapping[str, Tile]] = {
    "avx512vnni": {
        "f32": Tile(7, 16, 1),
        "f32 convolution": Tile(7, 32, 1),
        "qs8": Tile(7, 16, 8),
        "qd8": Tile(5, 16, 8),
        "qd4": Tile(8, 16, 8),
        "dw": Tile(1, 16, 1),
    },
    "avx2": {
        "f32": Tile(5, 16, 1),
        "f32 convolution": Tile(5, 16, 1),
        "qs8": Tile(3, 8, 8),
        "qd8": Tile(4, 8, 8),
        "qd4": Tile(3, 8, 8),
        "dw": Tile(1, 16, 1),
    },
    "i8mm": {
        "f32": Tile(6, 8, 1),
        "f32 convolution": Tile(6, 8, 1),
        "qs8": Tile(4, 16, 8),
        "qd8": Tile(4, 16, 8),
        "qd4": Tile(4, 16, 8),
        "dw": Tile(1, 16, 1),
    },
    "dotprod": {
        "f32": Tile(6, 8, 1),
        "f32 convolution": Tile(6, 8, 1),
        "qs8": Tile(4, 16, 4),
        "qd8": Tile(4, 16, 4),
        "qd4": Tile(4, 16, 4),
        "dw": Tile(1, 16, 1),
    },
    "neon": {
        "f32": Tile(6, 8, 1),
        "f32 convolution": Tile(6, 8, 1),
        "qs8": Tile(2, 8, 8),
        "qd8": Tile(6, 16, 1),
        "qd4": Tile(6, 16, 2),
        "dw": Tile(1, 16, 1),
    },
}


def tiles_of(device: DeviceProfile) -> Mapping[str, Tile]:
    """The matrix kernels that XNNPACK chooses on a device."""
    for name, tiles in _TILES.items():
        if name in device.cpu.isa:
            return tiles
    return _TILES["avx2" if device.architecture == "x86_64" else "neon"]


@dataclass(frozen=True)
class DelegateMemory:
    """What a delegate takes, in bytes.

    Attributes:
        packed: by constant: weights in the order that the kernels read them. A constant is named as in the program's
            named data, or by its place in the graph; delegates that share a name may share the bytes.
        buffers: pointers that its convolutions and poolings read their inputs by, from the first call on.
        structures: its nodes and values.
        workspace: what its tensors need while it runs; delegates share the largest.
        mapped: constants of the program's file that are read while it is packed, and not after.
    """

    packed: Mapping[str, int] = field(default_factory=dict)
    buffers: int = 0
    structures: int = 0
    workspace: int = 0
    mapped: Mapping[str, int] = field(default_factory=dict)


def delegate_memory(graph: XnnpackGraph, tiles: Mapping[str, Tile], threads: int) -> DelegateMemory:
    """What XNNPACK takes for one graph.

    Args:
        graph: a delegate's.
        tiles: of the device.
        threads: that it runs on.
    """
    packed: dict[str, int] = {}
    mapped: dict[str, int] = {}
    buffers = 0
    for index, node in enumerate(graph.nodes):
        filter_id = node.fields.get("filter_id")
        if isinstance(filter_id, int) and filter_id in graph.values:
            value = graph.values[filter_id]
            packed[value.constant or f"{index}"] = _packed_bytes(graph, node, tiles)
        buffers += _indirection_bytes(graph, node, tiles)
    for value_id, value in graph.values.items():
        if value.constant is not None:
            mapped[value.constant or f"{value_id}"] = value.nbytes
    structures = GRAPH_BYTES + NODE_BYTES * len(graph.nodes) + VALUE_BYTES * len(graph.values)
    return DelegateMemory(packed, buffers, structures, _workspace_bytes(graph, tiles, threads), mapped)


def _up(count: int, unit: int) -> int:
    return -(-count // unit) * unit


def _family(graph: XnnpackGraph, node: Node) -> str:
    """Which kernels multiply for a node."""
    weights = graph.values[node.fields["filter_id"]].dtype
    activations = graph.values[node.inputs[0]].dtype
    if activations in ("qdint8", "qpint8"):
        return "qd4" if weights in ("qcint4", "qbint4") else "qd8"
    if weights in ("qcint8", "qint8"):
        return "qs8"
    return "f32 convolution" if node.kind != "FullyConnected" and _taps(node) > 1 else "f32"


def _taps(node: Node) -> int:
    """Weights of a convolution per pair of channels."""
    return int(node.fields["kernel_height"] * node.fields["kernel_width"])


def _packed_bytes(graph: XnnpackGraph, node: Node, tiles: Mapping[str, Tile]) -> int:
    """Weights, then a bias, and where they are quantized a scale or sums, per output channel."""
    weights = graph.values[node.fields["filter_id"]]
    family = _family(graph, node)
    tile = tiles[family]
    if node.kind == "FullyConnected":
        groups, (outputs, inputs), kernel = 1, weights.shape[-2:], 1
    else:
        fields = node.fields
        groups, outputs, inputs = fields["groups"], fields["group_output_channels"], fields["group_input_channels"]
        kernel = _taps(node)
    if node.kind == "DepthwiseConv2d":
        channels = _up(groups * outputs, tiles["dw"].columns)
        return channels * (kernel + 8 if family == "qs8" else 4 * kernel + 4)
    depth = _up(inputs, tile.depth)
    if family.startswith("f32"):
        # Halves stay halves; what reads them widens them.
        channel = (2 if weights.dtype == "fp16" else 4) * depth * kernel + 4
    elif family == "qs8":
        channel = depth * kernel + 8  # bias, scale
    elif family == "qd8":
        channel = depth * kernel + 12  # sum of the weights, scale, bias
    else:
        scales = 2 * (depth // weights.group) if weights.group else 4  # bfloat16 by group
        channel = depth * kernel // 2 + scales + 8
    return groups * _up(outputs, tile.columns) * channel


def _indirection_bytes(graph: XnnpackGraph, node: Node, tiles: Mapping[str, Tile]) -> int:
    """Pointers to what each output pixel reads."""
    if node.kind not in ("Conv2d", "DepthwiseConv2d", "ConvTranspose2d", "MaxPooling2d", "AvgPooling2d") and (
        node.kind != "StaticResizeBilinear2D"
    ):
        return 0
    fields = node.fields
    _, height, width, _ = graph.values[node.outputs[0]].shape
    if node.kind == "StaticResizeBilinear2D":
        return int(height * width * (4 * POINTER + 2 * 4))
    pooling = "Pooling" in node.kind
    kernel_h, kernel_w = (fields[f"{'pooling' if pooling else 'kernel'}_{side}"] for side in ("height", "width"))
    stride_w = fields["stride_width" if pooling else "subsampling_width"]
    if node.kind == "Conv2d":
        paddings = any(fields[f"padding_{side}"] for side in ("top", "right", "bottom", "left"))
        if kernel_h * kernel_w == 1 and not paddings and stride_w == fields["subsampling_height"] == 1:
            return 0
    if node.kind in ("Conv2d", "ConvTranspose2d"):
        tile = tiles[_family(graph, node)]
        zeros = _up(fields["group_input_channels"] * fields["groups"] * 4 + EXTRA, LINE)
        return int(POINTER * kernel_h * kernel_w * _up(height * width, tile.rows) + zeros)
    step = min(stride_w, kernel_w) if fields["dilation_width"] == 1 else kernel_w
    row = kernel_h * kernel_w + (width - 1) * step * kernel_h
    return int(POINTER * height * row)


#: Nodes whose output takes the place of an input that nobody else reads.
# fmt: off
_IN_PLACE = frozenset((
    "Add", "Subtract", "Multiply", "Div", "Minimum", "Maximum", "PReLU", "Sigmoid", "Clamp", "Floor",
    "Ceiling", "SquareRoot", "Hardswish", "LeakyReLU", "Negate", "Square", "ELU", "Abs",
    "ReciprocalSquareRoot", "Log", "Gelu", "Tanh", "Exp", "Sin", "Cos", "Copy", "Softmax", "StaticReshape",
    "Convert",
))
# fmt: on


@dataclass
class _Use:
    """Bytes in the workspace from one node to another, and where they begin."""

    size: int
    first: int
    last: int
    start: int = 0


def _workspace_bytes(graph: XnnpackGraph, tiles: Mapping[str, Tile], threads: int) -> int:
    """The workspace of a graph: XNNPACK places its tensors, the largest first, each in the smallest gap that fits."""
    sources = _inlined(graph)
    readers: dict[int, list[int]] = {}
    for index, node in enumerate(graph.nodes):
        if node.outputs[0] not in sources:
            for read in node.inputs:
                readers.setdefault(sources.get(read, read), []).append(index)
    uses: dict[int, _Use] = {}
    scratch: list[_Use] = []
    roots: dict[int, int] = {}
    for index, node in enumerate(graph.nodes):
        for value_id in node.outputs:
            value = graph.values[value_id]
            if value.external or value_id in sources:
                continue
            last = max(readers.get(value_id, [index]))
            root = _place_taken(graph, node, value_id, readers, uses, roots)
            if root is not None:
                roots[value_id] = root
                uses[root].last = max(uses[root].last, last)
                continue
            uses[value_id] = _Use(_tensor_bytes(value), index, last)
        if size := _node_scratch(graph, node, tiles, threads, sources):
            scratch.append(_Use(_up(size, LINE), index, index))
    size = _place([*uses.values(), *scratch])
    return size + 2 * EXTRA if size else 0


def _inlined(graph: XnnpackGraph) -> dict[int, int]:
    """Activations that a matrix multiplication quantizes by itself, a few rows at a time, and what from."""
    quantized = {
        node.outputs[0]: node.inputs[0]
        for node in graph.nodes
        if node.kind == "Convert" and _dynamic(graph.values[node.outputs[0]])
    }
    others = {value for node in graph.nodes if node.kind != "FullyConnected" for value in node.inputs}
    return {value: source for value, source in quantized.items() if value not in others}


def _dynamic(value: Value) -> bool:
    return value.dtype in ("qdint8", "qpint8")


def _tensor_bytes(value: Value) -> int:
    size = _up(value.nbytes, LINE)
    if value.dtype == "qdint8":  # a zero point and a scale per row, and a few more for the kernels' last rows
        size += _up(8 * (value.count // value.shape[-1] + 10), LINE)
    return size


def _place_taken(
    graph: XnnpackGraph,
    node: Node,
    output: int,
    readers: Mapping[int, Sequence[int]],
    uses: Mapping[int, _Use],
    roots: Mapping[int, int],
) -> int | None:
    """The tensor whose place a node's output takes, if it takes one."""
    if node.kind not in _IN_PLACE or len(readers.get(output, ())) != 1:
        return None
    for value in node.inputs:
        root = roots.get(value, value)
        if root in uses and len(readers[value]) == 1 and graph.values[value].nbytes == graph.values[output].nbytes:
            return int(root)
    return None


def _node_scratch(
    graph: XnnpackGraph, node: Node, tiles: Mapping[str, Tile], threads: int, inlined: Mapping[int, int]
) -> int:
    """What a node asks for itself while it runs."""
    if node.kind == "FullyConnected" and node.inputs[0] in inlined:
        depth = graph.values[node.inputs[0]].shape[-1]
        return threads * _up(tiles[_family(graph, node)].rows * (depth + 8), LINE)
    if node.kind == "BatchMatrixMultiply":
        *batch, depth, columns = graph.values[node.inputs[1]].shape
        count = 1
        for size in batch:
            count *= size
        return int(count * _up(columns, tiles["f32"].columns) * (4 * depth + 4))
    return 0


def _place(uses: Sequence[_Use]) -> int:
    """Gives each its place, and the size of the whole."""
    placed: list[_Use] = []
    for use in sorted(uses, key=lambda use: -use.size):
        blocks = sorted((o.start, o.start + o.size) for o in placed if o.first <= use.last and use.first <= o.last)
        use.start = smallest_gap(blocks, use.size)
        placed.append(use)
    return max((use.start + use.size for use in placed), default=0)
