"""OPT, a decoder of text, with dense or with SEA's attention.

Zhang et al. 2022, arXiv:2205.01068. The names of parameters are those of Hugging Face's checkpoints. Layers normalise
before attention and feed-forward, in the 350m shape after them; that shape also projects word embeddings of 512 to the
layers' 1024 and back. The head is the word embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.errors import EdgekitError
from edgekit.models.kv import KV

from .attention import Attended, DenseAttention, SEAAttention
from .config import POSITION_OFFSET, OPTConfig, SEAConfig
from .state import LayerState, ModelState

#: Standard deviation of new weights.
INITIAL_DEVIATION = 0.02
#: What may stand in for a feed-forward layer's second linear layer; see `DecoderLayer.finish`.
SecondLinear = Callable[[nn.Module, Tensor], Tensor]


class OPT(nn.Module):
    """Tokens (N, T) int64 to logits (N, T, V) float32.

    Args:
        config: OPT's shape.
        sea: SEA's shape; None for dense attention.
        dropout: share of what attention and feed-forward add that is dropped in training.
    """

    def __init__(self, config: OPTConfig, sea: SEAConfig | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        if sea is not None and sea.positions < config.max_position_embeddings:
            raise EdgekitError(
                f"SEA-OPT: SEA has {sea.positions} positions, OPT {config.max_position_embeddings}: give SEA as many."
            )
        self.config = config
        self.sea = sea
        self.model = nn.ModuleDict({"decoder": Decoder(config, sea, dropout)})

    @property
    def decoder(self) -> Decoder:
        decoder: Decoder = self.model["decoder"]  # type: ignore[assignment]
        return decoder

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.decoder.embed(tokens)
        for layer in self.decoder.layers:
            hidden, _ = layer(hidden)
        return self.decoder.logits(self.decoder.last(hidden))

    def second_linears(self) -> dict[int, nn.Linear]:
        """fc2 of every decoder layer, by its number from 1."""
        return {number: layer.fc2 for number, layer in enumerate(self.decoder.layers, 1)}

    def set_k_budget(self, k_budget: int) -> None:
        """How many tokens a head and row attends to from now on; nothing for dense attention."""
        for layer in self.decoder.layers:
            if isinstance(layer.self_attn, SEAAttention):
                layer.self_attn.k_budget = k_budget

    def new_state(self, capacity: int | None = None) -> ModelState:
        """The state before the first token.

        Args:
            capacity: tokens that there is room for, T_max; None for the longest context.

        Raises:
            EdgekitError: more than the model has positions for.
        """
        longest = self.config.max_position_embeddings
        capacity = longest if capacity is None else capacity
        if not 1 <= capacity <= longest:
            raise EdgekitError(f"SEA-OPT: the capacity is {capacity}, the model was trained for 1 to {longest} tokens.")
        return ModelState([layer.new_state(capacity) for layer in self.decoder.layers])

    def extend(self, tokens: Tensor, state: ModelState) -> Tensor:
        """The next tokens of one sequence, however many at a time.

        Args:
            tokens: (T,) int64.
            state: of the tokens before; changed.

        Returns:
            Logits (T, V) float32.

        Raises:
            EdgekitError: no tokens, one that is not in the vocabulary, or more than the state has room for.
        """
        start, room = state.length, state.capacity
        if not 1 <= len(tokens) <= room - start:
            raise EdgekitError(
                f"SEA-OPT: {len(tokens)} tokens after {start}: give 1 or more, and at most {room} in all."
            )
        if tokens.min() < 0 or tokens.max() >= self.config.vocab_size:
            raise EdgekitError(
                f"SEA-OPT: tokens are {int(tokens.min())} to {int(tokens.max())}, the vocabulary has "
                f"0 to {self.config.vocab_size - 1}: encode the text with the model's own tokenizer."
            )
        hidden = self.decoder.embed(tokens[None], start)[0]
        for layer, layer_state in zip(self.decoder.layers, state.layers, strict=True):
            hidden = layer.step(hidden, layer_state, start)
        state.length += len(tokens)
        return self.decoder.logits(self.decoder.last(hidden))


class Decoder(nn.Module):
    """Embeddings, layers and head; see `OPT`."""

    def __init__(self, config: OPTConfig, sea: SEAConfig | None, dropout: float) -> None:
        super().__init__()
        width, embedded = config.hidden_size, config.word_embed_proj_dim
        self.embed_tokens = nn.Embedding(config.vocab_size, embedded)
        self.embed_positions = nn.Embedding(config.max_position_embeddings + POSITION_OFFSET, width)
        self.project_in = nn.Linear(embedded, width, bias=False) if config.projected else None
        self.project_out = nn.Linear(width, embedded, bias=False) if config.projected else None
        self.final_layer_norm = nn.LayerNorm(width) if config.do_layer_norm_before else None
        layers = nn.ModuleList(DecoderLayer(config, sea, dropout) for _ in range(config.num_hidden_layers))
        self.layers: Sequence[DecoderLayer] = layers  # type: ignore[assignment]
        for name, module in self.named_modules():
            if "perlin_self_attention" not in name:
                _initialise(module)

    def embed(self, tokens: Tensor, start_pos: int = 0) -> Tensor:
        """Hidden states (N, T, D) of tokens (N, T).

        Raises:
            EdgekitError: more positions than the model was trained for.
        """
        end, longest = start_pos + tokens.shape[1], self.embed_positions.num_embeddings - POSITION_OFFSET
        if end > longest:
            raise EdgekitError(f"SEA-OPT: {end} tokens, the model was trained for at most {longest}: give fewer.")
        return self.embed_at(tokens, torch.arange(start_pos, end, device=tokens.device) + POSITION_OFFSET)

    def embed_at(self, tokens: Tensor, rows: Tensor) -> Tensor:
        """Hidden states (..., T, D) of tokens (..., T) at rows (T,) of the table of positions."""
        words = self.embed_tokens(tokens)
        words = words if self.project_in is None else self.project_in(words)
        positions: Tensor = self.embed_positions(rows)
        return words + positions

    def last(self, hidden: Tensor) -> Tensor:
        """What the head sees (..., word_embed_proj_dim), of the last layer's hidden states (..., D)."""
        hidden = hidden if self.final_layer_norm is None else self.final_layer_norm(hidden)
        return hidden if self.project_out is None else self.project_out(hidden)

    def logits(self, last: Tensor) -> Tensor:
        """Logits (..., V) of `last`."""
        return functional.linear(last, self.embed_tokens.weight)


