"""What `.tflite` interpreters cannot run, or run wrong without a word: refused before a bundle is made.

Found by running: LiteRT 2.3 resizes by nearest neighbours wrong where the ratio is no whole number, gives zeros as the
places of a maximum, and forgets buffers that a graph changes; tflite-runtime 2.14 lacks what came later. Which recipes
that one computes wrong, `formats.refused` knows.
"""

from __future__ import annotations

import torch
from torch.fx import Node

from edgekit.errors import EdgekitError
from edgekit.export.capture import Graphs
from edgekit.export.formats import OLD_INTERPRETER, ProgramFormat
from edgekit.export.tflite import TFLiteProgram

#: The newest versions that tflite-runtime 2.14 has of its operators, where that is more than 1 (TensorFlow's
#: lite/core/kernels/register.cc of 2023).
_NEWEST_VERSION = {
    name: version
    for version, names in {
        2: "DEPTH_TO_SPACE DIV EXP FAKE_QUANT FLOOR_MOD GELU GREATER L2_NORMALIZATION LEAKY_RELU LESS_EQUAL LOG "
        "LOG_SOFTMAX RANGE REDUCE_PROD RSQRT SELECT_V2 SIGN SPACE_TO_DEPTH SPLIT_V SQUARED_DIFFERENCE SQUEEZE SUM "
        "WHERE",
        3: "ARG_MAX ARG_MIN AVERAGE_POOL_2D BROADCAST_TO EMBEDDING_LOOKUP FLOOR_DIV GREATER_EQUAL LESS LOGISTIC "
        "MAX_POOL_2D MEAN MIRROR_PAD NOT_EQUAL QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 REVERSE_V2 RNN SOFTMAX "
        "SPARSE_TO_DENSE TANH TILE TOPK_V2",
        4: "BATCH_MATMUL BATCH_TO_SPACE_ND CONCATENATION EQUAL FILL GATHER_ND LSTM MAXIMUM MINIMUM PACK PAD PADV2 "
        "RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SELECT SPACE_TO_BATCH_ND SPLIT SVDF TRANSPOSE_CONV "
        "UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK",
        5: "ABS ADD CAST DEQUANTIZE SUB",
        6: "GATHER SLICE TRANSPOSE",
        7: "CONV_2D DEPTHWISE_CONV_2D MUL",
        8: "STRIDED_SLICE",
        10: "FULLY_CONNECTED",
    }.items()
    for name in names.split()
}
#: What LiteRT 2.3 has of StableHLO, which litert-torch falls back to; of the rest its files know the names only.
_STABLEHLO = {
    f"STABLEHLO_{name}"
    for name in (
        *("ADD", "CASE", "CBRT", "COMPOSITE", "GATHER", "MAXIMUM", "MINIMUM", "MULTIPLY", "PAD", "REDUCE_WINDOW"),
        *("RNG_BIT_GENERATOR", "SCATTER", "SHIFT_LEFT"),
    )
}
_PLACES = {torch.ops.aten.max_pool2d_with_indices.default, torch.ops.aten.max_pool3d_with_indices.default}
_NEAREST = "upsample_nearest"


def check_graphs(graphs: Graphs) -> None:
    """Refuses what every `.tflite` interpreter gets wrong.

    Raises:
        EdgekitError: names the operator and the node.
    """
    for method, graph in graphs.items():
        for node in graph.graph.nodes:
            if node.op == "call_function" and (reason := _wrong(node)) is not None:
                raise EdgekitError(
                    f"a .tflite program cannot have {node.target} (node '{node.name}' of method {method!r}): {reason}."
                )


def check_program(program: TFLiteProgram, form: ProgramFormat) -> None:
    """Refuses what the target's interpreter has not.

    Raises:
        EdgekitError: names the operator.
    """
    if form.operators == "builtin" and program.custom_operators:
        raise EdgekitError(
            f"--operators builtin: the model calls {', '.join(program.custom_operators)}, which an unmodified "
            f"interpreter has not: leave the option out, or rewrite the model without."
        )
    old = form.interpreter == OLD_INTERPRETER
    runtime = "tflite-runtime 2.14" if old else "LiteRT"
    for graph in program.subgraphs:
        for call in graph.operators:
            unknown = call.name.startswith("STABLEHLO_") and (old or call.name not in _STABLEHLO)
            if not call.custom and (unknown or (old and call.version > _NEWEST_VERSION.get(call.name, 1))):
                raise EdgekitError(
                    f"{runtime} has no {call.name} of version {call.version} (node '{call.node}' of method "
                    f"{graph.signature!r}): rewrite the model without{', or leave --interpreter out' if old else ''}."
                )


def _wrong(node: Node) -> str | None:
    """Why a node's answer would be wrong."""
    if node.target in _PLACES:
        used = any(user.args[1] == 1 for user in node.users if len(user.args) > 1)
        return "LiteRT gives zeros for the places of the maxima; compute them another way" if used else None
    if _NEAREST in str(node.target):
        before, after = node.args[0].meta["val"].shape[2:], node.meta["val"].shape[2:]  # type: ignore[union-attr]
        if any(large % small for small, large in zip(before, after, strict=True)):
            sizes = f"{_size(before)} to {_size(after)}"
            return f"LiteRT takes the wrong neighbours from {sizes}; resize by a whole factor, or bilinearly"
    return None


def _size(shape: torch.Size) -> str:
    return "x".join(map(str, shape))
