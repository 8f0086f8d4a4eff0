"""The gradient of sparse_topk_attention against that of attention with a mask of all tokens."""

import pytest
import torch

from edgekit.kernels import attention_gradient, ops, reference
from edgekit.kernels.attention_gradient import attention_gradient as gradient_of


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks of rows, the last of them short."""
    monkeypatch.setattr(attention_gradient, "BLOCK_NUMBERS", 700)


def make_case(start_pos, rows=20, heads=3, size=8, cells=16, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    tokens = start_pos + rows
    return {
        "q": normal(heads, rows, size),
        "k": normal(heads, tokens, size),
        "v": normal(heads, tokens, size),
        "gates": torch.rand(heads, rows, 2, generator=generator, dtype=torch.float64).to(dtype),
        "v_mean": normal(heads, rows, size),
    }, normal(heads, rows, cells).float()


def dense(q, k, v, gates, v_mean, mask):
    """Attention with a mask, by torch's own operators."""
    weights = (q @ k.transpose(1, 2)).masked_fill(~mask, -1e30).softmax(-1) * mask.any(-1, keepdim=True)
    g0, g1 = gates[..., :1], gates[..., 1:]
    return g1 * g0 * (weights @ v) + (1 - g1) * v_mean


@pytest.mark.parametrize("k_budget", [1, 5, 100])
@pytest.mark.parametrize("start_pos", [0, 30])
def test_in_double_is_that_of_dense_attention(start_pos, k_budget):
    tensors, scores = make_case(start_pos)
    mask = reference.chosen_tokens(scores, start_pos, k_budget)
    if k_budget == 1:
        assert (~mask.any(-1)).any()  # rows and heads without tokens are among them
    inputs = {name: tensor.requires_grad_() for name, tensor in tensors.items()}
    out = dense(**inputs, mask=mask)
    slope = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = torch.autograd.grad((out * slope).sum(), list(inputs.values()))
    plain = {name: tensor.detach() for name, tensor in tensors.items()}
    found = gradient_of(slope, **plain, scores=scores, start_pos=start_pos, k_budget=k_budget)
    for gradient, wanted in zip(found, (expected[place] for place in (0, 1, 2, 3, 4)), strict=True):
        torch.testing.assert_close(gradient, wanted, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("kept", [torch.float32, torch.float16, torch.int8])
def test_operator_has_the_references_gradient(kept):
    tensors, scores = make_case(30, dtype=torch.float32)
    room, scales = torch.zeros(3, 60, 8), [torch.zeros(3, 60) for _ in range(2)] if kept == torch.int8 else []
    caches = [room.to(kept), room.to(kept).clone()]
    reference.kv_append(tensors["k"], tensors["v"], 0, *caches, *scales)
    floats = [] if kept == torch.int8 else caches
    inputs = [tensor.requires_grad_() for tensor in (tensors["q"], tensors["gates"], tensors["v_mean"], *floats)]
    scores.requires_grad_()
    slope = torch.randn(3, 20, 8, generator=torch.Generator().manual_seed(2))
    gradients = []
    for attend in (ops.sparse_topk_attention, reference.sparse_topk_attention):
        out = attend(tensors["q"], *caches, scores, tensors["gates"], tensors["v_mean"], 30, 5, *scales)
        gradients.append(torch.autograd.grad((out * slope).sum(), [*inputs, scores], allow_unused=True))
    *found, of_scores = gradients[0]
    assert of_scores is None
    tolerance = 1e-2 if kept == torch.float16 else 1e-5
    for gradient, wanted in zip(found, gradients[1], strict=False):
        torch.testing.assert_close(gradient, wanted, atol=tolerance, rtol=tolerance)
    for cache in floats:
        assert cache.shape == (3, 60, 8)


def test_nothing_of_all_rows_and_tokens_is_kept():
    """What the graph holds for the gradient are the operator's own arguments."""
    tensors, scores = make_case(0, rows=400, dtype=torch.float32)
    for tensor in tensors.values():
        tensor.requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        out = ops.sparse_topk_attention(
            *(tensors[name] for name in "qkv"), scores, tensors["gates"], tensors["v_mean"], 0, 5
        )
    assert {tensor.data_ptr() for tensor in kept} <= {tensor.data_ptr() for tensor in (*tensors.values(), scores)}
    out.sum().backward()
    assert all(tensor.grad is not None for tensor in tensors.values())


def test_operator_is_one_to_torch():
    tensors, scores = make_case(7, rows=5, dtype=torch.float32)
    given = [tensors[name].requires_grad_() for name in "qkv"]
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    given += [scores, tensors["gates"].requires_grad_(), tensors["v_mean"].requires_grad_(), 7, 3]
    torch.library.opcheck(torch.ops.edgekit.sparse_topk_attention.default, tuple(given), test_utils=tests)
