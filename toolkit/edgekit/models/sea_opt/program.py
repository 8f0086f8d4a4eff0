"""What a device runs of SEA-OPT: `extend` takes the next tokens of one sequence, `reset` forgets them all.

Prompts, in chunks, and single tokens go through the same method, whose number of rows is dynamic: XNNPACK packs its
weights anew for every method that is loaded, so that methods of their own for prompts and for single tokens would take
the memory of the weights twice.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgekit.kernels import ops
from edgekit.kernels.sea import SeaState, SeaWeights
from edgekit.models.features.dictionary import Dictionary
from edgekit.models.features.taps import Taps
from edgekit.models.kv import KV
from edgekit.models.model import WeightOf

from .attention import DenseAttention, SEAAttention
from .config import POSITION_OFFSET
from .opt import OPT
from .state import LayerState, Traced

#: Rows of zeros that a cache is overwritten with at once.
ROWS = 512
#: A layer's caches, the scales of int8 ones among them.
CACHES = ("k_cache", "v_cache", "k_scale", "v_scale")


class DeviceOPT(nn.Module):
    """An OPT with the state of one sequence in its buffers. It shares the weights of the one that it is made of.

    Args:
        trained: in eval mode, without gradients.
        capacity: tokens that there is room for, T_max.
        kv: how the KV cache is stored; dense attention takes fp32 only.
        dictionary: of the layers to tap; None for none.
        constant: coefficients (k,) by layer, from 1, that steer for good.
    """

    def __init__(
        self,
        trained: OPT,
        capacity: int,
        kv: KV = "fp32",
        dictionary: Dictionary | None = None,
        constant: Mapping[int, Tensor] | None = None,
    ) -> None:
        super().__init__()
        with torch.device("meta"):
            self.opt = OPT(trained.config, trained.sea).eval().requires_grad_(False)
        self.opt.load_state_dict(trained.state_dict(), assign=True)
        embedding = self.opt.decoder.embed_tokens
        with torch.device("meta"):
            self.head = nn.Linear(embedding.embedding_dim, embedding.num_embeddings, bias=False)
        self.head.weight = embedding.weight
        self.states = nn.ModuleList()
        for layer, original in zip(self.opt.decoder.layers, trained.decoder.layers, strict=True):
            state = original.new_state(capacity, kv)
            if isinstance(layer.self_attn, SEAAttention):
                # Its steps take the folded weights.
                del layer.self_attn.perlin_self_attention
            else:
                layer.self_attn = _CachedAttention.of(layer.self_attn)
                state = LayerState(_by_token(state.k_cache), _by_token(state.v_cache))
            self.states.append(_StateBuffers(state))
        self.taps = None if dictionary is None else Taps(dictionary, self.opt.second_linears(), constant)

    def hidden(
        self,
        tokens: Tensor,
        position: Tensor,
        traces: list[list[Traced]] | None = None,
        steering: Tensor | None = None,
        taps: list[Tensor] | None = None,
    ) -> Tensor:
        """Hidden states (T, D) of the next tokens (T,) int64, the first of which has a position () int64.

        Args:
            traces: a list per layer that gets what its attention did.
            steering: (L, k) float32, where layers are tapped.
            taps: then gets (T, k + 1) a tapped layer.
        """
        start = position.item()
        torch._check(start >= 0)
        decoder = self.opt.decoder
        places = torch.arange(tokens.shape[0]) + position + POSITION_OFFSET
        hidden = decoder.embed_at(tokens, places)
        for place, layer in enumerate(decoder.layers):
            buffers: _StateBuffers = self.states[place]  # type: ignore[assignment]
            state = buffers.state(None if traces is None else traces[place])
            second = None
            if self.taps is not None and steering is not None and taps is not None:
                second = self.taps.at(place + 1, steering, taps)
            hidden = layer.step(hidden, state, start, second)  # type: ignore[arg-type]
        return hidden

    def follow_weights(self, weight_of: WeightOf) -> None:
        """See `FollowsWeights`."""
        if self.taps is not None:
            self.taps.follow_all(self.opt.second_linears(), weight_of)


class Extend(nn.Module):
    """The next tokens (T,) int64, the position () int64 of the first, and rows (R,) int64 of the tokens after which
    the next one is asked for: logits (R, V) float32."""

    def __init__(self, device: DeviceOPT) -> None:
        super().__init__()
        self.device = device

    def forward(self, tokens: Tensor, position: Tensor, rows: Tensor) -> Tensor:
        hidden = self.device.hidden(tokens, position).index_select(0, rows)
        logits: Tensor = self.device.head(self.device.opt.decoder.last(hidden))
        return logits


class ExplainedExtend(nn.Module):
    """As `Extend`, and takes steering (L, k) float32; gives the taps (T, L, k + 1) float32 of its tokens too."""

    def __init__(self, device: DeviceOPT) -> None:
        super().__init__()
        self.device = device

    def forward(self, tokens: Tensor, position: Tensor, rows: Tensor, steering: Tensor) -> tuple[Tensor, Tensor]:
        taps: list[Tensor] = []
        hidden = self.device.hidden(tokens, position, steering=steering, taps=taps).index_select(0, rows)
        return self.device.head(self.device.opt.decoder.last(hidden)), torch.stack(taps, 1)


class Reset(nn.Module):
    """Overwrites the state with zeros; gives the number of tokens, 0, () int64."""

    def __init__(self, device: DeviceOPT) -> None:
        super().__init__()
        self.device = device

    def forward(self) -> Tensor:
        for buffers in self.device.states:
            buffers.clear()  # type: ignore[operator]
        return torch.zeros((), dtype=torch.int64)


class AttentionMaps(nn.Module):
    """As `Extend`, but gives what attention did in every layer: scores (T, layers, H, K), and q and k
    (T, layers, H, d), q scaled; float32."""

    def __init__(self, device: DeviceOPT) -> None:
        super().__init__()
        self.device = device

    def forward(self, tokens: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        traces: list[list[Traced]] = [[] for _ in self.device.states]
        self.device.hidden(tokens, position, traces)
        q, k, scores = (by_token(list(parts)) for parts in zip(*(trace[0] for trace in traces), strict=True))
        return scores, q, k


def by_token(layers: list[Tensor]) -> Tensor:
    """One tensor (T, layers, H, n) of one (H, T, n) a layer: what has a dynamic size comes first."""
    return torch.stack(layers).permute(2, 0, 1, 3).contiguous()


class _StateBuffers(nn.Module):
    """One layer's state as buffers, and the weights that its steps take beside it."""

    def __init__(self, state: LayerState) -> None:
        super().__init__()
        self.sea = state.estimator is not None
        tensors: dict[str, Tensor | None] = {name: getattr(state, name) for name in CACHES}
        tensors |= state.estimator._asdict() if state.estimator is not None else {}
        tensors |= state.weights._asdict() if state.weights is not None else {}
        for name, tensor in tensors.items():
            if tensor is not None:
                self.register_buffer(name, tensor)

    def clear(self) -> None:
        """Overwrites the state with zeros; the caches by the operators that know them, or the arena would hold zeros
        for all layers' at once."""
        tensors = dict(self.named_buffers())
        caches = tuple(tensors[name] for name in CACHES if name in tensors)
        if not self.sea:
            zeros = torch.zeros_like(caches[0])
            for cache in caches:
                torch.ops.llama.update_cache(zeros, cache, 0)
            return
        heads, capacity, size = caches[0].shape
        for start in range(0, capacity, ROWS):
            zeros = torch.zeros(heads, min(ROWS, capacity - start), size, dtype=torch.float16)
            ops.kv_append(zeros, zeros, start, *caches)
        for name in SeaState._fields:
            self.get_buffer(name).zero_()

    def state(self, trace: list[Traced] | None) -> LayerState:
        tensors = dict(self.named_buffers())
        state = LayerState(tensors["k_cache"], tensors["v_cache"], trace=trace)
        state.k_scale, state.v_scale = tensors.get("k_scale"), tensors.get("v_scale")
        if self.sea:
            state.weights = SeaWeights(*(tensors[name] for name in SeaWeights._fields))
            state.estimator = SeaState(*(tensors[name] for name in SeaState._fields))
        return state


def _by_token(cache: Tensor) -> Tensor:
    """A cache (H, T_max, d) as ExecuTorch's attention takes it: (1, T_max, H, d)."""
    return cache.transpose(0, 1)[None].contiguous()


class _CachedAttention(DenseAttention):
    """Dense attention by ExecuTorch's own operator, whose caches are (1, T_max, H, d)."""

    @classmethod
    def of(cls, attention: DenseAttention) -> _CachedAttention:
        """With the weights of another."""
        import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401 (defines torch.ops.llama)

        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made.heads = attention.heads
        for name, module in attention.named_children():
            made.add_module(name, module)
        return made

    def step(self, hidden: Tensor, state: LayerState, start_pos: int) -> Tensor:
        q, k, v = (heads.transpose(1, 2) for heads in self._project(hidden[None]))
        context = torch.ops.llama.sdpa_with_kv_cache(
            q, k, v, state.k_cache, state.v_cache, start_pos, q.shape[1], None, 0.0, True, 1.0
        )
        output: Tensor = self.out_proj(context.flatten(2))
        return output[0]
