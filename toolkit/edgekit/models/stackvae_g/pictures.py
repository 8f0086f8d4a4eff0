"""The learned channel graph as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from edgekit.pictures import new_figure, save_figure

from .checkpoint import Checkpoint


def draw_graph(checkpoint: Checkpoint, path: Path) -> None:
    """The propagation matrix as a heat map, and as a ring of channels joined by their strongest edges."""
    with torch.no_grad():
        matrix = checkpoint.module.graph().numpy()
    count = len(matrix)
    figure = new_figure(15, 7.5)
    heat, ring = figure.subplots(1, 2)
    image = heat.imshow(matrix, cmap="viridis", vmin=0, vmax=float(matrix.max()))
    heat.set_xticks(range(count), checkpoint.channels, rotation=90, fontsize=6)
    heat.set_yticks(range(count), checkpoint.channels, fontsize=6)
    heat.set_title("weight of a channel (column) in the mix of another (row)")
    figure.colorbar(image, ax=heat, shrink=0.8)

    angles = np.pi / 2 - 2 * np.pi * np.arange(count) / count
    x, y = np.cos(angles), np.sin(angles)
    strength = np.maximum(matrix, matrix.T)
    np.fill_diagonal(strength, 0)
    strongest = float(strength.max()) or 1.0
    for first in range(count):
        for second in range(first + 1, count):
            share = float(strength[first, second]) / strongest
            if share > 0.05:
                ring.plot(x[[first, second]], y[[first, second]], color="tab:blue", lw=0.3 + 2.5 * share, alpha=share)
    ring.plot(x, y, "o", color="black", ms=4)
    for angle, name in zip(angles, checkpoint.channels, strict=True):
        flipped = np.cos(angle) < 0
        ring.text(
            1.05 * np.cos(angle),
            1.05 * np.sin(angle),
            name,
            fontsize=7,
            rotation_mode="anchor",
            va="center",
            ha="right" if flipped else "left",
            rotation=np.degrees(angle) + (180 if flipped else 0),
        )
    ring.set_xlim(-1.5, 1.5)
    ring.set_ylim(-1.5, 1.5)
    ring.set_aspect("equal")
    ring.axis("off")
    off_diagonal = 1 - float(matrix.diagonal().mean())
    ring.set_title(f"edges, strongest of both directions ({100 * off_diagonal:.0f} % of the mix is neighbours)")
    save_figure(figure, path)
