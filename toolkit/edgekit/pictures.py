"""Pictures as PNG files, drawn off screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgekit.errors import UsageError
from edgekit.files import replacing
from edgekit.pipelines.detect_anomalies import Detection, Detector

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Columns of a heat map; longer series are reduced to the largest value per column.
HEAT_COLUMNS = 1600


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a PNG, whole or not at all.

    Raises:
        UsageError: the name does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} is not the name of a picture: let it end in .png.")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})


def draw_detection(
    detection: Detection, detector: Detector, path: Path, labels: npt.NDArray[np.uint8] | None = None, title: str = ""
) -> None:
    """Score over time with threshold and alarms, above a heat map of every channel's share of its own threshold.

    Args:
        detection: of T rows.
        detector: its settings.
        path: the PNG to write.
        labels: (T,) 1 where anomalous, drawn as a band if given.
        title: above the picture.
    """
    figure = new_figure(13, 3.4 + 0.17 * len(detector.channels))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2.6, 0.17 * len(detector.channels) + 0.6])
    rows = np.arange(1, len(detection.scores) + 1)
    if labels is not None:
        top.fill_between(
            rows,
            0,
            1,
            where=labels == 1,
            transform=top.get_xaxis_transform(),
            color="tab:orange",
            alpha=0.3,
            lw=0,
            label="labelled anomaly",
        )
    top.plot(rows, detection.scores, lw=0.6, color="tab:blue", label="score")
    top.plot(rows[detection.alarms], detection.scores[detection.alarms], ".", ms=3, color="tab:red", label="alarm")
    top.axhline(detector.alarm_threshold, color="black", lw=0.8, ls="--", label=f"threshold ({detector.threshold})")
    top.set_yscale("log")
    top.set_ylabel("score (sum of squared errors)")
    top.legend(loc="upper left", ncols=4, fontsize=8)
    top.set_title(title)

    share = detection.errors / np.maximum(detector.channel_thresholds, 1e-12)
    width = -(-len(share) // HEAT_COLUMNS)
    padded = np.full((-(-len(share) // width) * width, share.shape[1]), np.nan, np.float32)
    padded[: len(share)] = np.nan_to_num(share, nan=0.0)
    columns = np.nanmax(padded.reshape(-1, width, share.shape[1]), axis=1)
    image = bottom.imshow(
        np.log10(np.clip(columns.T, 1e-2, 1e2)),
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
        vmin=-2,
        vmax=2,
        extent=(0.5, len(share) + 0.5, len(detector.channels) - 0.5, -0.5),
    )
    bottom.set_yticks(range(len(detector.channels)), detector.channels, fontsize=6)
    bottom.set_xlabel("row")
    bar = figure.colorbar(image, ax=bottom, pad=0.01)
    bar.set_label("error / channel threshold")
    bar.set_ticks([-2, -1, 0, 1, 2], labels=["0.01", "0.1", "1", "10", "100"])
    save_figure(figure, path)
