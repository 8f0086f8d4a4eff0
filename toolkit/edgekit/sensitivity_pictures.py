"""What each block costs in a recipe's numbers, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekit.pictures import new_figure, save_figure


def draw_sensitivity(
    blocks: Sequence[str],
    losses: Sequence[float] | None,
    ratios: Sequence[float | None],
    path: Path,
    metric: str = "",
    title: str = "",
) -> None:
    """Bars of one line per block, the first on top: the loss of the task metric, and beside it the noise.

    Args:
        blocks: names.
        losses: by how much the metric is worse, in its unit; None without a metric.
        ratios: signal-to-noise ratios in dB; None where the answers are equal.
        path: the PNG to write.
        metric: what the bars of losses say.
        title: above the picture.
    """
    figure = new_figure(11, 1.6 + 0.28 * len(blocks))
    places = np.arange(len(blocks))
    if losses is None:
        noise = figure.subplots(1, 1)
        noise.set_yticks(places, blocks, fontsize=8)
    else:
        cost, noise = figure.subplots(1, 2, sharey=True)
        cost.barh(places, losses, color=["tab:red" if loss > 0 else "tab:green" for loss in losses])
        cost.axvline(0, color="black", lw=0.8)
        cost.set_yticks(places, blocks, fontsize=8)
        cost.set_xlabel(metric)
        cost.grid(axis="x", alpha=0.3)
    noise.barh(places, [0.0 if ratio is None else ratio for ratio in ratios], color="tab:blue")
    for place, ratio in zip(places, ratios, strict=True):
        if ratio is None:
            noise.text(0, float(place), " exact", va="center", fontsize=8)
    noise.set_xlabel("signal-to-noise ratio of the answers (dB); longer is better")
    noise.grid(axis="x", alpha=0.3)
    noise.invert_yaxis()
    figure.suptitle(title)
    save_figure(figure, path)
