"""Workloads of bundles against torch's counter (two per multiply-accumulate), the manifest's count, and by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgekit.bundle import Bundle
from edgekit.devices.workload import KINDS, OWN_KINDS, Workload
from edgekit.errors import EdgekitError
from edgekit.export.module import export_module
from edgekit.export.operator_cost import Operand, conv2d, csr_matmul, kv_append, sea_estimate, sparse_topk_attention
from edgekit.export.workload import read_workload
from edgekit.kernels.sea import SeaState, random_weights

#: What has multiply-accumulates.
PRODUCTS = ("convolution", "linear", "conv2d", "sea_estimate", "sparse_topk_attention", "csr_matmul")


class Net(nn.Module):
    """Convolutions with a stride, with groups and transposed, an attention of 16 places, a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.down = nn.Conv2d(4, 6, 4, stride=4)
        self.query = nn.Linear(6, 6)
        self.last = nn.Linear(6, 5)

    def forward(self, x):
        x = torch.relu(self.up(torch.sigmoid(self.grouped(self.first(x)))))
        x = self.down(x).flatten(2).transpose(1, 2)
        weights = torch.softmax(torch.bmm(self.query(x), x.transpose(1, 2)), dim=-1)
        return self.last(torch.bmm(weights, x))


def products(workload: Workload, case: str) -> int:
    return sum(operation.flops for operation in workload.cases[case].operations if operation.kind in PRODUCTS)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["pte", "tflite", "onnx"])
