"""What operators do, by their names: in program files, and in what runtimes tell of a run."""

from __future__ import annotations

import re

#: ExecuTorch's operators by a part of their names; the first that fits, elementwise where none does.
_EXECUTORCH = (
    ("_local_scalar_dense", "other"),
    ("sym_", "other"),
    ("executorch_prim::et_view", "movement"),
    ("executorch_prim", "other"),
    ("embedding", "gather"),
    ("index_select", "gather"),
    ("gather", "gather"),
    ("index.", "gather"),
    ("index_put", "gather"),
    ("quantize", "quantize"),
    ("choose_qparams", "quantize"),
    ("conv", "convolution"),
    ("addmm", "linear"),
    ("bmm", "linear"),
    ("linear", "linear"),
    ("::mm", "linear"),
    ("sdpa", "linear"),
    ("softmax", "softmax"),
    ("layer_norm", "normalization"),
    ("group_norm", "normalization"),
    ("batch_norm", "normalization"),
    ("upsample", "resize"),
    ("_pool", "pooling"),
    ("mean", "pooling"),
    ("sum", "pooling"),
    ("amax", "pooling"),
    ("argmax", "pooling"),
    *((part, "movement") for part in ("view", "permute", "transpose", "select", "slice", "squeeze", "expand", "clone")),
    *((part, "movement") for part in ("copy", "cat", "full", "arange", "pad", "repeat", "split", "pixel_shuffle")),
)
#: Nodes of XNNPACK's graphs, and operators as its runtime calls them, by the beginning of the name without spaces.
_XNNPACK = (
    ("conv2d", "convolution"),
    ("convtranspose2d", "convolution"),
    ("depthwiseconv2d", "convolution"),
    ("convolution", "convolution"),
    ("deconvolution", "convolution"),
    ("fullyconnected", "linear"),
    ("dynamicfullyconnected", "linear"),
    ("batchmatrixmultiply", "linear"),
    ("scaleddotproductattention", "linear"),
    ("softmax", "softmax"),
    ("convert", "quantize"),
    ("staticresizebilinear", "resize"),
    ("resizebilinear", "resize"),
    ("globalavgpooling", "pooling"),
    ("globalaveragepooling", "pooling"),
    ("globalsumpooling", "pooling"),
    ("avgpooling", "pooling"),
    ("averagepooling", "pooling"),
    ("maxpooling", "pooling"),
    ("argmaxpooling", "pooling"),
    ("staticmean", "pooling"),
    ("mean", "pooling"),
    ("sum", "pooling"),
    ("reduce", "pooling"),
    ("statictranspose", "movement"),
    ("transpose", "movement"),
    ("staticreshape", "movement"),
    ("copy", "movement"),
    ("staticconstantpad", "movement"),
    ("constantpad", "movement"),
    ("staticslice", "movement"),
    ("slice", "movement"),
    ("concatenate", "movement"),
    ("evensplit", "movement"),
    ("depthtospace", "movement"),
    ("spacetodepth", "movement"),
    ("unpooling", "movement"),
    ("packlh", "movement"),
)
_TFLITE = {
    "CONV_2D": "convolution",
    "DEPTHWISE_CONV_2D": "convolution",
    "TRANSPOSE_CONV": "convolution",
    "FULLY_CONNECTED": "linear",
    "BATCH_MATMUL": "linear",
    "QUANTIZE": "quantize",
    "DEQUANTIZE": "quantize",
    "SOFTMAX": "softmax",
    "LOG_SOFTMAX": "softmax",
    "RESIZE_BILINEAR": "resize",
    "RESIZE_NEAREST_NEIGHBOR": "resize",
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ALL", "REDUCE_ANY"), "pooling"),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN", "AVERAGE_POOL_2D", "MAX_POOL_2D"), "pooling"),
    "L2_NORMALIZATION": "normalization",
    **dict.fromkeys(("EMBEDDING_LOOKUP", "GATHER", "GATHER_ND", "SCATTER_ND"), "gather"),
    "TOPK_V2": "sparse_topk",
    "CUMSUM": "other",
    "SHAPE": "other",
    **dict.fromkeys(("RANGE", "FILL", "CAST", "TILE", "PACK", "UNPACK", "SPLIT", "SPLIT_V", "PAD"), "movement"),
    **dict.fromkeys(("PADV2", "MIRROR_PAD", "SLICE", "STRIDED_SLICE", "CONCATENATION", "TRANSPOSE"), "movement"),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "BROADCAST_TO", "DEPTH_TO_SPACE"), "movement"),
    **dict.fromkeys(("SPACE_TO_DEPTH", "DYNAMIC_UPDATE_SLICE"), "movement"),
}
#: ONNX's operators, and those that ONNX Runtime puts in their places.
_ONNX = {
    **dict.fromkeys(
        ("Conv", "ConvTranspose", "FusedConv", "NhwcFusedConv", "QLinearConv", "ConvInteger"), "convolution"
    ),
    **dict.fromkeys(("MatMul", "Gemm", "FusedMatMul", "FusedGemm", "QLinearMatMul", "MatMulInteger"), "linear"),
    **dict.fromkeys(("DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QGemm", "MatMulNBits"), "linear"),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"), "quantize"),
    **dict.fromkeys(("Softmax", "LogSoftmax", "QLinearSoftmax"), "softmax"),
    **dict.fromkeys(("LayerNormalization", "InstanceNormalization", "GroupNormalization"), "normalization"),
    **dict.fromkeys(("BatchNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization"), "normalization"),
    **dict.fromkeys(("Resize", "Upsample"), "resize"),
    **dict.fromkeys(("GlobalAveragePool", "AveragePool", "MaxPool", "ArgMax", "QLinearGlobalAveragePool"), "pooling"),
    **dict.fromkeys(("Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND"), "gather"),
    "TopK": "sparse_topk",
    **dict.fromkeys(("CumSum", "Shape", "Constant"), "other"),
    **dict.fromkeys(("ConstantOfShape", "Range", "Cast", "Expand", "Tile", "Concat", "Split", "Slice"), "movement"),
    **dict.fromkeys(("Pad", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"), "movement"),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth", "ReorderInput", "ReorderOutput"), "movement"),
}
#: One thing under several names: in graphs, and as runtimes call what they made of these.
_FAMILIES = {
    "conv2d": "convolution",
    "depthwiseconv2d": "convolution",
    "fusedconv": "convolution",
    "nhwcfusedconv": "convolution",
    "qlinearconv": "convolution",
    "conv": "convolution",
    "convtranspose2d": "deconvolution",
    "transposeconv": "deconvolution",
    "statictranspose": "transpose",
    "staticslice": "slice",
    "stridedslice": "slice",
    "staticreshape": "copy",
    "reshape": "copy",
    "squeeze": "copy",
    "expanddims": "copy",
    "staticconstantpad": "constantpad",
    "pad": "constantpad",
    "logistic": "sigmoid",
    "mul": "multiply",
    "sub": "subtract",
    "div": "divide",
    "batchmatmul": "batchmatrixmultiply",
    "quantize": "convert",
    "dequantize": "convert",
    "rsqrt": "reciprocalsquareroot",
    "globalavgpooling2d": "mean",
    "globalaveragepooling": "mean",
    "staticmean": "mean",
    "reducemean": "mean",
    "leakyrelu": "leakyrelu",
    "relu": "clamp",
    "concatenation": "concatenate",
    "fusedmatmul": "matmul",
    "gemm": "matmul",
    "qlinearmatmul": "matmul",
    "qgemm": "matmul",
}


