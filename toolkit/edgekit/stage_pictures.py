"""What every stage found, as one picture: a row a stage, a column each for background, objects and restored image; and
how low in rank and how sparse it is, as curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from edgekit.pictures import new_figure, save_figure
from edgekit.pipelines.segment_stages import StageMeasures
from edgekit_runtime.images import Pixels
from edgekit_runtime.segment import Map

#: What the columns of a sheet show, and the height of the line that says so.
COLUMN_NAMES, HEADING = ("background B", "objects T", "restored D"), 16
#: White pixels between the maps of a sheet.
GAP = 4


def heatmap(values: Map) -> Pixels:
    """A map (H, W) as colours (H, W, 3): 0 and below dark blue, the largest value dark red (the authors' "jet")."""
    positive = np.maximum(np.asarray(values, np.float64), 0)
    highest = positive.max()
    level = positive / highest if highest > 0 else positive
    # Red, green and blue are the same trapezoid, each around another level.
    colours = np.clip(1.5 - np.abs(4 * level[..., None] - np.array([3.0, 2.0, 1.0])), 0, 1)
    return np.asarray(np.round(255 * colours), np.uint8)


def stage_sheet(stages: Sequence[Sequence[Map]]) -> Pixels:
    """Maps (H, W) of every stage, in rows, as one picture (height, width, 3); each map has a scale of its own.

    Above the columns stands what they show: background, objects, restored image.
    """
    height, width = stages[0][0].shape
    rows, columns = len(stages), len(stages[0])
    sheet = np.full((HEADING + rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for row, maps in enumerate(stages):
        for column, values in enumerate(maps):
            top, left = HEADING + row * (height + GAP), column * (width + GAP)
            sheet[top : top + height, left : left + width] = heatmap(values)
    picture = Image.fromarray(sheet)
    draw = ImageDraw.Draw(picture)
    for column, name in enumerate(COLUMN_NAMES[:columns]):
        draw.text((column * (width + GAP) + 2, 2), name, fill=(0, 0, 0))
    return np.asarray(picture)


def draw_measures(measures: Sequence[StageMeasures], path: Path, title: str = "") -> None:
    """Singular values of every stage's background by rank, and the share of object pixels by stage, as a PNG."""
    figure = new_figure(11, 4.2)
    ranks, sparse = figure.subplots(1, 2)
    for measure in measures:
        values = np.array(measure.singular_values)
        spread = np.array(measure.singular_spread)
        rank = np.arange(1, len(values) + 1)
        (line,) = ranks.plot(rank, values, marker="o", ms=3, label=f"stage {measure.stage}")
        # A lower bound of 0 has no place on a logarithmic axis.
        ranks.fill_between(
            rank, np.maximum(values - spread, values / 10), values + spread, alpha=0.15, color=line.get_color()
        )
    ranks.set_yscale("log")
    ranks.set_xlabel("rank")
    ranks.set_ylabel("singular value of max(B, 0)")
    ranks.set_title("low-rankness of the background")
    ranks.legend(fontsize=8)
    stages = [measure.stage for measure in measures]
    shares = [100 * measure.sparsity for measure in measures]
    sparse.errorbar(stages, shares, [100 * measure.sparsity_spread for measure in measures], marker="o", capsize=3)
    sparse.set_xticks(stages)
    sparse.set_xlabel("stage")
    sparse.set_ylabel("pixels with T > 0 (%)")
    sparse.set_ylim(bottom=0)
    sparse.set_title("sparsity of the objects")
    figure.suptitle(title)
    save_figure(figure, path)
