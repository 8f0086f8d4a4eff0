"""Shapes of OPT and of SEA's estimator, and what they cost; needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from edgekit.errors import EdgekitError, unknown_name

#: OPT's learned positions begin at this row of their table.
POSITION_OFFSET = 2
#: Rows of time that one row of the estimator's convolutions reaches back: taps t - 4, t - 2, t.
CONV_TAPS, CONV_DILATION = 3, 2
CONV_HISTORY = (CONV_TAPS - 1) * CONV_DILATION
#: The estimator computes at a quarter of the cells, and has two channels a head.
UPSAMPLING, CHANNELS_PER_HEAD = 4, 2
#: What HF's config.json may ask for beyond the shape, and the only value that is implemented.
_FIXED = {
    "activation_function": "relu",
    "enable_bias": True,
    "layer_norm_elementwise_affine": True,
    "_remove_final_layer_norm": False,
}


@dataclass(frozen=True)
class OPTConfig:
    """Shape of an OPT decoder (Zhang et al. 2022, arXiv:2205.01068); the names are those of HF's config.json.

    Attributes:
        vocab_size: V tokens.
        hidden_size: width D.
        ffn_dim: width of the feed-forward layer.
        num_hidden_layers: decoder layers.
        num_attention_heads: heads H; the head size is d = D / H.
        max_position_embeddings: the longest context.
        word_embed_proj_dim: width of the word embeddings; another than D is projected (350m: 512).
        do_layer_norm_before: layer normalisation before attention and feed-forward; 350m has it after them.
    """

    vocab_size: int = 8000
    hidden_size: int = 256
    ffn_dim: int = 1024
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    max_position_embeddings: int = 1024
    word_embed_proj_dim: int = 256
    do_layer_norm_before: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "do_layer_norm_before":
                if not isinstance(value, bool):
                    raise EdgekitError(f"OPT: {field.name} must be true or false, not {value!r}.")
            elif not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1 << 20:
                raise EdgekitError(f"OPT: {field.name} must be a whole number from 1 to {1 << 20}, not {value!r}.")
        if self.hidden_size % self.num_attention_heads:
            raise EdgekitError(
                f"OPT: hidden_size {self.hidden_size} must be a multiple of the {self.num_attention_heads} heads."
            )

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def projected(self) -> bool:
        """Whether word embeddings are of another width than the layers."""
        return self.word_embed_proj_dim != self.hidden_size

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OPTConfig:
        """From our own header, which has every field.

        Raises:
            EdgekitError: a field is missing or unknown, or has a value that no OPT has.
        """
        return cls(**_exactly(cls, values, "OPT"))

    @classmethod
    def from_hf(cls, values: Mapping[str, Any]) -> OPTConfig:
        """From HF's config.json, whose further settings must be the ones of OPT.

        Raises:
            EdgekitError: it is of another model, lacks a size, or asks for what is not implemented.
        """
        if values.get("model_type") != "opt":
            raise EdgekitError(f"OPT: model_type is {values.get('model_type')!r}, only 'opt' is implemented.")
        for name, wanted in _FIXED.items():
            if values.get(name, wanted) != wanted:
                raise EdgekitError(f"OPT: {name} is {values[name]!r}, only {wanted!r} is implemented.")
        found = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        found.setdefault("do_layer_norm_before", True)
        if found.get("word_embed_proj_dim") is None and "hidden_size" in found:
            found["word_embed_proj_dim"] = found["hidden_size"]
        return cls(**_exactly(cls, found, "OPT"))

    def parameters(self) -> int:
        """Trainable parameters; the head is the word embedding."""
        d, e = self.hidden_size, self.word_embed_proj_dim
        layer = 4 * (d * d + d) + 2 * d * self.ffn_dim + self.ffn_dim + d + 4 * d
        tables = self.vocab_size * e + (self.max_position_embeddings + POSITION_OFFSET) * d
        ends = (2 * e * d if self.projected else 0) + (2 * d if self.do_layer_norm_before else 0)
        return self.num_hidden_layers * layer + tables + ends

    def linear_macs(self) -> int:
        """Multiply-accumulates of one token, attention's own products left out."""
        d, e = self.hidden_size, self.word_embed_proj_dim
        layer = 4 * d * d + 2 * d * self.ffn_dim
        return self.num_hidden_layers * layer + self.vocab_size * e + (2 * e * d if self.projected else 0)


