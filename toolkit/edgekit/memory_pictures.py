"""Pictures of a program's memory over its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.pictures import new_figure, save_figure
from edgekit.report import bytes_text, part_text


def draw_timeline(steps: Sequence[Mapping[str, Any]], parts: Sequence[str], path: Path, title: str) -> None:
    """A stacked area: what each step takes, part by part, with the peak marked.

    Args:
        steps: in order: `method`, `operator`, `total` and the bytes of each of `parts`.
        parts: the lowest first.
        path: the PNG to write.
        title: above the picture.

    Raises:
        UsageError: the name does not end in .png.
    """
    figure = new_figure(13, 5)
    axes = figure.subplots()
    named = [part for part in parts if any(step[part] for step in steps)]
    edges = np.arange(len(steps) + 1)
    heights = [[1e-6 * step[part] for step in (*steps, steps[-1])] for part in named]
    axes.stackplot(edges, heights, labels=[part_text(part) for part in named], step="post", linewidth=0)
    peak = max(range(len(steps)), key=lambda index: int(steps[index]["total"]))
    total = 1e-6 * steps[peak]["total"]
    axes.annotate(
        f"{bytes_text(steps[peak]['total'])}, {steps[peak]['operator']}",
        (peak + 0.5, total),
        xytext=(0, 12),
        textcoords="offset points",
        ha="center" if 0.2 < peak / len(steps) < 0.8 else "left" if peak * 2 < len(steps) else "right",
        arrowprops={"arrowstyle": "-"},
    )
    starts = [index for index in range(len(steps)) if index == 0 or _phase(steps[index]) != _phase(steps[index - 1])]
    for index in starts[1:]:
        axes.axvline(index, color="0.4", linewidth=0.6)
    axes.set(xlim=(0, len(steps)), ylim=(0, 1.15 * total), xlabel="step", ylabel="MB", title=title)
    axes.set_xticks(starts, [_phase(steps[index]) for index in starts], rotation=30, ha="right")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right center", frameon=False)
    save_figure(figure, path)


def _phase(step: Mapping[str, Any]) -> str:
    operator = str(step["operator"])
    return operator if operator == "open" else f"{'load' if operator.startswith('load ') else 'run'} {step['method']}"
