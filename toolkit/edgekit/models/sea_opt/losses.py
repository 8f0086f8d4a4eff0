"""SEA's training losses (Lee et al. 2023, arXiv:2310.01777, section 3 and appendix): attention layer by layer, hidden
states, answers.

Nothing of T x T is held but blocks of rows. The losses of the T x T probabilities that a row of K scores stands for are
computed from K numbers, and those of the student's own scores take their gradient on the way; both are exact. The
authors' random shift of the map from cells to tokens is left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from edgekit.kernels.selection import cell_bounds, rows_seen

from .attention import ROWS, Attended
from .opt import OPT, DecoderLayer

#: Weights of Kullback-Leibler divergences of attention, next to mean squared errors; of hidden states, answers, task.
ATTENTION_KL, HIDDEN, ANSWERS, TASK = 0.1, 5.0, 0.2, 0.1
#: Tokens whose logits are held at once.
TOKENS = 512


class Losses(NamedTuple):
    """The terms of the training loss, scalar tensors.

    Attributes:
        task: mean cross-entropy of the next tokens.
        answers: divergence of the next-token probabilities from the teacher's, per token.
        hidden: mean squared error of hidden states, mean over the layers and the embedding.
        attention: sum of the three losses of attention, mean over layers; 0 for dense attention.
        total: what is minimised.
    """

    task: Tensor
    answers: Tensor
    hidden: Tensor
    attention: Tensor
    total: Tensor


def task_loss(module: OPT, tokens: Tensor, targets: Tensor, recompute: bool = False) -> Losses:
    """Next tokens alone, to train a teacher; tokens and targets (N, T) int64."""
    decoder = module.decoder
    hidden = decoder.embed(tokens)
    for layer in decoder.layers:
        hidden = _recomputed(_plain_layer, layer, hidden) if recompute else _plain_layer(layer, hidden)
    weight = decoder.embed_tokens.weight
    total, task, answers = head_losses(decoder.last(hidden), weight, targets, None, None, 1.0, 0.0)
    zero = task.new_zeros(())
    return Losses(task, answers, zero, zero, total)


def distillation_losses(student: OPT, teacher: OPT, tokens: Tensor, targets: Tensor, recompute: bool = False) -> Losses:
    """All terms, layer by layer beside the teacher of the same shape.

    Args:
        student: dense or SEA; gets gradients.
        teacher: dense, in eval mode.
        tokens, targets: (N, T) int64.
        recompute: keep a layer's hidden states only and compute it again for the gradient.
    """
    mine, theirs = student.decoder, teacher.decoder
    with torch.no_grad():
        wanted = theirs.embed(tokens)
    hidden = mine.embed(tokens)
    errors, attention = [functional.mse_loss(hidden, wanted)], []
    for layer, teacher_layer in zip(mine.layers, theirs.layers, strict=True):
        with torch.no_grad():
            wanted, example = teacher_layer(wanted)
        arguments = (layer, hidden, example)
        hidden, loss = _recomputed(_distilled_layer, *arguments) if recompute else _distilled_layer(*arguments)
        attention.append(loss)
        errors.append(functional.mse_loss(hidden, wanted))
    with torch.no_grad():
        wanted = theirs.last(wanted)
    last = mine.last(hidden)
    errors[-1] = functional.mse_loss(last, wanted)  # as the head sees them
    hidden_loss, attention_loss = torch.stack(errors).mean(), torch.stack(attention).mean()
    head, task, answers = head_losses(
        last, mine.embed_tokens.weight, targets, wanted, theirs.embed_tokens.weight, TASK, ANSWERS
    )
    return Losses(task, answers, hidden_loss, attention_loss, head + HIDDEN * hidden_loss + attention_loss)


def attention_losses(student: Attended, teacher: Attended) -> Tensor:
    """The estimated probabilities, the student's own dense ones, and the contexts, against the teacher's.

    Args:
        student: of SEA's attention.
        teacher: of dense attention of the same shape.
    """
    probabilities: Tensor = _Probabilities.apply(student.scores, student.q, student.k, teacher.q, teacher.k)
    return probabilities + functional.mse_loss(student.context, teacher.context)


def head_losses(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    teacher_hidden: Tensor | None,
    teacher_weight: Tensor | None,
    task: float,
    answers: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """task * cross-entropy + answers * KL(teacher || student), means over tokens, with few logits held.

    Args:
        hidden: (N, T, e): what the head sees.
        weight: (V, e): the head.
        targets: (N, T) int64.
        teacher_hidden, teacher_weight: of the teacher, without gradient; None for the cross-entropy alone.
        task, answers: weights.

    Returns:
        The weighted sum; cross-entropy and divergence, both without gradient.
    """
    teacher = (None, None) if teacher_hidden is None else (teacher_hidden.flatten(0, 1), teacher_weight)
    total, terms = _Head.apply(hidden.flatten(0, 1), weight, targets.flatten(), *teacher, task, answers)
    return total, terms[0], terms[1]


def _plain_layer(layer: DecoderLayer, hidden: Tensor) -> Tensor:
    return layer(hidden)[0]


def _distilled_layer(layer: DecoderLayer, hidden: Tensor, teacher: Attended) -> tuple[Tensor, Tensor]:
    hidden, attended = layer(hidden)
    dense = attended.scores is None
    return hidden, hidden.new_zeros(()) if dense else attention_losses(attended, teacher)


def _recomputed(function: Any, *arguments: Any) -> Any:
    return checkpoint(function, *arguments, use_reentrant=False)


class _Probabilities(torch.autograd.Function):
    """0.1 KL(P || Q) + MSE(Q, P) of rows of T tokens in sight, means over rows and over rows and T, for two Q: the
    softmax of the cells' scores, taken by their tokens, and the student's own dense attention. P is the teacher's.

    Gradients of scores (N, H, T, K), q and k (N, H, T, d) are computed on the way.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, q: Tensor, k: Tensor, teacher_q: Tensor, teacher_k: Tensor) -> Tensor:
        rows = q.shape[2]
        divergence_weight = ATTENTION_KL / (q.shape[0] * q.shape[1] * rows)
        error_weight = divergence_weight / ATTENTION_KL / rows
        gradients = torch.empty_like(scores), torch.empty_like(q), torch.zeros_like(k)
        bounds = cell_bounds(scores.shape[-1], rows_seen(0, rows, q.device))
        divergence, error = q.new_zeros(2, dtype=torch.float64)
        for first in range(0, rows, ROWS):
            end = min(first + ROWS, rows)
            block = slice(first, end)
            wanted, own = (_causal_scores(*heads, first, end) for heads in ((teacher_q, teacher_k), (q, k)))
            target, found = wanted.softmax(-1), own.softmax(-1)
            certainty = _dot(target, wanted) - _normaliser(wanted, target).sum()
            divergence += certainty - _dot(target, own) + _normaliser(own, found).sum()
            squares = _dot(target, target)

            # One number for all tokens of a cell: its probability, that of its tokens together, and the teacher's.
            widths = bounds[block].diff().to(scores.dtype)
            cells = _summed(target, bounds[block])
            weighted = scores[:, :, block] + widths.log()
            together = weighted.softmax(-1)
            estimated = torch.where(widths > 0, together / widths, 0)
            divergence += certainty - _dot(cells, scores[:, :, block]) + _normaliser(weighted, together).sum()
            error += _dot(together, estimated) - 2 * _dot(cells, estimated) + squares
            difference = together - cells
            gradients[0][:, :, block] = _slope(difference, estimated, together, divergence_weight, error_weight)

            difference = found - target
            error += _dot(difference, difference)
            slope = _slope(difference, found, found, divergence_weight, error_weight)
            gradients[1][:, :, block] = slope @ k[:, :, :end]
            gradients[2][:, :, :end] += slope.transpose(2, 3) @ q[:, :, block]
        ctx.save_for_backward(*gradients)
        return (divergence_weight * divergence + error_weight * error).to(q.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradients[0] * gradient for gradient in ctx.saved_tensors), None, None