@dataclass(frozen=True)
class SEAConfig:
    """SEA's attention (Lee et al. 2023, arXiv:2310.01777) in its causal form.

    Attributes:
        cells: estimated scores K of a head and row, a power of two: each stands for L / K of the L tokens in sight.
        k_budget: tokens k that a head and row attends to, on average; it may be changed after training.
        features: random features M of the linear attention.
        positions: rows of the learned table E of the linear attention's values: the longest context.
    """

    cells: int = 256
    k_budget: int = 64
    features: int = 33
    positions: int = 1024

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1 << 20:
                raise EdgekitError(f"SEA: {field.name} must be a whole number from 1 to {1 << 20}, not {value!r}.")
        if self.cells < UPSAMPLING or self.cells & (self.cells - 1):
            raise EdgekitError(
                f"SEA: cells must be a power of two and at least {UPSAMPLING}, not {self.cells}: with others the map "
                f"from cells to tokens differs between training and device."
            )

    @property
    def width(self) -> int:
        """Width W of the estimator's convolutions."""
        return self.cells // UPSAMPLING

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SEAConfig:
        """From our own header.

        Raises:
            EdgekitError: a field is missing or unknown, or out of range.
        """
        return cls(**_exactly(cls, values, "SEA"))

    def parameters(self, heads: int, size: int) -> int:
        """Trainable parameters of one layer's estimator, the table E among them."""
        channels, width = CHANNELS_PER_HEAD * heads, self.width
        encoder = 3 * size * 2 * size + 2 * size + 4 * size
        decoder = 2 * size * 2 * width + 2 * width + 2 * size * 2 + 2
        conv = channels * channels * CONV_TAPS * 3 + channels
        cnn = 2 * width + 2 * conv + channels * heads + heads + 2 * self.cells
        return self.positions * size + encoder + decoder + cnn

    def macs(self, heads: int, size: int) -> int:
        """Multiply-accumulates of one layer and token: estimate, and attention to k_budget tokens a head."""
        channels, width = CHANNELS_PER_HEAD * heads, self.width
        linear = heads * (2 * size * self.features + 4 * size * self.features)
        perceptron = heads * (6 * size * size + 4 * size * width)
        convs = 2 * CONV_TAPS * 3 * channels * channels * width
        fold = channels * heads * width + heads * width * self.cells
        gates, attention = 4 * size * heads, 2 * size * heads * self.k_budget
        return linear + perceptron + convs + fold + gates + attention


def default_features(size: int, divisor: int = 8) -> int:
    """Random features M of a head of `size`: d ln(d) by a divisor, 8 in the published recipe."""
    return max(1, int(size * math.log(size) / divisor))


#: Every variant by name, the default first; the others are the published OPTs of these sizes.
VARIANTS = {
    "base": OPTConfig(),
    "125m": OPTConfig(50272, 768, 3072, 12, 12, 2048, 768),
    "350m": OPTConfig(50272, 1024, 4096, 24, 16, 2048, 512, do_layer_norm_before=False),
    "1.3b": OPTConfig(50272, 2048, 8192, 24, 32, 2048, 2048),
    "2.7b": OPTConfig(50272, 2560, 10240, 32, 32, 2048, 2560),
}


def find_config(variant: str) -> OPTConfig:
    """The shape of a variant.

    Raises:
        UsageError: unknown; the message names the nearest.
    """
    if variant not in VARIANTS:
        raise unknown_name("variant of sea-opt", variant, VARIANTS, "edgekit list models")
    return VARIANTS[variant]


def sea_config(opt: OPTConfig, cells: int = 256, k_budget: int = 64) -> SEAConfig:
    """SEA for an OPT: features by the head size, positions by the context."""
    return SEAConfig(cells, k_budget, default_features(opt.head_size), opt.max_position_embeddings)


def _exactly(kind: type, values: Mapping[str, Any], model: str) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    for complaint, wrong in (("lacks", names - set(values)), ("has the unknown", set(values) - names)):
        if wrong:
            raise EdgekitError(f"{model}: the configuration {complaint} {sorted(wrong)[0]!r}.")
    return dict(values)
