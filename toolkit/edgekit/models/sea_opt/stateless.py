"""What formats run whose graphs cannot keep a state: the next token, with the state taken in and given out.

Two forms of the same step: with edgekit's operators, for runtimes that take operators of others, and with nothing but
torch's own, for every other runtime. The second has state of another layout: the convolutions' last rows stand in the
order of time.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.kernels import stateless
from edgekit.kernels.sea import HISTORY, SeaState, SeaWeights, token_cells, upsampling_matrix
from edgekit.kernels.selection import cell_counts
from edgekit.models.features.dictionary import Dictionary
from edgekit.models.features.taps import Taps
from edgekit.models.kv import KV
from edgekit.models.model import StateForm, WeightOf

from .attention import DenseAttention, SEAAttention
from .config import CONV_DILATION, POSITION_OFFSET
from .estimator import FEATURE_FLOOR, SUM_FLOOR
from .opt import OPT, DecoderLayer, SecondLinear
from .state import LayerState

#: A layer's caches, the scales of int8 ones among them.
CACHES = ("k_cache", "v_cache", "k_scale", "v_scale")


class NextToken(nn.Module):
    """One token (1,) int64, its position () int64, rows (1,) int64, which hold 0, and the states: logits (1, V) float32
    of the token after it, and the states with it. It shares the weights of the OPT that it is made of.

    Args:
        trained: in eval mode, without gradients.
        capacity: tokens that there is room for, T_max.
        kv: how the KV cache is stored; with edgekit's operators only another than fp32.
        form: "tensors" or "standard".
        dictionary, constant: see `program.DeviceOPT`; with one it takes steering (L, k) float32 before the states, and
            gives taps (1, L, k + 1) float32 before them.

    Attributes:
        states: the first states, zeros, by name: in the order in which `forward` takes and gives them.
    """

    def __init__(
        self,
        trained: OPT,
        capacity: int,
        kv: KV,
        form: StateForm,
        dictionary: Dictionary | None = None,
        constant: Mapping[int, Tensor] | None = None,
    ) -> None:
        super().__init__()
        with torch.device("meta"):
            self.opt = OPT(trained.config, trained.sea).eval().requires_grad_(False)
        self.opt.load_state_dict(trained.state_dict(), assign=True)
        self.states: dict[str, Tensor] = {}
        self._fields: list[list[str]] = []
        for index, (layer, original) in enumerate(zip(self.opt.decoder.layers, trained.decoder.layers, strict=True)):
            state = original.new_state(capacity, kv)
            attention = layer.self_attn
            if isinstance(attention, SEAAttention) and form == "tensors":
                layer.self_attn = _OperatorAttention(attention, state)
            else:
                layer.self_attn = _StandardAttention(attention, state)
            tensors = _tensors(state)
            self._fields.append(list(tensors))
            self.states |= {f"layer{index}.{name}": tensor for name, tensor in tensors.items()}
        self.taps = None if dictionary is None else Taps(dictionary, self.opt.second_linears(), constant)

    def forward(self, tokens: Tensor, position: Tensor, rows: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        decoder = self.opt.decoder
        hidden = decoder.embed_at(tokens, (position + POSITION_OFFSET)[None])
        left, changed, taps = list(others), [], list[Tensor]()
        steering = None if self.taps is None else left.pop(0)
        for number, (layer, fields) in enumerate(zip(decoder.layers, self._fields, strict=True), 1):
            state = dict(zip(fields, left, strict=False))
            left = left[len(fields) :]
            second = None
            if self.taps is not None and steering is not None:
                second = self.taps.at(number, steering, taps)
            hidden, new = _next(layer, hidden, position, state, second)
            changed += [new[name] for name in fields]
        logits = decoder.logits(decoder.last(hidden.index_select(0, rows)))
        return (logits, *changed) if steering is None else (logits, torch.stack(taps, 1), *changed)

    def follow_weights(self, weight_of: WeightOf) -> None:
        """See `FollowsWeights`."""
        if self.taps is not None:
            self.taps.follow_all(self.opt.second_linears(), weight_of)


def _next(
    layer: DecoderLayer,
    hidden: Tensor,
    position: Tensor,
    state: dict[str, Tensor],
    second: SecondLinear | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    attention: _OperatorAttention | _StandardAttention = layer.self_attn  # type: ignore[assignment]
    output, new = attention.next(layer.self_attn_layer_norm(hidden) if layer.before else hidden, position, state)
    return layer.finish(hidden, output, second), new


def _tensors(state: LayerState) -> dict[str, Tensor]:
    """A layer's state by name, in one order."""
    tensors = {name: getattr(state, name) for name in CACHES if getattr(state, name) is not None}
    return tensors | (state.estimator._asdict() if state.estimator is not None else {})


