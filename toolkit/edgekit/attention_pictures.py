"""Attention of one head as a picture: in which order tokens are estimated to matter, beside those attended to."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgekit.pictures import new_figure, save_figure
from edgekit.pipelines.attention_maps import AttentionMap, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Texts of more tokens have numbers beside them, from 1, so many of them.
MOST_WORDS, NUMBERS = 64, 11
#: Probabilities from here to 1 have colours of their own, on a logarithmic scale.
LEAST = 1e-4
#: Brightness of what was not chosen, and of what lies ahead.
NOT_CHOSEN, AHEAD = 0.85, 1.0
CAPTION = (
    "Each row is a token of the text, each column a token before it or itself; what lies ahead is white.\n"
    "Left: the order in which the estimator ranks the tokens of a row; the brightest are the likeliest to matter.\n"
    "Right: the tokens that were chosen by it, with the probability that attention gives them; gray ones cost nothing."
)


def draw_attention(found: AttentionMap, words: Sequence[str], prompt: int, path: Path, title: str) -> None:
    """Writes `attention_figure` as a PNG."""
    with warnings.catch_warnings():
        # Tokens may be of any script; the font has no sign for some.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        save_figure(attention_figure(found, words, prompt, title), path)


def attention_figure(found: AttentionMap, words: Sequence[str], prompt: int, title: str) -> Figure:
    """Two maps of tokens by tokens, with a legend and a caption.

    Args:
        found: of T tokens.
        words: their texts, T; shown where they fit.
        prompt: how many of the tokens are the prompt's.
        title: above the picture.
    """
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.patches import Patch

    count = len(found.sparse)
    figure = new_figure(15, 8.8)
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    future = np.triu(np.ones((count, count), dtype=bool), 1)
    share = found.chosen.sum() / (~future).sum()
    panels = (
        (
            row_ranks(found.estimated),
            future,
            Normalize(0, 1),
            "estimated",
            "rank in its row: 0 the lowest, 1 the highest",
        ),
        (
            np.maximum(found.sparse, LEAST),
            ~found.chosen,
            LogNorm(LEAST, 1),
            f"attended to: {found.chosen.sum(1).mean():.1f} tokens a row, {100 * share:.0f} % of all",
            "probability",
        ),
    )
    for place, (values, hidden, norm, heading, unit) in zip(axes, panels, strict=True):
        place.imshow(np.where(future, AHEAD, NOT_CHOSEN), cmap="gray", vmin=0, vmax=1)
        shown = np.ma.masked_array(values, hidden)
        image = place.imshow(shown, cmap="viridis", norm=norm, interpolation="nearest")
        place.set_title(heading)
        place.set_xlabel("token attended to")
        if prompt < count:
            for line in (place.axhline, place.axvline):
                line(prompt - 0.5, color="tab:red", lw=0.8, label="the prompt ends")
        figure.colorbar(image, ax=place, label=unit, location="bottom", shrink=0.7)
    _label_tokens(axes[0], words[:count])
    axes[0].set_ylabel("token that attends")
    entries = [Patch(facecolor=str(NOT_CHOSEN), edgecolor="0.6", label="not chosen"), *axes[1].lines[:1]]
    axes[1].legend(handles=entries, loc="upper right", framealpha=1)
    figure.suptitle(title)
    figure.supxlabel(CAPTION, fontsize=10)
    return figure


def row_ranks(values: FloatArray) -> npt.NDArray[np.float64]:
    """Ranks of the distinct values of a row's tokens so far, (T, T) to (T, T): 0 the lowest, 1 the highest; 0 ahead."""
    ranks = np.zeros(values.shape)
    for row in range(len(values)):
        distinct, place = np.unique(values[row, : row + 1], return_inverse=True)
        ranks[row, : row + 1] = place / (len(distinct) - 1) if len(distinct) > 1 else 1.0
    return ranks


def _label_tokens(axes: Axes, words: Sequence[str]) -> None:
    """Tokens as text where they fit, else some of their numbers; both axes of all maps share them."""
    count = len(words)
    if count <= MOST_WORDS:
        labels = [word.replace("\n", "\\n").replace("$", r"\$") for word in words]
        size = 8.0 if count <= MOST_WORDS // 2 else 6.0
        axes.set_xticks(range(count), labels, rotation=90, fontsize=size)
        axes.set_yticks(range(count), labels, fontsize=size)
        for other in axes.figure.axes[1:2]:
            other.tick_params(axis="x", labelrotation=90, labelsize=size)
        return
    places = np.unique(np.linspace(0, count - 1, NUMBERS, dtype=int))
    numbers = [str(place + 1) for place in places]
    axes.set_xticks(places, numbers)
    axes.set_yticks(places, numbers)