def test_flops_equal_torchs(format: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, inputs = Net().eval(), (torch.rand(1, 3, 16, 16),)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    bundle = export_module(
        module, inputs, device="linux-x86_64", format=format, recipe="fp32", output_dir=tmp_path, native=False
    )
    workload = read_workload(bundle)
    (case,) = workload.cases
    assert products(workload, case) == counter.get_total_flops()
    assert workload.format == format
    operations = workload.cases[case].operations
    assert {operation.kind for operation in operations} <= {*KINDS, *OWN_KINDS}
    assert {operation.precision for operation in operations if operation.kind in PRODUCTS} == {"fp32"}
    # All parameters are read, each once: 4 bytes a number, beside sizes and the like.
    parameters = 4 * sum(parameter.numel() for parameter in module.parameters())
    assert parameters <= workload.cases[case].weight_bytes <= parameters + 300
    (first,) = (operation for operation in operations if operation.flops == 2 * 8 * 8 * 8 * 27)
    # litert-torch pads before a convolution of stride 2.
    side = 18 if format == "tflite" else 16
    assert first.read_bytes == 4 * 3 * side * side
    assert first.written_bytes == 4 * 8 * 8 * 8


@pytest.mark.slow
def test_bundles_of_the_zoo_equal_their_manifests(int8_bundle: Path, plus_bundle: Path) -> None:
    for path in (int8_bundle, plus_bundle):
        bundle = Bundle.open(path)
        workload = read_workload(bundle)
        for name, counted in bundle.manifest["programs"][0]["delegation"].items():
            assert products(workload, name) == 2 * counted["macs"]
    precisions = {o.precision for o in read_workload(Bundle.open(int8_bundle)).cases["forward"].operations}
    assert precisions == {"fp32", "int8"}
    # The frame of 48x64 is one item.
    (case,) = read_workload(Bundle.open(plus_bundle)).cases.values()
    assert (case.items, case.unit, case.rows) == (1, "frame", None)


@pytest.mark.slow
def test_a_texts_prompt_and_token(text_bundle: Path) -> None:
    """2 layers, width 64, 80 inside, 4 heads of 16, 300 tokens, chunks of 16, k = 8."""
    cases = read_workload(Bundle.open(text_bundle)).cases
    assert list(cases) == ["prompt", "token"]
    assert [(case.rows, case.items, case.unit) for case in cases.values()] == [(16, 16, "token"), (1, 1, "token")]

    def flops(case: str, kind: str) -> int:
        return sum(operation.flops for operation in cases[case].operations if operation.kind == kind)

    # Of each layer: queries, keys, values and output (64 x 64), and two layers of 64 x 80; then the logits of one row.
    layer = 4 * 64 * 64 + 2 * 64 * 80
    assert flops("prompt", "linear") == 2 * (16 * 2 * layer + 300 * 64)
    assert flops("token", "linear") == 2 * (2 * layer + 300 * 64)
    # Rows of the first chunk see 1 to 16 tokens, and attend to 8 at most; the next token to 8.
    seen = sum(min(row + 1, 8) for row in range(16))
    assert flops("prompt", "sparse_topk_attention") == 2 * 2 * (4 * seen * 2 * 16)
    assert flops("token", "sparse_topk_attention") == 2 * 2 * (4 * 8 * 2 * 16)
    assert flops("prompt", "sea_estimate") == 16 * flops("token", "sea_estimate") > 0
    # The table of 300 x 64 is not read as a whole.
    (tokens, *_) = (operation for operation in cases["token"].operations if operation.kind == "gather")
    assert tokens.weight_bytes == 4 * 64


@pytest.mark.slow
def test_a_damaged_program(int8_bundle: Path, resealed) -> None:
    broken = resealed(int8_bundle, lambda folder, fields: (folder / "program.pte").write_bytes(b"nothing"))
    with pytest.raises(EdgekitError, match="cannot be read"):
        read_workload(Bundle.open(broken))


def operand(*shape: int, dtype: str = "fp32", size: int = 4, constant: bool = False) -> Operand:
    return Operand(shape, dtype, size, constant)


def test_attention_gathers_what_it_chooses() -> None:
    # 2 heads of 8, 3 rows from token 4 on: rows see 5, 6 and 7 tokens, and take 6 at most.
    q, cache = operand(2, 3, 8), operand(2, 100, 8, dtype="fp16", size=2)
    others = [operand(2, 3, 5), operand(2, 3, 2), operand(2, 3, 8)]
    cost = sparse_topk_attention(q, cache, others, [operand(2, 3, 8)], start=4, budget=6)
    seen = 2 * (5 + 6 + 6)
    assert cost.macs == seen * 2 * 8
    # Keys and values of 8 numbers, 2 bytes each; q, scores, gates and means.
    assert cost.read == seen * 2 * 8 * 2 + 4 * 2 * 3 * (8 + 5 + 2 + 8)
    assert cost.written == 4 * 2 * 3 * 8
    # int8 has a scale of 4 bytes with each row of a key and of a value.
    narrow = sparse_topk_attention(q, operand(2, 100, 8, dtype="int8", size=1), others, [], start=4, budget=6)
    assert narrow.read == seen * 2 * (8 + 4) + 4 * 2 * 3 * (8 + 5 + 2 + 8)


def test_a_cache_takes_rows() -> None:
    k = operand(2, 3, 8)
    cost = kv_append(k, k, operand(2, 100, 8, dtype="int8", size=1))
    # 2 x 3 rows of keys and of values: 8 bytes and a scale.
    assert (cost.macs, cost.read, cost.written) == (0, 2 * 4 * 48, 2 * 2 * 3 * (8 + 4))


def test_an_estimator_by_hand() -> None:
    heads, rows, size, features, cells = 2, 3, 8, 5, 16
    weights = random_weights(heads, size, features, cells, capacity=50)
    width, channels, taps = cells // 4, 2 * heads, weights.map_weight.shape[1]
    state = SeaState.zeros(heads, size, features, width)
    rows_of = operand(heads, rows, size)
    cost = sea_estimate(
        rows_of,
        [rows_of, rows_of],
        [operand(*weight.shape, size=weight.element_size(), constant=True) for weight in weights],
        [operand(*part.shape) for part in state],
        [operand(heads, rows, cells), operand(heads, rows, 2), rows_of],
    )
    head = (
        2 * features * size  # features of q and of k
        + 2 * features * 2 * size  # [position ; v] into the sums, and out of them for q
        + 2 * size * 3 * size  # encoder
        + 2 * 2 * size  # gates
        + 2 * width * 2 * size  # decoder
        + cells * taps  # from places to cells
    )
    row = 2 * width * channels * channels * 9 + width * heads * channels
    assert cost.macs == rows * (heads * head + row)
    held = sum(part.numel() * 4 for part in state)
    assert cost.read == 3 * 4 * heads * rows * size + held
    assert cost.written == 4 * heads * rows * (cells + 2 + size) + held
    # Of the 50 positions three are read.
    everything = sum(weight.numel() * weight.element_size() for weight in weights)
    assert cost.weights == everything - 4 * 47 * size


def test_convolution_and_sparse_product() -> None:
    x, weight, made = operand(1, 3, 10, 10), operand(8, 3, 5, 5, constant=True), [operand(1, 8, 6, 6)]
    assert conv2d(x, weight, made).macs == 8 * 6 * 6 * 3 * 25
    assert conv2d(x, weight, made).form == "5x5 thin"
    # 7 entries times 4 columns, in 2 matrices.
    assert csr_matmul(operand(7), operand(2, 9, 4), [operand(2, 6, 4)]).macs == 7 * 4 * 2
