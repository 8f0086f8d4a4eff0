"""The losses against the published formulas on whole T x T matrices, values and gradients."""

import pytest
import torch
from torch.nn import functional

from edgekit.kernels.sea import token_cells
from edgekit.models.sea_opt import losses
from edgekit.models.sea_opt.attention import Attended
from edgekit.models.sea_opt.config import SEAConfig

ROWS = 150


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks, the last of them short."""
    monkeypatch.setattr(losses, "ROWS", 64)
    monkeypatch.setattr(losses, "TOKENS", 50)


def causal(scores):
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, torch.finfo(scores.dtype).min / 2)


def divergence_and_error(scores, wanted):
    """0.1 KL + MSE of probabilities (N, H, T, T), as published."""
    rows = scores.shape[-1]
    logarithms, target = scores.log_softmax(-1).reshape(-1, rows), wanted.softmax(-1).reshape(-1, rows)
    divergence = functional.kl_div(logarithms, target, reduction="batchmean")
    return 0.1 * divergence + functional.mse_loss(logarithms.exp(), target)


def published_attention_losses(student, teacher):
    wanted = causal(teacher.q @ teacher.k.transpose(2, 3))
    cells = token_cells(student.scores.shape[-1], torch.arange(1, ROWS + 1), ROWS)
    resized = student.scores.gather(3, cells.expand(*student.scores.shape[:2], -1, -1))
    estimated = divergence_and_error(causal(resized), wanted)
    own = divergence_and_error(causal(student.q @ student.k.transpose(2, 3)), wanted)
    return estimated + own + functional.mse_loss(student.context, teacher.context)


def attended(seed, dtype=torch.float64, cells=16):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(2, 3, ROWS, 8)] * 3 + [(2, 3, ROWS, cells)]
    q, k, context, scores = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)
    return Attended(torch.zeros(0), q, k, context, scores)


@pytest.mark.parametrize("cells", [4, 16, 256])
def test_attention_losses_are_the_published_ones(cells):
    student, teacher = attended(1, cells=cells), attended(2)
    inputs = (student.q, student.k, student.context, student.scores)
    for tensor in inputs:
        tensor.requires_grad_()
    found, expected = losses.attention_losses(student, teacher), published_attention_losses(student, teacher)
    torch.testing.assert_close(found, expected, atol=0, rtol=1e-7)
    gradients = [torch.autograd.grad(3 * loss, inputs) for loss in (found, expected)]
    for gradient, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, wanted, atol=1e-12, rtol=1e-7)
    single = losses.attention_losses(attended(1, torch.float32, cells), attended(2, torch.float32))
    torch.testing.assert_close(single.double(), expected.detach(), atol=0, rtol=1e-5)


def test_head_losses_are_the_published_ones():
    generator = torch.Generator().manual_seed(1)
    hidden, teacher_hidden = (torch.randn(2, 70, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    weight, teacher_weight = (torch.randn(11, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    targets = torch.randint(0, 11, (2, 70), generator=generator)
    inputs = (hidden.requires_grad_(), weight.requires_grad_())
    total, task, answers = losses.head_losses(hidden, weight, targets, teacher_hidden, teacher_weight, 0.1, 0.2)
    logits, teacher_logits = (hidden @ weight.T).flatten(0, 1), (teacher_hidden @ teacher_weight.T).flatten(0, 1)
    entropy = functional.cross_entropy(logits, targets.flatten())
    divergence = functional.kl_div(logits.log_softmax(-1), teacher_logits.softmax(-1), reduction="batchmean")
    torch.testing.assert_close(task, entropy.detach())
    torch.testing.assert_close(answers, divergence.detach())
    expected = 0.1 * entropy + 0.2 * divergence
    torch.testing.assert_close(total, expected)
    for gradient, wanted in zip(
        torch.autograd.grad(total, inputs), torch.autograd.grad(expected, inputs, retain_graph=True), strict=True
    ):
        torch.testing.assert_close(gradient, wanted)
    alone, task, answers = losses.head_losses(hidden, weight, targets, None, None, 1.0, 0.0)
    torch.testing.assert_close(alone, entropy)
    (gradient,) = torch.autograd.grad(alone, (weight,))
    torch.testing.assert_close(gradient, torch.autograd.grad(entropy, (weight,))[0])


@pytest.mark.parametrize("sea", [True, False])
def test_all_terms_together(build, sea):
    shape = SEAConfig(cells=16, k_budget=8, features=5, positions=96)
    student = build(sea=shape if sea else None, seed=1).requires_grad_(True)
    teacher = build(sea=None, seed=2)
    tokens = torch.randint(0, 97, (2, 81), generator=torch.Generator().manual_seed(1))
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    found = losses.distillation_losses(student, teacher, inputs, targets)

    states, attention = [[], []], []
    traces = [[], []]
    for model, state, trace in zip((student, teacher), states, traces, strict=True):
        hidden = model.decoder.embed(inputs)
        for layer in model.decoder.layers:
            state.append(hidden)
            hidden, each = layer(hidden)
            trace.append(each)
        state.append(model.decoder.last(hidden))
    if sea:
        attention = [losses.attention_losses(*pair) for pair in zip(*traces, strict=True)]
    hidden = torch.stack([functional.mse_loss(*pair) for pair in zip(*states, strict=True)]).mean()
    assert len(states[0]) == 3
    logits, teacher_logits = student(inputs).flatten(0, 1), teacher(inputs).flatten(0, 1)
    entropy = functional.cross_entropy(logits, targets.flatten())
    divergence = functional.kl_div(logits.log_softmax(-1), teacher_logits.softmax(-1), reduction="batchmean")
    total = 0.1 * entropy + 5 * hidden + 0.2 * divergence + (torch.stack(attention).mean() if sea else 0)
    torch.testing.assert_close(found.total, total)
    assert (found.attention > 0) == sea

    gradients = torch.autograd.grad(total, list(student.parameters()))
    for recompute in (False, True):
        again = losses.distillation_losses(student, teacher, inputs, targets, recompute)
        assert torch.equal(again.total, found.total)
        found_again = torch.autograd.grad(again.total, list(student.parameters()))
        for gradient, wanted in zip(found_again, gradients, strict=True):
            torch.testing.assert_close(gradient, wanted, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("recompute", [True, False])
def test_a_teachers_loss_is_the_cross_entropy(build, recompute):
    module = build(sea=None).requires_grad_(True)
    tokens = torch.randint(0, 97, (2, 81), generator=torch.Generator().manual_seed(1))
    found = losses.task_loss(module, tokens[:, :-1], tokens[:, 1:], recompute).total
    expected = functional.cross_entropy(module(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
    torch.testing.assert_close(found, expected)
    pairs = zip(*(torch.autograd.grad(loss, list(module.parameters())) for loss in (found, expected)), strict=True)
    for gradient, wanted in pairs:
        torch.testing.assert_close(gradient, wanted, atol=1e-6, rtol=1e-4)
