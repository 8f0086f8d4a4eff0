"""What an operator computes and moves, from its operands: the same arithmetic for every format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from edgekit.devices.workload import Operation
from edgekit.kernels.sea import SeaWeights

Shape = tuple[int, ...]

#: Operations a number of operators without multiply-accumulates: those that are made, of pooling those that are read.
#: Norms take mean, variance, the difference, its scale and an affine map; softmax the largest, a difference, an
#: exponential, a sum and a quotient; a bilinear resize four products and their sum.
_PER_NUMBER = {
    "elementwise": 1,
    "quantize": 1,
    "pooling": 1,
    "normalization": 5,
    "softmax": 5,
    "resize": 8,
    "sparse_topk": 1,
}
#: Functions of one number that take many instructions, by a part of the operator's name.
_CURVES = ("sigmoid", "logistic", "tanh", "exp", "gelu", "elu", "erf", "log", "softplus", "hardswish", "silu", "sin")
_NO_CURVES = ("relu", "prelu", "logical")
#: Fewer channels than a vector has: kernels that work on whole vectors of them do mostly nothing.
_THIN = 4


@dataclass(frozen=True)
class Operand:
    """A tensor that an operator reads or writes.

    Attributes:
        shape: of it; where a size is dynamic, the largest.
        dtype: "fp32", "fp16", "int8", "int32" and the like.
        itemsize: bytes a number, a fraction for 4 bits.
        constant: whether the file has its content.
        count: numbers in it, of the call that is counted.
    """

    shape: tuple[int, ...]
    dtype: str
    itemsize: float
    constant: bool = False
    count: int = -1

    def __post_init__(self) -> None:
        if self.count < 0:
            object.__setattr__(self, "count", prod(self.shape))

    @property
    def nbytes(self) -> int:
        return int(-(-self.count * self.itemsize // 1))


@dataclass(frozen=True)
class Place:
    """Where an operator stands: see `Operation`."""

    name: str
    index: int
    place: str
    call: int | None = None
    node: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What is known of an operator beyond its operands: None where these say it."""

    macs: int | None = None
    form: str = ""
    precision: str | None = None
    weights: int | None = None
    read: int | None = None
    written: int | None = None


def operation(
    place: Place, kind: str, inputs: Sequence[Operand], outputs: Sequence[Operand], cost: Cost | None = None
) -> Operation:
    """An operator of a kind; what `cost` does not say is derived from its operands."""
    cost = cost or Cost()
    moving = [operand for operand in inputs if not operand.constant]
    if cost.macs is not None:
        flops = 2 * cost.macs
    else:
        numbers = sum(o.count for o in (moving if kind in ("pooling", "sparse_topk") else outputs[:1]))
        flops = _PER_NUMBER.get(kind, 0) * numbers
    weights, read, written = cost.weights, cost.read, cost.written
    return Operation(
        name=place.name,
        kind=kind,
        form=cost.form or form_of(kind, place.name),
        place=place.place,
        precision=cost.precision or precision_of(inputs, outputs),
        flops=flops,
        weight_bytes=sum(o.nbytes for o in inputs if o.constant) if weights is None else weights,
        read_bytes=sum(o.nbytes for o in moving) if read is None else read,
        written_bytes=sum(o.nbytes for o in outputs) if written is None else written,
        index=place.index,
        call=place.call,
        node=place.node,
        aliases=place.aliases,
    )


def form_of(kind: str, name: str) -> str:
    """What the name says of speed: "curve" for elementwise functions that take many instructions, "transpose"."""
    word = name.lower()
    if kind == "elementwise":
        curve = any(part in word for part in _CURVES) and not any(part in word for part in _NO_CURVES)
        return "curve" if curve else ""
    if kind == "movement":
        return "transpose" if "transpose" in word or "permute" in word else ""
    return ""


def precision_of(inputs: Sequence[Operand], outputs: Sequence[Operand]) -> str:
    """Of the first tensor of numbers that moves."""
    for operand in (*inputs, *outputs):
        if not operand.constant and operand.dtype in ("fp32", "fp16", "int8"):
            return operand.dtype
    return "fp32"


def linear(x: Operand, outputs: Sequence[Operand], inner: int) -> Cost:
    """A product of matrices: `inner` is the length that is summed over."""
    made = outputs[0]
    width = made.shape[-1] if made.shape else 1
    rows = made.count // max(width, 1)
    return Cost(macs=made.count * inner, form="row" if rows == 1 else "few rows" if rows < 8 else "rows")


def convolution(outputs: Sequence[Operand], kernel: Sequence[int], channels: int, groups: int) -> Cost:
    """A convolution.

    Args:
        outputs: its own.
        kernel: sizes of it.
        channels: of the input, in each group.
        groups: of it.
    """
    return Cost(macs=outputs[0].count * prod(kernel) * channels, form=_kernel_form(kernel, channels, groups))


