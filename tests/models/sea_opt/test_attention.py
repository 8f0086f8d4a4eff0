"""SEA's attention: what the published description promises of it, in every form it is computed in."""

import pytest
import torch
from torch.nn import functional

from edgekit.kernels import reference, selection
from edgekit.kernels.sea import token_cells
from edgekit.models.sea_opt.attention import DenseAttention, masked_attention
from edgekit.models.sea_opt.config import OPTConfig

from . import naive

#: heads, size, cells, k_budget, rows
SHAPES = [(4, 16, 32, 8, 96), (12, 64, 64, 16, 200), (3, 12, 4, 2, 50)]


def hidden_of(heads, size, rows, seed=1):
    return torch.randn(1, rows, heads * size, generator=torch.Generator().manual_seed(seed))


def state_of(attention, capacity):
    from edgekit.models.sea_opt.state import LayerState

    size = attention.q_proj.out_features // attention.heads
    caches = [torch.full((attention.heads, capacity, size), torch.nan) for _ in range(2)]
    estimator = attention.estimator
    return LayerState(*caches, estimator.folded(), estimator.new_state(), [])


def set_gates(attention, g0, g1):
    """Gates that do not depend on the input; 0 and 1 exactly."""
    scaler = attention.estimator.attention_predictor_dec_scaler[0]
    scaler.weight.zero_()
    scaler.bias.copy_(torch.tensor([200.0 if gate else -200.0 for gate in (g0, g1)]))


def by_steps(attention, hidden, chunks):
    """Outputs (1, T, D) and every row's scores (H, T, K) when a sequence comes in chunks."""
    state, outputs, start = state_of(attention, hidden.shape[1]), [], 0
    for rows in hidden[0].split(chunks):
        outputs.append(attention.step(rows, state, start))
        start += len(rows)
    return torch.cat(outputs)[None], torch.cat([traced.scores for traced in state.trace], 1)


