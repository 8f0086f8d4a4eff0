"""Scores of a module in training: scaling, windows, scores, alarms, channels, against plain loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.models.stackvae_g.generator import default_statistics, generate_telemetry
from edgekit.models.stackvae_g.scoring import detect, score_windows
from edgekit_runtime.detect_anomalies import Detection, Detector, Scaling


def detector(channels: int = 3, window: int = 4, **changes: Any) -> Detector:
    made = Detector(
        window=window,
        channels=tuple(f"sensor {index}" for index in range(channels)),
        scaling=Scaling(np.zeros(channels, np.float32), np.ones(channels, np.float32)),
        thresholds={"pot": 1.0, "quantile": 0.5},
        threshold="pot",
        channel_thresholds=np.full(channels, 0.1, np.float32),
        neighbours=tuple((index, (index + 1) % channels) for index in range(channels)),
    )
    return replace(made, **changes)


def rows(count: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return generate_telemetry(default_statistics(channels, seed), count, seed).values


def mean_of_window(windows: np.ndarray) -> np.ndarray:
    """A reconstruction that is easy to repeat by hand."""
    return windows.mean(axis=2)


def newest_by_hand(values: np.ndarray, window: int) -> np.ndarray:
    """Squared errors (T - w + 1, C) of `mean_of_window`, in plain loops."""
    errors = np.empty((len(values) - window + 1, values.shape[1]))
    for last in range(window - 1, len(values)):
        for channel in range(values.shape[1]):
            mean = sum(float(values[step, channel]) for step in range(last - window + 1, last + 1)) / window
            errors[last - window + 1, channel] = (mean - float(values[last, channel])) ** 2
    return errors


# Scaling


def test_scaling_is_fitted_on_the_training_part():
    train = np.array([[1.0, -2.0, 7.0], [3.0, 6.0, 7.0], [2.0, 0.0, 7.0]], np.float32)
    scaling = Scaling.fit(train)
    np.testing.assert_array_equal(scaling.low, [1.0, -2.0, 7.0])
    np.testing.assert_array_equal(scaling.range, [2.0, 8.0, 1.0])  # the third never moved
    np.testing.assert_array_equal(scaling(train), [[0, 0, 0], [1, 1, 0], [0.5, 0.25, 0]])
    assert scaling(train.astype(np.float64)).dtype == np.float32


def test_a_constant_channel_that_moves_is_seen():
    scaling = Scaling.fit(np.full((5, 1), 7.0, np.float32))
    np.testing.assert_allclose(scaling(np.array([[7.0], [7.5], [4.0]], np.float32)), [[0.0], [0.5], [-3.0]])


def test_far_values_are_clipped():
    scaling = Scaling(np.zeros(1, np.float32), np.ones(1, np.float32), clip=(-4.0, 5.0))
    np.testing.assert_array_equal(scaling(np.array([[-1e30], [-4.0], [5.0], [1e30]], np.float32))[:, 0], [-4, -4, 5, 5])


# Scores of a series


@pytest.mark.parametrize("batch", [1, 3, 256])
def test_scores_by_hand(batch: int):
    values = rows(30)
    seen = []

    def reconstruct(windows: np.ndarray) -> np.ndarray:
        seen.append(windows.shape)
        assert windows.dtype == np.float32
        assert windows.flags.c_contiguous
        return mean_of_window(windows)

    found = score_windows(values, 4, reconstruct, batch)
    np.testing.assert_allclose(found, newest_by_hand(values, 4), atol=1e-6)
    assert found.dtype == np.float32
    assert sum(shape[0] for shape in seen) == 27
    assert all(shape[0] <= batch for shape in seen)
    assert {shape[1:] for shape in seen} == {(3, 4)}


def test_detection_by_hand():
    scaling = Scaling(np.array([10.0, 0.0, -5.0], np.float32), np.array([2.0, 0.5, 10.0], np.float32))
    raw = rows(40) * scaling.range + scaling.low
    raw[20, 1] += 2.0  # four ranges
    found = detect(raw, detector(scaling=scaling), mean_of_window)
    errors = newest_by_hand((raw - scaling.low) / scaling.range, 4)
    assert isinstance(found, Detection)
    np.testing.assert_allclose(found.errors[3:], errors, atol=1e-4)
    np.testing.assert_allclose(found.scores[3:], errors.sum(axis=1), atol=1e-4)
    np.testing.assert_array_equal(found.alarms[3:], errors.sum(axis=1) > 1.0)
    assert found.alarms[20]
    assert not found.alarms[:20].any()


def test_the_first_rows_have_no_score_and_no_alarm():
    found = detect(rows(10), detector(window=6, thresholds={"pot": -1.0}), mean_of_window)
    assert np.isnan(found.scores[:5]).all()
    assert np.isnan(found.errors[:5]).all()
    assert np.isfinite(found.scores[5:]).all()
    np.testing.assert_array_equal(found.alarms, [False] * 5 + [True] * 5)


def test_one_window_is_enough_and_less_is_too_few():
    assert np.isfinite(detect(rows(4), detector(), mean_of_window).scores).tolist() == [False, False, False, True]
    with pytest.raises(EdgekitError, match="has 3 rows, at least 4 are needed"):
        detect(rows(3), detector(), mean_of_window)


@pytest.mark.parametrize("shape", [(10, 2), (10, 4), (10,), (2, 5, 3)])
def test_wrong_channel_count(shape: tuple[int, ...]):
    with pytest.raises(EdgekitError, match="3 channels are needed"):
        detect(np.zeros(shape, np.float32), detector(), mean_of_window)


def test_the_threshold_of_ones_choice():
    values = rows(50)
    scores = detect(values, detector(), mean_of_window).scores
    middle = float(np.nanmedian(scores))
    chosen = detector(thresholds={"pot": 1e9, "mine": middle}, threshold="mine")
    np.testing.assert_array_equal(detect(values, chosen, mean_of_window).alarms, scores > middle)
