"""SEA's estimator: from q, k and v of a layer to a score for every cell of every row, at the same cost for any context.

Lee, Kim, Willette, Hwang: "SEA: Sparse Linear Attention with Estimated Attention Mask", ICLR 2024, arXiv:2310.01777;
here in its causal form. The names of parameters are those of the authors' checkpoints, below
`model.decoder.layers.{i}.self_attn.perlin_self_attention.attention.`, for heads H of size d, K cells, W = K / 4 and
C = 2 H channels:

    performer.projection_matrix              (M, d), a buffer
    v_eye_learned_causal                     (1, 1, positions, d)
    attention_predictor_enc.0.{weight,bias}  linear, 3d to 2d
    attention_predictor_enc.1.{weight,bias}  layer normalisation over 2d
    attention_predictor_dec_row.0.*          linear, 2d to 2W
    attention_predictor_dec_scaler.0.*       linear, 2d to 2: the gates
    attention_predictor_cnn.0.module.*       layer normalisation over W
    attention_predictor_cnn.1.module.net.0.module.*   convolution, weight (C, C, 3, 3): the three taps that see the past
    attention_predictor_cnn.1.module.net.2.module.*   the same
    attention_predictor_cnn.1.module.net.5.module.*   convolution, weight (H, C, 1, 1)
    attention_predictor_cnn.2.module.*       layer normalisation over K

This is the form for whole sequences, with gradients. What a row needs of the past is a state of fixed size:
`edgekit::sea_estimate` goes on from it, with the weights of `folded`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.kernels.sea import SeaState, SeaWeights, banded_map, upsampling_matrix
from edgekit.kernels.selection import rows_seen

from .config import CHANNELS_PER_HEAD, CONV_DILATION, CONV_HISTORY, CONV_TAPS, SEAConfig

#: Added to every feature, and to the denominator's sum of them, by performer-pytorch (MIT).
FEATURE_FLOOR, SUM_FLOOR = 1e-3, 1e-6
#: Rows whose pairs the linear attention multiplies out; earlier ones come in sums.
BLOCK = 64


class Estimate(NamedTuple):
    """What `edgekit::sparse_topk_attention` needs besides q, k and v.

    Attributes:
        scores: (N, H, T, K) float32, before softmax.
        gates: (N, H, T, 2) float32 in (0, 1): of the attention, and of its mix with v_mean.
        v_mean: (N, H, T, d) float32: the mean of v from token 0 to the row's own.
    """

    scores: Tensor
    gates: Tensor
    v_mean: Tensor


class SEAEstimator(nn.Module):
    """Scores, gates and the running mean of v.

    Args:
        config: SEA's shape.
        heads: H.
        size: d of one head.
    """

    def __init__(self, config: SEAConfig, heads: int, size: int) -> None:
        super().__init__()
        self.config = config
        channels, width = CHANNELS_PER_HEAD * heads, config.width
        self.performer = _Features(config.features, size)
        self.v_eye_learned_causal = nn.Parameter(torch.randn(1, 1, config.positions, size))
        self.attention_predictor_enc = nn.Sequential(nn.Linear(3 * size, 2 * size), nn.LayerNorm(2 * size), nn.GELU())
        self.attention_predictor_dec_row = nn.Sequential(nn.Linear(2 * size, 2 * width))
        self.attention_predictor_dec_scaler = nn.Sequential(nn.Linear(2 * size, 2))
        convs = {"0": _causal_conv(channels), "2": _causal_conv(channels), "5": nn.Conv2d(channels, heads, 1)}
        net = nn.ModuleDict({"net": nn.ModuleDict({name: _wrapped(conv) for name, conv in convs.items()})})
        parts = (nn.LayerNorm(width), net, nn.LayerNorm(config.cells))
        self.attention_predictor_cnn = nn.ModuleList(_wrapped(part) for part in parts)
        self.register_buffer("fold", upsampling_matrix(width, config.cells).T, persistent=False)
        self.fold: Tensor

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Estimate:
        """Of whole sequences: q, k, v (N, H, T, d) float32, q scaled already."""
        rows = q.shape[2]
        position = self.v_eye_learned_causal[:, :, :rows].expand_as(v)
        context = linear_attention(self.performer(q), self.performer(k), torch.cat([position, v], -1))
        code = self.attention_predictor_enc(torch.cat([context, v], -1))
        v_mean = v.cumsum(2) / rows_seen(0, rows, v.device)[:, None]
        gates = torch.sigmoid(self.attention_predictor_dec_scaler(code))
        return Estimate(self._scores(code), gates, v_mean)

    @torch.no_grad()
    def folded(self) -> SeaWeights:
        """The weights as `edgekit::sea_estimate` takes them, copies where they differ from the parameters."""
        projection = self.performer.projection_matrix
        encoder, norm = self.attention_predictor_enc[0], self.attention_predictor_enc[1]
        gates, decoder = self.attention_predictor_dec_scaler[0], self.attention_predictor_dec_row[0]
        row_norm, score_norm = (self.attention_predictor_cnn[place]["module"] for place in (0, 2))  # type: ignore[index]
        conv1, conv2, mix = (self.convolution(place) for place in (0, 2, 5))
        layers = [encoder, norm, gates, decoder, row_norm, conv1, conv2]
        pairs: list[Any] = [(layer.weight, layer.bias) for layer in layers]
        means = (tensor.to(projection.device) for tensor in banded_map(self.config.width, self.config.cells))
        pairs += [(mix.weight.flatten(1), mix.bias), means]
        pairs += [(score_norm.weight, score_norm.bias)]
        features = projection * projection.shape[1] ** -0.25
        tensors = [features, self.v_eye_learned_causal[0, 0], *(tensor for pair in pairs for tensor in pair)]
        return SeaWeights(*(tensor.detach().contiguous() for tensor in tensors))

    def new_state(self) -> SeaState:
        """The operator's state before the first token."""
        projection = self.performer.projection_matrix
        features, size = projection.shape
        heads = self.convolution(5).out_channels
        return SeaState.zeros(heads, size, features, self.config.width, projection.device)

    def convolution(self, place: int) -> nn.Conv2d:
        """The convolution at a place of the authors' chain: 0, 2 or 5."""
        conv: nn.Conv2d = self.attention_predictor_cnn[1]["module"]["net"][str(place)]["module"]  # type: ignore[index]
        return conv

    def _scores(self, code: Tensor) -> Tensor:
        """Scores (N, H, T, K) of codes (N, H, T, 2d)."""
        batch, heads, rows, _ = code.shape
        first, last = (self.attention_predictor_cnn[place]["module"] for place in (0, 2))  # type: ignore[index]
        halves = self.attention_predictor_dec_row(code).view(batch, heads, rows, CHANNELS_PER_HEAD, self.config.width)
        image = first(halves.transpose(2, 3).flatten(1, 2))  # channels 2h and 2h + 1 are head h's
        for place in (0, 2):
            past = functional.pad(image, (0, 0, CONV_HISTORY, 0))
            image = torch.relu(self.convolution(place)(past))
        # A 1x1 convolution on the widened image equals widening its output; zeros beside it leave the bias alone.
        mix = self.convolution(5)
        assert mix.bias is not None
        scores: Tensor = last(functional.conv2d(image, mix.weight) @ self.fold + mix.bias[:, None, None])
        return scores


