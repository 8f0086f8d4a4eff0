"""What `sea_estimate` is given: weights, state and map to cells of an estimator (SEA, arXiv:2310.01777).

H heads, d numbers a head, M features, W width, K cells, C = 2 * H channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

#: Rows before its own that a convolution of the estimator may see.
HISTORY = 4


class SeaWeights(NamedTuple):
    """One layer's estimator: float32, contiguous, except map_start. T_max is the number of positions.

    Attributes:
        projection: (M, d): features are phi(x) = relu(projection x) + 0.001; a factor d**-0.25 of x belongs in here.
        positions: (T_max, d): the row of each token, which stands before its values.
        encoder_weight, encoder_bias: (2d, 3d), (2d): of [context ; v], for each head.
        encoder_norm_weight, encoder_norm_bias: (2d): the layer norm before GELU.
        gates_weight, gates_bias: (2, 2d), (2): the two gates before the sigmoid.
        decoder_weight, decoder_bias: (2W, 2d), (2W): a head's two channels, one after the other.
        row_norm_weight, row_norm_bias: (W): each channel's layer norm.
        conv1_weight, conv1_bias: (C, C, 3, 3), (C): the rows s - 4, s - 2, s and the places w - 2, w, w + 2.
        conv2_weight, conv2_bias: likewise.
        mix_weight, mix_bias: (H, C), (H): from channels to heads; the bias is added to the cells.
        map_weight: (K, taps): from places to cells, taps from 1 to 3; see `banded_map`.
        map_start: (K) int64: the first place that a cell is made of, 0 to W - taps.
        score_norm_weight, score_norm_bias: (K): the layer norm of a head's scores.
    """

    projection: Tensor
    positions: Tensor
    encoder_weight: Tensor
    encoder_bias: Tensor
    encoder_norm_weight: Tensor
    encoder_norm_bias: Tensor
    gates_weight: Tensor
    gates_bias: Tensor
    decoder_weight: Tensor
    decoder_bias: Tensor
    row_norm_weight: Tensor
    row_norm_bias: Tensor
    conv1_weight: Tensor
    conv1_bias: Tensor
    conv2_weight: Tensor
    conv2_bias: Tensor
    mix_weight: Tensor
    mix_bias: Tensor
    map_weight: Tensor
    map_start: Tensor
    score_norm_weight: Tensor
    score_norm_bias: Tensor


class SeaState(NamedTuple):
    """What one layer's estimator keeps of the tokens so far: float32, contiguous, changed in place.

    Token s has place s % 4 of the rows. What the state holds before token 0 is not read.

    Attributes:
        key_values: (H, M, 2d): the sum of phi(k_s) [position_s ; v_s].
        keys: (H, M): the sum of phi(k_s).
        values: (H, d): the sum of v_s.
        conv1_rows: (4, C, W): the first convolution's inputs of the last four tokens.
        conv2_rows: (4, C, W): the second's.
    """

    key_values: Tensor
    keys: Tensor
    values: Tensor
    conv1_rows: Tensor
    conv2_rows: Tensor

    @classmethod
    def zeros(cls, heads: int, size: int, features: int, width: int, device: torch.device | None = None) -> SeaState:
        """The state before token 0."""
        rows = (HISTORY, 2 * heads, width)
        shapes = ((heads, features, 2 * size), (heads, features), (heads, size), rows, rows)
        return cls(*(torch.zeros(shape, device=device) for shape in shapes))


def upsampling_matrix(width: int, cells: int) -> Tensor:
    """SEA's way from W places to K cells, which is linear: (K, W) float32.

    Each place is repeated to `cells` numbers, a zero is put at either end (the padding of a 1 x 1 convolution), and
    cell j is the mean of the numbers from floor(j (K + 2) / K) to ceil((j + 1) (K + 2) / K) - 1.

    Args:
        width: W, places.
        cells: K, a multiple of W.
    """
    repeated = torch.eye(width, dtype=torch.float64).repeat_interleave(cells // width, dim=1)
    return functional.adaptive_avg_pool1d(functional.pad(repeated, (1, 1)), cells).T.float()


def banded_map(width: int, cells: int) -> tuple[Tensor, Tensor]:
    """`upsampling_matrix` as `map_weight` and `map_start` of `SeaWeights`.

    Args:
        width: W, places.
        cells: K, a multiple of W; at least 4 W, or a cell may be made of more than three places.

    Returns:
        (K, taps) float32 with 1 to 3 taps, and (K) int64.
    """
    means = upsampling_matrix(width, cells)
    used = means != 0
    first = used.int().argmax(1)
    taps = int((width - used.flip(1).int().argmax(1) - first).max())
    start = first.clamp(max=width - taps)
    return means.gather(1, start[:, None] + torch.arange(taps)), start


def token_cells(cells: int, seen: Tensor, tokens: int) -> Tensor:
    """The cell of tokens 0 to `tokens` - 1 in every row: (T, tokens) int64; K - 1 for tokens that are not in sight."""
    token = torch.arange(tokens, device=seen.device)
    return ((cells * (2 * token + 1) - 1) // (2 * seen[:, None])).clamp(max=cells - 1)


def random_weights(
    heads: int, size: int, features: int, cells: int, capacity: int, seed: int = 0, width: int | None = None
) -> SeaWeights:
    """Weights about as large as a trained estimator's, for tests and benchmarks.

    Args:
        heads, size, features, cells: H, d, M, K.
        capacity: T_max.
        seed: another one, other weights.
        width: W, a divisor of K; a quarter of K by default.
    """
    generator = torch.Generator().manual_seed(seed)
    width, channels = cells // 4 if width is None else width, 2 * heads
    map_weight, map_start = banded_map(width, cells)

    def normal(*shape: int, inputs: int = 1) -> Tensor:
        return torch.randn(*shape, generator=generator) / math.sqrt(inputs)

    return SeaWeights(
        projection=normal(features, size) * size**-0.25,
        positions=normal(capacity, size),
        encoder_weight=normal(2 * size, 3 * size, inputs=3 * size),
        encoder_bias=normal(2 * size) * 0.1,
        encoder_norm_weight=1 + normal(2 * size) * 0.1,
        encoder_norm_bias=normal(2 * size) * 0.1,
        gates_weight=normal(2, 2 * size, inputs=size),
        gates_bias=normal(2),
        decoder_weight=normal(2 * width, 2 * size, inputs=2 * size),
        decoder_bias=normal(2 * width) * 0.1,
        row_norm_weight=1 + normal(width) * 0.1,
        row_norm_bias=normal(width) * 0.1,
        conv1_weight=normal(channels, channels, 3, 3, inputs=4 * channels),
        conv1_bias=normal(channels) * 0.1,
        conv2_weight=normal(channels, channels, 3, 3, inputs=4 * channels),
        conv2_bias=normal(channels) * 0.1,
        mix_weight=normal(heads, channels, inputs=channels),
        mix_bias=normal(heads) * 0.1,
        map_weight=map_weight,
        map_start=map_start,
        score_norm_weight=1 + normal(cells) * 0.1,
        score_norm_bias=normal(cells) * 0.1,
    )