def executorch_kind(name: str) -> str:
    """Of an ExecuTorch operator: "aten::add.out" is elementwise."""
    if name.startswith("edgekit::"):
        return name.removeprefix("edgekit::").split(".")[0]
    return next((kind for part, kind in _EXECUTORCH if part in name), "elementwise")


def xnnpack_kind(name: str) -> str:
    """Of a node of XNNPACK's graphs ("FullyConnected"), or of its runtime ("Fully Connected (NC, F32) GEMM")."""
    word = _letters(name.split("(")[0])
    return next((kind for beginning, kind in _XNNPACK if word.startswith(beginning)), "elementwise")


def tflite_kind(name: str) -> str:
    """Of an operator: "CONV_2D" is a convolution, "edgekit.sparse_topk?k=8" our own."""
    if name.startswith("edgekit."):
        return name.removeprefix("edgekit.").split("?")[0]
    return _TFLITE.get(name, "elementwise")


def onnx_kind(name: str) -> str:
    """Of an operator of ONNX or of ONNX Runtime: "Conv" and "FusedConv" are convolutions."""
    return "pooling" if name.startswith("Reduce") else _ONNX.get(name, "elementwise")


def event_kind(name: str, inside: bool) -> str:
    """Of what a runtime says it ran; `inside` a delegate, which is XNNPACK."""
    if inside:
        return xnnpack_kind(name)
    if "::" in name:
        return executorch_kind(name)
    if name.startswith("edgekit."):
        return tflite_kind(name)
    if name in _TFLITE or re.fullmatch(r"[A-Z][A-Z0-9_]+", name):
        return tflite_kind(name)
    return onnx_kind(name)


def family(name: str) -> str:
    """A word that is the same for a graph's operator and for what runtimes call it: "CONV_2D", "Conv2d" and
    "Convolution (NHWC, F32) IGEMM" are "convolution"."""
    word = _letters(re.sub(r"^[a-z_]+::|[.?].*$", "", name.split("(")[0]))
    word = re.sub(r"(nc|nd|nhwc|nchw)$", "", word) or word
    return _FAMILIES.get(word, word)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