def _slope(difference: Tensor, each: Tensor, together: Tensor, divergence: float, error: float) -> Tensor:
    """The gradient of a row's scores; `difference` is of the cells' probabilities, and changed.

    Args:
        difference, each, together: (N, H, B, n): of a cell the probability less the teacher's, that of one of its
            tokens, and that of all of them.
        divergence, error: weights.
    """
    slope = difference * each
    slope.addcmul_(together, slope.sum(-1, keepdim=True), value=-1)
    return difference.mul_(divergence).add_(slope, alpha=2 * error)


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return torch.dot(first.flatten(), second.flatten()).double()


def _causal_scores(q: Tensor, k: Tensor, first: int, end: int) -> Tensor:
    """Scores (N, H, end - first, end) of a block of rows; the lowest number where a token is not in sight."""
    scores = q[:, :, first:end] @ k[:, :, :end].transpose(2, 3)
    future = torch.ones(end - first, end - first, dtype=torch.bool, device=q.device).triu(1)
    scores[..., first:].masked_fill_(future, torch.finfo(scores.dtype).min)
    return scores


def _normaliser(scores: Tensor, probabilities: Tensor) -> Tensor:
    """The logarithm of the sum of exponentials of each row, by way of its largest score."""
    return scores.amax(-1) - probabilities.amax(-1).log()


def _summed(probabilities: Tensor, bounds: Tensor) -> Tensor:
    """Probabilities (N, H, B, tokens) summed over cells that begin at bounds (B, K + 1): (N, H, B, K)."""
    places = (bounds - 1).clamp(min=0).expand(*probabilities.shape[:2], -1, -1)
    return (probabilities.cumsum(-1).gather(-1, places) * (bounds > 0)).diff(dim=-1)


class _Head(torch.autograd.Function):
    """See `head_losses`: rows (M, e); gradients are computed on the way."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        teacher_hidden: Tensor | None,
        teacher_weight: Tensor | None,
        task: float,
        answers: float,
    ) -> tuple[Tensor, Tensor]:
        count = len(hidden)
        hidden_gradient, weight_gradient = torch.empty_like(hidden), torch.zeros_like(weight)
        sums = hidden.new_zeros(2, dtype=torch.float64)
        for first in range(0, count, TOKENS):
            block = slice(first, first + TOKENS)
            logits, goal = hidden[block] @ weight.T, targets[block, None]
            found = logits.softmax(-1)
            normaliser = _normaliser(logits, found).sum()
            sums[0] += normaliser - logits.gather(1, goal).sum()
            if teacher_hidden is None or teacher_weight is None:
                slope = found.mul_(task)
            else:
                wanted = teacher_hidden[block] @ teacher_weight.T
                target = wanted.softmax(-1)
                sums[1] += normaliser - _normaliser(wanted, target).sum() + _dot(target, wanted.sub_(logits))
                slope = found.mul_(task + answers).sub_(target, alpha=answers)
            slope.scatter_add_(1, goal, torch.full_like(goal, -task, dtype=slope.dtype))
            hidden_gradient[block] = slope @ weight
            weight_gradient.addmm_(slope.T, hidden[block])
        ctx.save_for_backward(hidden_gradient.div_(count), weight_gradient.div_(count))
        terms = (sums / count).to(hidden.dtype)
        ctx.mark_non_differentiable(terms)
        return task * terms[0] + answers * terms[1], terms

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        return gradients[0] * hidden_gradient, gradients[0] * weight_gradient, None, None, None, None, None
