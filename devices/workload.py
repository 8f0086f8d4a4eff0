"""What a bundle's programs have to do: operators in the order in which they run, with what they compute and move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: What an operator does, where it is none of edgekit's own; those are kinds by their names.
KINDS = (
    "convolution",
    "linear",
    "elementwise",
    "movement",
    "quantize",
    "resize",
    "pooling",
    "normalization",
    "softmax",
    "gather",
    "other",
)
OWN_KINDS = ("conv2d", "csr_matmul", "sea_estimate", "sparse_topk", "sparse_topk_attention", "kv_append")


@dataclass(frozen=True)
class Operation:
    """One operator of a program.

    Attributes:
        name: the format's: "aten::add.out", "FullyConnected" of XNNPACK's, "CONV_2D", "MatMul".
        kind: one of `KINDS` or `OWN_KINDS`.
        form: what tells fast ones of a kind from slow ones: "3x3", "rows", "curve"; "" where nothing does.
        place: "delegate XnnpackBackend", "edgekit" or "runtime".
        precision: it is computed in: "fp32", "fp16" or "int8".
        flops: operations; a multiply-accumulate is two, what has none counts one for each number that it makes.
        weight_bytes: constants that it reads, as the file has them.
        read_bytes: of other tensors; of a table or a cache, what it takes from there.
        written_bytes: likewise.
        index: its place in its method's list, or in its delegate's.
        call: the place of the delegate that it is in, None outside of delegates.
        node: its name, where the format has one.
        aliases: other names that a runtime may give it: its output's, and those of operators that it may take in.
    """

    name: str
    kind: str
    form: str
    place: str
    precision: str
    flops: int
    weight_bytes: int
    read_bytes: int
    written_bytes: int
    index: int
    call: int | None = None
    node: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return self.weight_bytes + self.read_bytes + self.written_bytes


@dataclass(frozen=True)
class Case:
    """A call of a method as it is timed.

    Attributes:
        name: "prompt" and "token" of a language model; else the method's.
        method: that is called.
        rows: of the dynamic first dimension of its inputs, None where nothing is dynamic.
        items, unit: what one call does: 1 frame, 128 tokens.
        operations: in the order in which they run.
    """

    name: str
    method: str
    rows: int | None
    items: int
    unit: str
    operations: tuple[Operation, ...]

    @property
    def flops(self) -> int:
        return sum(operation.flops for operation in self.operations)

    @property
    def weight_bytes(self) -> int:
        return sum(operation.weight_bytes for operation in self.operations)


@dataclass(frozen=True)
class Workload:
    """A bundle's cases.

    Attributes:
        bundle: its name.
        format: "pte", "tflite" or "onnx".
        cases: by name.
        gpu: whether the program's first provider is a GPU, whose time a CPU's roofline says nothing of.
    """

    bundle: str
    format: str
    cases: Mapping[str, Case]
    gpu: bool = False