def linear_attention(q: Tensor, k: Tensor, values: Tensor) -> Tensor:
    """Causal linear attention (Katharopoulos et al. 2020, arXiv:2006.16236), block by block.

    Args:
        q, k: (N, H, T, M): features.
        values: (N, H, T, D).

    Returns:
        Contexts (N, H, T, D).
    """
    key_values = values.new_zeros(*k.shape[:2], k.shape[3], values.shape[3])
    keys = k.new_zeros(*k.shape[:2], k.shape[3])
    contexts = []
    for q_rows, k_rows, rows in zip(q.split(BLOCK, 2), k.split(BLOCK, 2), values.split(BLOCK, 2), strict=True):
        pairs = (q_rows @ k_rows.transpose(2, 3)).tril()
        weighted = q_rows @ key_values + pairs @ rows
        total = q_rows @ (keys + SUM_FLOOR)[..., None] + pairs.sum(-1, keepdim=True)
        contexts.append(weighted / total)
        key_values = key_values + k_rows.transpose(2, 3) @ rows
        keys = keys + k_rows.sum(2)
    return torch.cat(contexts, 2)


def orthogonal_features(count: int, size: int) -> Tensor:
    """A random projection (count, size): orthogonal within blocks of `size` rows, each as long as a normal vector.

    Choromanski et al. 2021, arXiv:2009.14794, section 3.
    """
    blocks = [torch.linalg.qr(torch.randn(size, size)).Q.T for _ in range(-(-count // size))]
    return torch.cat(blocks)[:count] * torch.randn(count, size).norm(dim=1, keepdim=True)


class _Features(nn.Module):
    """Positive random features relu(P x d^-1/4) + 1e-3, (..., d) to (..., M)."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.register_buffer("projection_matrix", orthogonal_features(count, size))
        self.projection_matrix: Tensor

    def forward(self, x: Tensor) -> Tensor:
        size = self.projection_matrix.shape[1]
        return torch.relu(x * size**-0.25 @ self.projection_matrix.T) + FEATURE_FLOOR


def _causal_conv(channels: int) -> nn.Conv2d:
    """Rows t - 4, t - 2 and t; four rows before the first are put there by the caller."""
    return nn.Conv2d(channels, channels, CONV_TAPS, dilation=CONV_DILATION, padding=(0, CONV_DILATION))


def _wrapped(module: nn.Module) -> nn.ModuleDict:
    """The layer of names that the authors' wrappers put around a module."""
    return nn.ModuleDict({"module": module})
