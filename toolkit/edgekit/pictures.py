"""Pictures as PNG files, drawn off screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from edgekit.errors import UsageError
from edgekit.files import replacing
from edgekit_runtime.detect_anomalies import Detection, Detector
from edgekit_runtime.images import Gray, Mask, Pixels, Value
from edgekit_runtime.segment import SegmentedObject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Columns of a heat map; longer series are reduced to the largest value per column.
HEAT_COLUMNS = 1600
#: Rows whose time a picture of a series tells.
TIME_LABELS = 7
#: Overlays of smaller images are enlarged to about this width or height, so that outlines do not hide what they show.
OVERLAY_SIDE = 768
#: Objects that an overlay frames and numbers.
NUMBERED_OBJECTS = 50
#: Colours of what was found, of its box, and of what is labelled.
FOUND, BOX, LABELLED = (255, 64, 64), (255, 208, 0), (0, 208, 96)


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
    detection: Detection,
    detector: Detector,
    path: Path,
    labels: npt.NDArray[np.uint8] | None = None,
    title: str = "",
    times: Sequence[str] | None = None,
) -> None:
    """Score over time with threshold and alarms, above a heat map of every channel's share of its own threshold.

    Args:
        detection: of T rows.
        detector: its settings.
        path: the PNG to write.
        labels: (T,) 1 where anomalous, drawn as a band if given.
        title: above the picture.
        times: T row labels, written below the rows if given.
    """
    import matplotlib
    from matplotlib.ticker import NullFormatter

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
    top.yaxis.set_minor_formatter(NullFormatter())
    top.set_ylabel("score (sum of squared errors)")
    top.legend(loc="upper left", ncols=4, fontsize=8)
    top.set_title(title)

    share = detection.errors / np.maximum(detector.channel_thresholds, 1e-12)
    width = -(-len(share) // HEAT_COLUMNS)
    padded = np.full((-(-len(share) // width) * width, share.shape[1]), np.nan, np.float32)
    padded[: len(share)] = share
    columns = np.fmax.reduce(padded.reshape(-1, width, share.shape[1]), axis=1)
    image = bottom.imshow(
        np.log10(np.clip(columns.T, 1e-2, 1e2)),
        aspect="auto",
        interpolation="nearest",
        cmap=matplotlib.colormaps["magma"].with_extremes(bad="0.8"),  # rows without a score
        vmin=-2,
        vmax=2,
        extent=(0.5, len(share) + 0.5, len(detector.channels) - 0.5, -0.5),
    )
    bottom.set_yticks(range(len(detector.channels)), detector.channels, fontsize=6)
    bottom.set_xlabel("row")
    if times is not None:
        places = np.unique(np.linspace(1, len(times), TIME_LABELS, dtype=int))
        bottom.set_xticks(places, [f"{place}\n{times[place - 1]}" for place in places], fontsize=7)
    bar = figure.colorbar(image, ax=bottom, pad=0.01)
    bar.set_label("error / channel threshold")
    bar.set_ticks([-2, -1, 0, 1, 2], labels=["0.01", "0.1", "1", "10", "100"])
    save_figure(figure, path)


def draw_overlay(image: Gray, mask: Mask, objects: Sequence[SegmentedObject], labelled: Mask | None = None) -> Pixels:
    """An image with what was found in it: red outlines, numbered yellow boxes, and green outlines of what is labelled.

    Args:
        image: (H, W) float32; shown from its darkest to its brightest value.
        mask: (H, W) bool.
        objects: of the mask; the first ones get boxes.
        labelled: (H, W) bool, if known.

    Returns:
        (s H, s W, 3) uint8, s a whole number from 1.
    """
    from PIL import Image, ImageDraw

    scale = max(1, OVERLAY_SIDE // max(image.shape))
    low, high = float(image.min()), float(image.max())
    gray = np.round(255 * (image - low) / max(high - low, 1e-6)).astype(np.uint8)
    pixels = np.repeat(_enlarged(gray, scale)[:, :, None], 3, axis=2)
    for outlined, colour in ((labelled, LABELLED), (mask, FOUND)):
        if outlined is not None:
            pixels[_outline(_enlarged(outlined, scale))] = colour
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    for number, found in enumerate(objects[:NUMBERED_OBJECTS], 1):
        top, left, bottom, right = (scale * side for side in found.box)
        box = (left - 3, top - 3, right + 2, bottom + 2)
        draw.rectangle(box, outline=BOX)
        draw.text((right + 5, top - 8), str(number), fill=BOX)
    return np.asarray(picture)


def _enlarged(values: npt.NDArray[Value], scale: int) -> npt.NDArray[Value]:
    return np.asarray(values.repeat(scale, axis=0).repeat(scale, axis=1))


def _outline(mask: Mask) -> Mask:
    """The pixels around a mask, which itself stays to be seen."""
    return np.asarray(ndimage.binary_dilation(mask, np.ones((3, 3), np.bool_)) & ~mask)