class DecoderLayer(nn.Module):
    """Attention and feed-forward on hidden states (N, T, D)."""

    def __init__(self, config: OPTConfig, sea: SEAConfig | None, dropout: float) -> None:
        super().__init__()
        self.before = config.do_layer_norm_before
        self.dropout = dropout
        self.self_attn = DenseAttention(config) if sea is None else SEAAttention(config, sea)
        self.self_attn_layer_norm = nn.LayerNorm(config.hidden_size)
        self.fc1 = nn.Linear(config.hidden_size, config.ffn_dim)
        self.fc2 = nn.Linear(config.ffn_dim, config.hidden_size)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Attended]:
        """The layer's hidden states, and what its attention did."""
        attended = self.self_attn(self.self_attn_layer_norm(hidden) if self.before else hidden)
        return self.finish(hidden, attended.output), attended

    def step(self, hidden: Tensor, state: LayerState, start_pos: int, second: SecondLinear | None = None) -> Tensor:
        """The next rows (T, D) of one sequence; changes the state. `second` is for `finish`."""
        output = self.self_attn.step(self.self_attn_layer_norm(hidden) if self.before else hidden, state, start_pos)
        return self.finish(hidden, output, second)

    def new_state(self, capacity: int, kv: KV = "fp32") -> LayerState:
        """The state before the first token, with room for `capacity`; only SEA's attention takes another `kv`."""
        attention = self.self_attn
        weight = attention.q_proj.weight
        state = LayerState.empty(attention.heads, capacity, len(weight) // attention.heads, kv, weight.device)
        if isinstance(attention, SEAAttention):
            state.weights, state.estimator = attention.estimator.folded(), attention.estimator.new_state()
        return state

    def finish(self, hidden: Tensor, attention: Tensor, second: SecondLinear | None = None) -> Tensor:
        """The layer's hidden states, of those before it and what its attention gives.

        Args:
            hidden, attention: (..., D).
            second: is called with fc2 and what that takes (..., ffn_dim), and gives what comes in its place.
        """
        hidden = hidden + self._dropped(attention)
        hidden = hidden if self.before else self.self_attn_layer_norm(hidden)
        inner = torch.relu(self.fc1(self.final_layer_norm(hidden) if self.before else hidden))
        change = self.fc2(inner) if second is None else second(self.fc2, inner)
        hidden = hidden + self._dropped(change)
        return hidden if self.before else self.final_layer_norm(hidden)

    def _dropped(self, change: Tensor) -> Tensor:
        return functional.dropout(change, self.dropout, self.training)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
