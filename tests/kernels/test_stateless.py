"""The operators with state as pure functions: what they give is what the operators in place leave behind."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgekit.kernels import ops, stateless
from edgekit.kernels.sea import SeaState, random_weights

HEADS, CAPACITY, SIZE, CELLS = 2, 24, 16, 8


def _caches(dtype: torch.dtype) -> list[Tensor]:
    caches = [torch.randn(HEADS, CAPACITY, SIZE).mul(20).to(dtype) for _ in "kv"]
    return caches + ([torch.rand(HEADS, CAPACITY) for _ in "kv"] if dtype == torch.int8 else [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int8])
@pytest.mark.parametrize("index", [torch.int64, torch.int32])
def test_kv_append(dtype: torch.dtype, index: torch.dtype) -> None:
    k, v = torch.randn(2, HEADS, 3, SIZE)
    caches = _caches(dtype)
    before, expected = [tensor.clone() for tensor in caches], [tensor.clone() for tensor in caches]
    ops.kv_append(k, v, 5, *expected)
    new = stateless.kv_append(k, v, torch.tensor(5, dtype=index), *caches)
    assert len(new) == len(caches)
    for found, wanted, given, original in zip(new, expected, caches, before, strict=True):
        assert torch.equal(found, wanted)
        assert torch.equal(given, original)


def test_attention() -> None:
    caches = _caches(torch.float32)
    q, scores, v_mean = torch.randn(HEADS, 3, SIZE), torch.randn(HEADS, 3, CELLS), torch.randn(HEADS, 3, SIZE)
    gates = torch.rand(HEADS, 3, 2)
    wanted = ops.sparse_topk_attention(q, *caches, scores, gates, v_mean, 7, 4)
    assert torch.equal(stateless.sparse_topk_attention(q, *caches, scores, gates, v_mean, torch.tensor(7), 4), wanted)


def test_estimate() -> None:
    weights = random_weights(HEADS, SIZE, 8, CELLS, CAPACITY)
    kept = state = SeaState.zeros(HEADS, SIZE, 8, CELLS // 4)
    inplace = SeaState(*(tensor.clone() for tensor in state))
    for start, rows in ((0, 3), (3, 1), (4, 6)):
        q, k, v = torch.randn(3, HEADS, rows, SIZE)
        wanted = ops.sea_estimate(q, k, v, start, weights, inplace)
        *found, state = stateless.sea_estimate(q, k, v, torch.tensor(start), weights, state)
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(state, inplace, strict=True))
    assert not any(tensor.any() for tensor in kept)


def test_where_the_first_row_goes_is_one_whole_number() -> None:
    rows, caches = torch.randn(HEADS, 1, SIZE), _caches(torch.float32)
    with pytest.raises(RuntimeError, match=r"kv_append: start_pos is torch.float32 with shape \(\): give \(\) int64"):
        stateless.kv_append(rows, rows, torch.tensor(1.0), *caches)
    with pytest.raises(RuntimeError, match="kv_append: start_pos is 24"):
        stateless.kv_append(rows, rows, torch.tensor(24), *caches)


class _Step(nn.Module):
    """Two operators after one another, the state of one in the other's hands."""

    def forward(self, k: Tensor, start_pos: Tensor, gates: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        new = stateless.kv_append(k, k, start_pos, *caches)
        out = stateless.sparse_topk_attention(
            k, new[0], new[1], k[..., :CELLS].contiguous(), gates, k, start_pos, 4, *new[2:]
        )
        return (out, *new)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
def test_a_program_hands_the_state_on(dtype: torch.dtype) -> None:
    inputs = (torch.randn(HEADS, 1, SIZE), torch.tensor(3), torch.rand(HEADS, 1, 2), *_caches(dtype))
    program = torch.export.export(_Step().eval(), inputs).run_decompositions()
    assert not program.graph_signature.buffers_to_mutate
    assert not program.graph_signature.user_inputs_to_mutate
    for found, wanted in zip(program.module()(*inputs), _Step()(*inputs), strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("name", ["kv_append", "sparse_topk_attention", "sea_estimate"])
def test_opcheck(name: str) -> None:
    caches, start = _caches(torch.float32), torch.tensor(2)
    q, k, v = torch.randn(3, HEADS, 2, SIZE)
    arguments = {
        "kv_append": (k, v, start, *_caches(torch.int8)),
        "sparse_topk_attention": (q, *caches, torch.randn(HEADS, 2, CELLS), torch.rand(HEADS, 2, 2), v, start, 4),
        "sea_estimate": (
            q, k, v, start, list(random_weights(HEADS, SIZE, 8, CELLS, CAPACITY)), *SeaState.zeros(HEADS, SIZE, 8, 2)
        ),
    }[name]  # fmt: skip
    torch.library.opcheck(getattr(torch.ops.edgekit, name).tensors, arguments)