@pytest.mark.parametrize(("heads", "size", "cells", "k_budget", "rows"), SHAPES)
def test_is_the_published_one(build_attention, heads, size, cells, k_budget, rows):
    attention = build_attention(heads, size, cells, k_budget, rows)
    hidden = hidden_of(heads, size, rows)
    found = attention(hidden)
    v = attention.v_proj(hidden).view(rows, heads, size).transpose(0, 1)
    parts = naive.estimate(attention.estimator.state_dict(), found.q[0], found.k[0], v)
    # The choice of cells is discrete: it is compared where it is made, from the same scores.
    context = naive.attention(found.q[0], found.k[0], v, found.scores[0], *parts[1:], k_budget)
    torch.testing.assert_close(found.context[0], context, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.scores[0], parts[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chunk", [1, 7, 64])
@pytest.mark.parametrize(("heads", "size", "cells", "k_budget", "rows"), SHAPES)
def test_chunks_and_steps_are_the_whole(build_attention, heads, size, cells, k_budget, rows, chunk):
    attention = build_attention(heads, size, cells, k_budget, rows)
    hidden = hidden_of(heads, size, rows)
    whole = attention(hidden)
    outputs, scores = by_steps(attention, hidden, chunk)
    torch.testing.assert_close(scores, whole.scores[0], atol=1e-5, rtol=1e-5)
    ours, theirs = (selection.chosen_cells(both[None], k_budget)[0] for both in (scores, whole.scores[0]))
    same = (ours == theirs).all(-1).all(0)
    assert (~same).sum() <= 0.001 * rows
    for row in (~same).nonzero().flatten().tolist():
        ranked = whole.scores[0, :, row].log_softmax(-1).flatten().sort(descending=True).values
        count = selection.cell_counts(heads, cells, k_budget, torch.tensor([row + 1])).item()
        assert ranked[count - 1] - ranked[count] < 1e-6
    torch.testing.assert_close(outputs[:, same], whole.output[:, same], atol=1e-5, rtol=1e-5)


def test_with_budget_for_all_it_is_dense(build_attention):
    attention = build_attention(4, 16, 32, 96, 96)
    set_gates(attention, 1, 1)
    dense = DenseAttention(OPTConfig(10, 64, 8, 1, 4, 96, 64)).requires_grad_(False)
    dense.load_state_dict(attention.state_dict(), strict=False)
    hidden = hidden_of(4, 16, 96)
    expected = dense(hidden).output
    torch.testing.assert_close(attention(hidden).output, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(by_steps(attention, hidden, 5)[0], expected, atol=1e-5, rtol=1e-5)


def test_without_its_share_it_is_the_running_mean(build_attention):
    attention = build_attention(4, 16, 32, 8, 96)
    set_gates(attention, 1, 0)
    hidden = hidden_of(4, 16, 96)
    means = attention.v_proj(hidden).cumsum(1) / torch.arange(1, 97)[:, None]
    expected = attention.out_proj(means)
    torch.testing.assert_close(attention(hidden).output, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(by_steps(attention, hidden, 5)[0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("canary", [1, 40, 95])
def test_no_row_sees_the_future(build_attention, canary):
    attention = build_attention(4, 16, 32, 8, 96)
    hidden = hidden_of(4, 16, 96)
    expected = attention(hidden).output
    hidden[:, canary] = 3e5
    changed = attention(hidden).output
    torch.testing.assert_close(changed[:, :canary], expected[:, :canary], atol=0, rtol=0)
    assert not torch.equal(changed[:, canary], expected[:, canary])


@pytest.mark.parametrize("cells", [32, 64])
def test_rows_attend_to_their_budget(cells):
    heads, rows, k_budget = 12, 512, 64
    scores = torch.randn(1, heads, rows, cells, generator=torch.Generator().manual_seed(1))
    chosen = selection.chosen_cells(scores, k_budget)
    seen = torch.arange(1, rows + 1)
    cell = token_cells(cells, seen, rows).expand(1, heads, -1, -1)
    tokens = (chosen.gather(3, cell) & (torch.arange(rows) < seen[:, None])).sum(3).double()
    per_head = tokens.mean(1)[0]
    assert torch.equal(per_head[:k_budget], seen[:k_budget].double())
    assert abs(per_head[k_budget:].mean() - k_budget) < 1
    assert torch.equal(chosen[0], chosen_by_sorting(scores[0], k_budget))


def chosen_by_sorting(scores, k_budget):
    """What another device than the CPU computes."""
    heads, rows, cells = scores.shape
    rows_of_all = scores.log_softmax(-1).transpose(0, 1).flatten(1)
    ranks = rows_of_all.sort(dim=1, descending=True, stable=True).indices.argsort(1)
    counts = torch.tensor([reference.cell_count(heads, cells, row + 1, k_budget) for row in range(rows)])
    return (ranks < counts[:, None]).view(rows, heads, cells).transpose(0, 1)


def test_equal_scores_rank_by_head_and_cell():
    chosen = selection.chosen_cells(torch.zeros(1, 2, 20, 4), 1)
    # The last row sees 20 tokens: it chooses max(1, round(8 / 20)) cells.
    assert chosen[0, :, -1].flatten().tolist() == [True] + [False] * 7


def test_counts_of_cells():
    seen = torch.tensor([64, 65, 128, 256, 512, 1024, 2048])
    counts = selection.cell_counts(12, 256, 64, seen)
    assert counts.tolist() == [3072, 3025, 1536, 768, 384, 192, 96]
    every = torch.arange(1, 3000)
    for heads, cells, k_budget in ((12, 256, 64), (4, 32, 1), (1, 4, 3)):
        expected = [reference.cell_count(heads, cells, tokens, k_budget) for tokens in every.tolist()]
        assert selection.cell_counts(heads, cells, k_budget, every).tolist() == expected


@pytest.mark.parametrize("cells", [4, 64, 256])
def test_cells_of_tokens(cells):
    seen = torch.arange(1, 1025)
    found = token_cells(cells, seen, 1024)
    published = ((torch.arange(1024).double() + 0.5) / seen[:, None] * cells - 1e-4).floor().long().clamp(0, cells - 1)
    assert torch.equal(found, published)
    bounds = selection.cell_bounds(cells, seen)
    for row in (0, 2, 99, 1023):
        widths = bounds[row].diff()
        assert torch.equal(found[row, : row + 1].bincount(minlength=cells), widths)


def test_gradients_are_those_of_dense_masks(build_attention):
    generator = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(2, 3, 150, 8, generator=generator, requires_grad=True) for _ in range(3))
    scores = torch.randn(2, 3, 150, 16, generator=generator)
    weight = torch.randn(2, 3, 150, 8, generator=generator)
    found = masked_attention(q, k, v, selection.chosen_cells(scores, 4))
    gradients = torch.autograd.grad((found * weight).sum(), (q, k, v))
    mask = torch.stack([naive.alive(each, 4) for each in scores])
    bias = torch.zeros(mask.shape).masked_fill(~mask, -1e9)
    expected = functional.softmax(q @ k.transpose(2, 3) + bias, -1) * mask @ v
    wanted = torch.autograd.grad((expected * weight).sum(), (q, k, v))
    assert (~mask.any(-1)).any()  # rows and heads without tokens are among them
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for gradient, want in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, want, atol=1e-5, rtol=1e-5)
