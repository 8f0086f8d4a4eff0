"""Attention of one head as a picture: estimated beside sparse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekit.pictures import new_figure, save_figure
from edgekit.pipelines.attention_maps import AttentionMap

#: Texts of more tokens are drawn without the tokens beside them.
MOST_WORDS = 48
#: Probabilities from here to 1 have colours of their own, on a logarithmic scale.
LEAST = 1e-4


def draw_attention(found: AttentionMap, words: Sequence[str], path: Path, title: str) -> None:
    """Two maps of tokens by tokens on one logarithmic scale, as a PNG; tokens that were not chosen stay gray."""
    from matplotlib.colors import LogNorm

    count = len(found.sparse)
    figure = new_figure(14, 7)
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    future = np.triu(np.ones((count, count), dtype=bool), 1)
    share = found.chosen.sum() / max(1, (~future).sum())
    titles = ("estimated", f"attended to: {found.chosen.sum(1).mean():.1f} tokens a row, {100 * share:.0f} % of all")
    for place, (values, hidden, heading) in enumerate(
        ((found.estimated, future, titles[0]), (found.sparse, ~found.chosen, titles[1]))
    ):
        background = np.where(future, 1.0, 0.88)
        axes[place].imshow(background, cmap="gray", vmin=0, vmax=1)
        shown = np.ma.masked_array(np.maximum(values, LEAST), hidden)
        axes[place].imshow(shown, cmap="viridis", norm=LogNorm(LEAST, 1), interpolation="nearest")
        axes[place].set_title(heading)
        axes[place].set_xlabel("token attended to")
        if count <= MOST_WORDS:
            labels = [word.replace("\n", "\\n").replace("$", r"\$") for word in words]
            axes[place].set_xticks(range(count), labels, rotation=90, fontsize=7)
            axes[place].set_yticks(range(count), labels, fontsize=7)
    axes[0].set_ylabel("token that attends")
    figure.colorbar(axes[1].images[-1], ax=axes, label="probability", shrink=0.8)
    figure.suptitle(title)
    save_figure(figure, path)
