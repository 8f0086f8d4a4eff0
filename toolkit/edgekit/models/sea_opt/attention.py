"""OPT's causal self-attention, dense and SEA's: over whole sequences, and over the next rows of a state."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from edgekit.kernels import ops, sea_attention
from edgekit.kernels.sea import token_cells
from edgekit.kernels.selection import chosen_cells, rows_seen

from .config import OPTConfig, SEAConfig
from .estimator import Estimate, SEAEstimator
from .state import LayerState, Traced

#: Rows whose scores of all tokens are held at once.
ROWS = 128


class Attended(NamedTuple):
    """What attention did.

    Attributes:
        output: (N, T, D) after the output projection.
        q, k: (N, H, T, d), q scaled.
        context: (N, H, T, d) before the output projection.
        scores: the estimator's (N, H, T, K), before softmax; None for dense attention.
    """

    output: Tensor
    q: Tensor
    k: Tensor
    context: Tensor
    scores: Tensor | None


class DenseAttention(nn.Module):
    """Softmax attention to all tokens in sight; hidden states (N, T, D) float32."""

    def __init__(self, config: OPTConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (
            nn.Linear(config.hidden_size, config.hidden_size) for _ in range(4)
        )

    def forward(self, hidden: Tensor) -> Attended:
        """All rows of sequences, from their beginning."""
        q, k, v = self._project(hidden)
        context, scores = self._attend(q, k, v)
        return Attended(self._merge(context), q, k, context, scores)

    def step(self, hidden: Tensor, state: LayerState, start_pos: int) -> Tensor:
        """The next rows (T, D) of one sequence; changes the state."""
        q, k, v = (heads[0] for heads in self._project(hidden[None]))
        ops.kv_append(k, v, start_pos, state.k_cache, state.v_cache, state.k_scale, state.v_scale)
        return self._merge(self._attend_next(q, k, v, state, start_pos)[None])[0]

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor | None]:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0), None

    def _attend_next(self, q: Tensor, k: Tensor, v: Tensor, state: LayerState, start_pos: int) -> Tensor:
        end = start_pos + q.shape[1]
        in_sight = torch.arange(end, device=q.device) < rows_seen(start_pos, q.shape[1], q.device)[:, None]
        keys, values = state.k_cache[:, :end], state.v_cache[:, :end]
        return functional.scaled_dot_product_attention(q, keys, values, attn_mask=in_sight, scale=1.0)

    def _project(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q (scaled), k and v, each (N, H, T, d), contiguous: blocks of their rows are multiplied many times."""
        q, k, v = (
            layer(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2).contiguous()
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        return q * q.shape[-1] ** -0.5, k, v

    def _merge(self, context: Tensor) -> Tensor:
        output: Tensor = self.out_proj(context.transpose(1, 2).flatten(2))
        return output


class SEAAttention(DenseAttention):
    """Attention to the tokens that the estimator chooses, mixed with the running mean of v."""

    def __init__(self, config: OPTConfig, sea: SEAConfig) -> None:
        super().__init__(config)
        self.k_budget = sea.k_budget
        estimator = SEAEstimator(sea, config.num_attention_heads, config.head_size)
        self.perlin_self_attention = nn.ModuleDict({"attention": estimator})

    @property
    def estimator(self) -> SEAEstimator:
        estimator: SEAEstimator = self.perlin_self_attention["attention"]  # type: ignore[assignment]
        return estimator

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor | None]:
        estimate = self.estimator(q, k, v)
        if by_operators(q.device):
            return chosen_attention(q, k, v, estimate, self.k_budget), estimate.scores
        chosen = chosen_cells(estimate.scores, self.k_budget)
        return mixed(masked_attention(q, k, v, chosen), estimate), estimate.scores

    def step(self, hidden: Tensor, state: LayerState, start_pos: int) -> Tensor:
        """See `DenseAttention.step`; what is captured for a device, or traced, is three operators."""
        if state.trace is not None or not by_operators(hidden.device):
            return super().step(hidden, state, start_pos)
        assert state.weights is not None
        q, k, v = (heads[0] for heads in self._project(hidden[None]))
        cache = [
            tensor for tensor in (state.k_cache, state.v_cache, state.k_scale, state.v_scale) if tensor is not None
        ]
        context = sea_attention(q, k, v, state.weights, self.k_budget, start_pos, cache, state.estimator)
        return self._merge(context[None])[0]

    def _attend_next(self, q: Tensor, k: Tensor, v: Tensor, state: LayerState, start_pos: int) -> Tensor:
        assert state.weights is not None
        assert state.estimator is not None
        scores, gates, v_mean = ops.sea_estimate(q, k, v, start_pos, state.weights, state.estimator)
        if state.trace is not None:
            state.trace.append(Traced(q, k, scores))
        caches, scales = (state.k_cache, state.v_cache), (state.k_scale, state.v_scale)
        return ops.sparse_topk_attention(q, *caches, scores, gates, v_mean, start_pos, self.k_budget, *scales)