class _OperatorAttention(DenseAttention):
    """SEA's attention by edgekit's operators."""

    def __init__(self, attention: SEAAttention, state: LayerState) -> None:
        _share(self, attention)
        self.k_budget = attention.k_budget
        assert state.weights is not None
        for name, tensor in state.weights._asdict().items():
            self.register_buffer(name, tensor)

    def next(self, hidden: Tensor, position: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The output (1, D) of a row (1, D), and the state with it."""
        q, k, v = (heads[0] for heads in self._project(hidden[None]))
        names = [name for name in CACHES if name in state]
        caches = stateless.kv_append(k, v, position, *(state[name] for name in names))
        weights = SeaWeights(*(self.get_buffer(name) for name in SeaWeights._fields))
        past = SeaState(*(state[name] for name in SeaState._fields))
        scores, gates, v_mean, estimator = stateless.sea_estimate(q, k, v, position, weights, past)
        new = dict(zip(names, caches, strict=True))
        context = stateless.sparse_topk_attention(
            *(q, new["k_cache"], new["v_cache"], scores, gates, v_mean, position, self.k_budget),
            *(new.get("k_scale"), new.get("v_scale")),
        )
        return self._merge(context[None])[0], new | estimator._asdict()


class _StandardAttention(DenseAttention):
    """Attention, dense or SEA's, by torch's operators, over the whole cache with a mask."""

    def __init__(self, attention: DenseAttention, state: LayerState) -> None:
        _share(self, attention)
        self.estimator = _Estimator(attention, state) if isinstance(attention, SEAAttention) else None

    def next(self, hidden: Tensor, position: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The output (1, D) of a row (1, D), and the state with it."""
        q, k, v = (heads[0] for heads in self._project(hidden[None]))
        places = torch.arange(state["k_cache"].shape[1])
        here = (places == position)[None, :, None]
        new = {
            "k_cache": torch.where(here, k, state["k_cache"]),
            "v_cache": torch.where(here, v, state["v_cache"]),
        }
        mask = (places <= position)[None, None]
        if self.estimator is None:
            return self._merge(_attend(q, new, mask)[None])[0], new
        scores, gates, v_mean, estimator = self.estimator(q, k, v, position, state)
        mask = self.estimator.chosen_tokens(scores, position, len(places)) & mask
        g0, g1 = gates[..., :1], gates[..., 1:]
        context = g1 * g0 * _attend(q, new, mask) + (1 - g1) * v_mean
        return self._merge(context[None])[0], new | estimator._asdict()


def _attend(q: Tensor, caches: dict[str, Tensor], mask: Tensor) -> Tensor:
    """Softmax attention (H, 1, d) to the tokens of a mask (H or 1, 1, T_max); 0 for a head that has none."""
    scores = (q @ caches["k_cache"].transpose(1, 2)).masked_fill(~mask, torch.finfo(q.dtype).min)
    return scores.softmax(-1) @ caches["v_cache"] * mask.any(-1, keepdim=True).to(q.dtype)


class _Estimator(nn.Module):
    """SEA's estimator for one row; `edgekit.kernels.reference.sea_estimate` has the same formulas."""

    def __init__(self, attention: SEAAttention, state: LayerState) -> None:
        super().__init__()
        assert state.weights is not None
        self.heads, self.k_budget = attention.heads, attention.k_budget
        for name, tensor in state.weights._asdict().items():
            if not name.startswith("map_"):
                self.register_buffer(name, tensor)
        width, self.cells = state.weights.row_norm_weight.shape[0], state.weights.map_start.shape[0]
        self.register_buffer("fold", upsampling_matrix(width, self.cells).T.contiguous())
        self.fold: Tensor

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, position: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, SeaState]:
        """Scores (H, 1, K), gates (H, 1, 2), the mean of v (H, 1, d), and the state with this row."""
        w = dict(self.named_buffers())
        goes_on = position > 0
        past = SeaState(*(torch.where(goes_on, state[name], 0.0) for name in SeaState._fields))
        phi_q, phi_k = (functional.linear(x, w["projection"]).relu() + FEATURE_FLOOR for x in (q, k))
        place = w["positions"].index_select(0, position[None])
        placed = torch.cat((place.expand(self.heads, 1, -1), v), -1)
        keys = past.keys + phi_k[:, 0]
        key_values = past.key_values + phi_k.transpose(1, 2) * placed
        values = past.values + v[:, 0]
        context = (phi_q @ key_values) / (phi_q * (keys[:, None] + SUM_FLOOR)).sum(-1, keepdim=True)

        code = functional.linear(torch.cat((context, v), -1), w["encoder_weight"], w["encoder_bias"])
        code = functional.gelu(_normed(code, w["encoder_norm_weight"], w["encoder_norm_bias"]))
        gates = functional.linear(code, w["gates_weight"], w["gates_bias"]).sigmoid()
        halves = functional.linear(code, w["decoder_weight"], w["decoder_bias"])
        row = halves.reshape(1, 2 * self.heads, -1)
        row = _normed(row, w["row_norm_weight"], w["row_norm_bias"])
        tails = []
        for name, tail in (("conv1", past.conv1_rows), ("conv2", past.conv2_rows)):
            seen = torch.cat((tail, row))
            tails.append(seen[1:])
            # Of the rows p - 4 to p the taps see every second; the image is (1, C, 3, W).
            image = seen[:: HISTORY // 2].transpose(0, 1)[None]
            row = functional.conv2d(
                image, w[f"{name}_weight"], w[f"{name}_bias"], padding=(0, CONV_DILATION), dilation=(1, CONV_DILATION)
            )[0].transpose(0, 1)
            row = row.relu()
        mixed = w["mix_weight"] @ row[0]
        scores = (mixed @ self.fold + w["mix_bias"][:, None])[:, None]
        scores = _normed(scores, w["score_norm_weight"], w["score_norm_bias"])
        mean = (values / (position + 1))[:, None]
        return scores, gates, mean, SeaState(key_values, keys, values, *tails)

    def chosen_tokens(self, scores: Tensor, position: Tensor, tokens: int) -> Tensor:
        """The tokens (H, 1, T_max) bool of the cells that the row chooses by scores (H, 1, K)."""
        count = cell_counts(self.heads, self.cells, self.k_budget, (position + 1)[None])
        ranked = scores.log_softmax(-1).reshape(-1)
        values, order = ranked.topk(len(ranked))
        # Those above the last one that is chosen, and of its equals those before it.
        least, last = values.index_select(0, count - 1), order.index_select(0, count - 1)
        cells = (ranked > least) | ((ranked == least) & (torch.arange(len(ranked)) <= last))
        cell = token_cells(self.cells, (position + 1)[None], tokens)[0]
        # As numbers: old interpreters gather no truth values.
        return cells.to(scores.dtype).reshape(self.heads, self.cells).index_select(1, cell)[:, None] > 0


def _normed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.layer_norm(x, weight.shape, weight, bias)


def _share(made: DenseAttention, attention: DenseAttention) -> None:
    """Gives a new attention the projections of another."""
    nn.Module.__init__(made)
    made.heads = attention.heads
    for name, module in attention.named_children():
        if name != "perlin_self_attention":
            made.add_module(name, module)
