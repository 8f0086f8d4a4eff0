"""Scores of a series by a module that is not a bundle yet: in training, and of the eager model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError
from edgekit_runtime.detect_anomalies import Detection, Detector, FloatArray

#: Takes windows (B, C, w) float32, gives the reconstruction (B, C) float32 of each window's newest step.
Reconstruct = Callable[[FloatArray], FloatArray]


def score_windows(
    scaled: FloatArray,
    window: int,
    reconstruct: Reconstruct,
    batch: int = 256,
    places: NDArray[np.int64] | None = None,
) -> FloatArray:
    """Squared errors (N, C) float32 of the newest step of windows of scaled rows (T, C).

    Args:
        scaled: (T, C) float32.
        window: w.
        reconstruct: gives the newest step of windows.
        batch: windows at once.
        places: (N,) first rows of the windows; None for every window, N = T - w + 1.
    """
    if len(scaled) < window:
        raise EdgekitError(f"the series has {len(scaled)} rows, at least {window} are needed for one window.")
    windows = np.lib.stride_tricks.sliding_window_view(scaled, window, axis=0)  # (T - w + 1, C, w)
    places = np.arange(len(windows)) if places is None else places
    errors = np.empty((len(places), scaled.shape[1]), np.float32)
    for start in range(0, len(places), batch):
        block = np.ascontiguousarray(windows[places[start : start + batch]])
        errors[start : start + len(block)] = np.square(reconstruct(block) - block[:, :, -1])
    return errors


def detect(rows: FloatArray, detector: Detector, reconstruct: Reconstruct, batch: int = 256) -> Detection:
    """Scores raw rows (T, C) float32 with a program.

    Raises:
        EdgekitError: fewer rows than one window, or another number of channels.
    """
    if rows.ndim != 2 or rows.shape[1] != len(detector.channels):
        raise EdgekitError(f"the series has shape {rows.shape}, {len(detector.channels)} channels are needed.")
    scored = score_windows(detector.scaling(rows), detector.window, reconstruct, batch)
    errors = np.full(rows.shape, np.nan, np.float32)
    errors[detector.window - 1 :] = scored
    scores = errors.sum(axis=1)
    # A comparison with NaN is False: rows without a score raise no alarm.
    return Detection(errors, scores, scores > detector.alarm_threshold)