def transposed_convolution(x: Operand, kernel: Sequence[int], made: int, groups: int) -> Cost:
    """Each number of the input meets the kernel for each of the `made` channels of its group's output."""
    return Cost(macs=x.count * prod(kernel) * made, form=_kernel_form(kernel, made, groups) + " transposed")


def _kernel_form(kernel: Sequence[int], channels: int, groups: int) -> str:
    sizes = "x".join(map(str, kernel))
    if groups > 1 and channels == 1:
        return sizes + " depthwise"
    return sizes + (" thin" if channels < _THIN else "")


def conv2d(x: Operand, weight: Operand, outputs: Sequence[Operand]) -> Cost:
    """edgekit's convolution. Multiply-accumulates are the plain sum's, though it may take fewer (FFT, Winograd)."""
    made, channels, *kernel = weight.shape
    form = "x".join(map(str, kernel)) + (" thin" if min(made, channels) < _THIN else "")
    return Cost(outputs[0].count * channels * prod(kernel), form, "fp32")


def csr_matmul(entries: Operand, x: Operand, outputs: Sequence[Operand]) -> Cost:
    """Each entry (nnz of them) meets a row of x in every matrix of the batch."""
    rows = max(x.shape[-2] * x.shape[-1], 1)
    return Cost(entries.count * x.shape[-1] * (x.count // rows), "", "fp32")


def kv_append(k: Operand, v: Operand, cache: Operand) -> Cost:
    """Rows that are written into caches; with int8 a scale each beside them."""
    scales = 4 * (k.count + v.count) // k.shape[-1] if cache.dtype == "int8" else 0
    written = int((k.count + v.count) * cache.itemsize) + scales
    return Cost(0, "row" if _rows(k) == 1 else "rows", "fp32", 0, k.nbytes + v.nbytes, written)


def sparse_topk_attention(
    q: Operand, cache: Operand, others: Sequence[Operand], outputs: Sequence[Operand], start: int, budget: int
) -> Cost:
    """Each head and row gathers keys and values of `budget` tokens on average, of fewer where it does not see as many.

    Args:
        q: (H, T, d).
        cache: (H, T_max, d): of keys; values have the same.
        others: what else it reads: scores, gates, means.
        outputs: its own.
        start: the token at which the first row stands.
        budget: tokens a head and row.
    """
    heads, _, size = q.shape
    rows = _rows(q)
    seen = sum(min(start + row + 1, budget, cache.shape[1]) for row in range(rows)) * heads
    token = 2 * (size * cache.itemsize + (4 if cache.dtype == "int8" else 0))
    read = q.nbytes + sum(o.nbytes for o in others) + int(seen * token)
    form = "row" if rows == 1 else "rows"
    return Cost(2 * seen * size, form, "fp32", 0, read, sum(o.nbytes for o in outputs))


def sea_estimate_macs(rows: int, heads: int, size: int, weights: SeaWeights, shape: Callable[[Any], Shape]) -> int:
    """A head and row: features of q and k, their sums with [position ; v], what the row takes of them, the encoder, the
    gates, the decoder and the map to cells. A row: two convolutions of 3 x 3 over all channels, and the mix to heads.

    Args:
        rows, heads, size: T, H and d of the queries (H, T, d).
        weights: of whatever stands for a tensor there.
        shape: of that.
    """

    def numbers(*tensors: Any) -> int:
        return sum(prod(shape(tensor)) for tensor in tensors)

    features, width = shape(weights.projection)[0], shape(weights.row_norm_weight)[0]
    dense = numbers(weights.encoder_weight, weights.gates_weight, weights.decoder_weight, weights.map_weight)
    mixed = width * numbers(weights.conv1_weight, weights.conv2_weight, weights.mix_weight)
    return rows * (heads * (6 * size * features + dense) + mixed)


def sea_estimate(
    q: Operand,
    others: Sequence[Operand],
    weights: Sequence[Operand],
    state: Sequence[Operand],
    outputs: Sequence[Operand],
) -> Cost:
    """The estimator's state machine: see `sea_estimate_macs`.

    Args:
        q: (H, T, d).
        others: k and v.
        weights: by `edgekit.kernels.sea.SeaWeights`.
        state: that it reads and writes as a whole.
        outputs: scores, gates and means.
    """
    heads, _, size = q.shape
    rows = _rows(q)
    held = sum(o.nbytes for o in state)
    named: Any = SeaWeights(*weights)  # type: ignore[arg-type]  # what stands for its tensors
    positions = named.positions
    constants = sum(w.nbytes for w in weights) - positions.nbytes + int(rows * positions.shape[1] * positions.itemsize)
    return Cost(
        macs=sea_estimate_macs(rows, heads, size, named, lambda operand: operand.shape),
        form="row" if rows == 1 else "rows",
        precision="fp32",
        weights=constants,
        read=q.nbytes + sum(o.nbytes for o in others) + held,
        written=sum(o.nbytes for o in outputs) + held,
    )


def _rows(x: Operand) -> int:
    """T of (H, T, d), of this call."""
    return x.count // max(x.shape[0] * x.shape[-1], 1)
