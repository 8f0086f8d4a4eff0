"""A program that calls every operator and keeps a KV cache, in ExecuTorch's Python runtime; against eager torch."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.kernels import ops, reference

from .test_csr_matmul import matrix

HEADS, ROWS, SIZE, CELLS, CAPACITY = 2, 2, 16, 32, 48
#: Where each call's rows go: the cache fills up, then its end is written again. Later calls read what earlier wrote.
POSITIONS = (0, 2, 4, 6, 40, 46, 46)
OPERATORS = {
    f"edgekit::{name}" for name in ("conv2d", "csr_matmul", "kv_append", "sparse_topk_attention", "sparse_topk")
}


class EveryOperator(nn.Module):
    """An attention layer over an image's rows. `meaning` is where its operators come from."""

    def __init__(self, meaning: ModuleType) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.meaning = meaning
        self.weight = nn.Parameter(torch.randn(3 * HEADS, 3, 3, 3, generator=generator) / 5)
        self.bias = nn.Parameter(torch.randn(3 * HEADS, generator=generator))
        self.gate = nn.Linear(SIZE, 2)  # XNNPACK's part
        with torch.no_grad():
            self.gate.weight.copy_(torch.randn(2, SIZE, generator=generator) / 4)
            self.gate.bias.zero_()
        for name, tensor in zip(("crow", "col", "val"), matrix(CELLS, SIZE, 0.4, generator), strict=True):
            self.register_buffer(name, tensor)
        for name in ("k_cache", "v_cache"):
            self.register_buffer(name, torch.zeros(HEADS, CAPACITY, SIZE))

    def forward(self, image: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        start_pos = position.item()
        maps = self.meaning.conv2d(image, self.weight, self.bias, (1, 1), 0.1)
        q, k, v = (part.clone() for part in maps.view(3, HEADS, ROWS, SIZE).unbind(0))
        columns = q.transpose(1, 2).contiguous()
        scores = self.meaning.csr_matmul(self.crow, self.col, self.val, columns).transpose(1, 2).contiguous()
        gates = self.gate(v).sigmoid()
        length = self.meaning.kv_append(k, v, start_pos, self.k_cache, self.v_cache)
        mixed = self.meaning.sparse_topk_attention(
            q / SIZE**0.5, self.k_cache, self.v_cache, scores, gates, v, start_pos, 4
        )
        values, indices = self.meaning.sparse_topk(mixed, 5, True)
        return mixed, values, indices, length


def calls() -> list[tuple[Tensor, Tensor]]:
    """The inputs of several calls in a row."""
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(1, 3, ROWS, SIZE, generator=generator), torch.tensor(position)) for position in POSITIONS]


def check_answers(answers: list[list[np.ndarray]]) -> None:
    """Compares each call's answers with those of eager torch, which has a cache of its own."""
    module = EveryOperator(reference)
    with torch.no_grad():
        for inputs, found in zip(calls(), answers, strict=True):
            expected = [output.numpy() for output in module(*inputs)]
            for array, wanted in zip(found, expected, strict=True):
                assert array.dtype == wanted.dtype
                assert array.shape == wanted.shape
                np.testing.assert_allclose(array, wanted, atol=1e-5, rtol=1e-5)


def test_in_python(isa, as_program):
    program = as_program(EveryOperator(ops), *calls()[0])
    assert program.operators >= OPERATORS
    check_answers([program(*inputs) for inputs in calls()])


def test_the_cache_is_read_again():
    """That the answers depend on earlier calls: without them a later one is another."""
    module, fresh = EveryOperator(reference), EveryOperator(reference)
    with torch.no_grad():
        answers = [module(*inputs)[0] for inputs in calls()]
        assert not torch.allclose(fresh(*calls()[3])[0], answers[3], atol=1e-2)