def by_operators(device: torch.device) -> bool:
    """Whether whole sequences go through edgekit's operators, with gradients: elsewhere than on a CPU, where blocks of
    masked scores are the eager reference that programs are compared with."""
    return device.type != "cpu"


def chosen_attention(q: Tensor, k: Tensor, v: Tensor, estimate: Estimate, k_budget: int) -> Tensor:
    """`mixed` attention to the tokens that the estimate chooses, by the operator: no mask of tokens is made.

    Args:
        q, k, v: (N, H, T, d), q scaled.
        estimate: of the same rows.
        k_budget: tokens a head and row, on average.

    Returns:
        (N, H, T, d).
    """
    scores, gates, v_mean = (part.contiguous() for part in estimate)
    contexts = [
        ops.sparse_topk_attention(q[n], k[n], v[n], scores[n], gates[n], v_mean[n], 0, k_budget) for n in range(len(q))
    ]
    return torch.stack(contexts)


def mixed(attention: Tensor, estimate: Estimate) -> Tensor:
    """g1 g0 attention + (1 - g1) v_mean, each (N, H, T, d)."""
    g0, g1 = estimate.gates.split(1, -1)
    return g1 * g0 * attention + (1 - g1) * estimate.v_mean


def masked_attention(q: Tensor, k: Tensor, v: Tensor, chosen: Tensor) -> Tensor:
    """Softmax attention to the tokens of chosen cells; 0 for a head that has none.

    Scores are held for `ROWS` rows at a time, and computed again for the gradient.

    Args:
        q, k, v: (N, H, T, d), q scaled.
        chosen: (N, H, T, K) bool.

    Returns:
        (N, H, T, d).
    """
    parts = []
    for first in range(0, q.shape[2], ROWS):
        end = min(first + ROWS, q.shape[2])
        block = (q[:, :, first:end], k[:, :, :end], v[:, :, :end], chosen[:, :, first:end], first)
        if torch.is_grad_enabled():
            parts.append(checkpoint(_attend_rows, *block, use_reentrant=False, preserve_rng_state=False))
        else:
            parts.append(_attend_rows(*block))
    return torch.cat(parts, 2)


def _attend_rows(q: Tensor, k: Tensor, v: Tensor, chosen: Tensor, start_pos: int) -> Tensor:
    tokens, seen = k.shape[2], rows_seen(start_pos, q.shape[2], q.device)
    cell = token_cells(chosen.shape[-1], seen, tokens)
    mask = chosen.gather(3, cell.expand(*chosen.shape[:2], -1, -1))
    mask &= torch.arange(tokens, device=q.device) < seen[:, None]
    scores = (q @ k.transpose(2, 3)).masked_fill(~mask, torch.finfo(q.dtype).min)
    return scores.softmax(-1) @ v * mask.any(-1, keepdim=True)
