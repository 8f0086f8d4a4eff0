"""Anomaly detection around the program: scaling, windows, scores, alarms, channels; whole series and row by row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from edgekit import Session
from edgekit.errors import EdgekitError, UsageError
from edgekit.models.stackvae_g.config import StackVAEGConfig
from edgekit.models.stackvae_g.generator import default_statistics, generate_telemetry
from edgekit.models.stackvae_g.inference import eager_reconstruct
from edgekit.models.stackvae_g.module import StackVAEG
from edgekit.pipelines.detect_anomalies import (
    AnomalyPipeline,
    AnomalyStream,
    Detection,
    Detector,
    Scaling,
    detect,
    score_windows,
    session_reconstruct,
)


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


# Ranking and diagnosis


def test_channels_are_ranked_by_their_error():
    ranked = detector(4).ranked(np.array([0.1, 0.5, 0.1, 0.7], np.float32))
    assert ranked.tolist() == [3, 1, 0, 2]  # equal errors keep their order


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([0.9, 0.05, 0.0, 0.0], "sensor"),  # the worst alone
        ([0.9, 0.2, 0.0, 0.0], "systematic"),  # its neighbour too
        ([0.9, 0.0, 0.2, 0.0], "sensor"),  # another, which is no neighbour
        ([0.9, 0.1, 0.0, 0.0], "sensor"),  # the neighbour just at its threshold
        ([0.0, 0.9, 0.0, 0.0], "sensor"),  # a channel is no neighbour of its own
        ([0.0, 0.2, 0.0, 0.9], "sensor"),  # a channel without neighbours
        ([0.3, 0.4, 0.9, 0.0], "systematic"),
    ],
)
def test_diagnosis_looks_at_the_neighbours_of_the_worst(errors: list[float], expected: str):
    graph = detector(4, neighbours=((0, 1), (1, 2), (0, 1), ()))
    assert graph.diagnosis(np.array(errors, np.float32)) == expected


def test_each_channel_has_its_own_threshold():
    graph = detector(2, channel_thresholds=np.array([0.1, 0.5], np.float32))
    assert graph.diagnosis(np.array([0.9, 0.4], np.float32)) == "sensor"
    assert graph.diagnosis(np.array([0.4, 0.9], np.float32)) == "systematic"


# One row at a time


@pytest.fixture(scope="module")
def eager():
    torch.manual_seed(0)
    module = StackVAEG(StackVAEGConfig(channels=5, window=16, hidden=24, latent=4)).eval()
    return eager_reconstruct(module)


def compare(raw: np.ndarray, settings: Detector, stream: AnomalyStream, batch: Detection) -> None:
    window = settings.window
    results = [stream.push(row) for row in raw]
    assert results[: window - 1] == [None] * (window - 1)
    assert all(result is not None for result in results[window - 1 :])
    for index, result in enumerate(results[window - 1 :], window - 1):
        assert result.score == pytest.approx(float(batch.scores[index]), rel=1e-6, abs=1e-6)
        np.testing.assert_allclose(result.errors, batch.errors[index], rtol=1e-5, atol=1e-6)
        assert result.alarm == bool(batch.alarms[index])
        assert result.ranked == tuple(np.argsort(-result.errors, kind="stable"))
        assert result.diagnosis == (settings.diagnosis(batch.errors[index]) if result.alarm else None)
    assert batch.alarms.any()
    assert not batch.alarms[window - 1 :].all()


def test_a_stream_gives_what_the_series_gives(eager):
    raw = generate_telemetry(default_statistics(5, 1), 300, 1, faults=4).values * 30 + 7
    settings = detector(5, 16, scaling=Scaling.fit(raw))
    scores = detect(raw, settings, eager).scores
    settings = replace(settings, thresholds={"pot": float(np.nanquantile(scores, 0.9)) + 1e-4})
    compare(raw, settings, AnomalyStream(settings, eager), detect(raw, settings, eager))


def test_a_stream_gives_what_the_series_gives_with_a_session(fp32_bundle):
    pipeline = AnomalyPipeline(Session(fp32_bundle))
    scaling = pipeline.detector.scaling
    channels = len(pipeline.detector.channels)
    raw = generate_telemetry(default_statistics(channels, 1), 260, 1, faults=3).values * scaling.range + scaling.low
    scores = pipeline.detect(raw).scores
    pipeline.detector = replace(
        pipeline.detector, thresholds={"pot": float(np.nanquantile(scores, 0.9)) + 1e-4}, threshold="pot"
    )
    compare(raw, pipeline.detector, pipeline.stream(), pipeline.detect(raw))


def test_streams_do_not_disturb_each_other(eager):
    settings = detector(5, 16)
    first, second = (AnomalyStream(settings, eager) for _ in range(2))
    left, right = rows(40, 5, seed=1), rows(40, 5, seed=2)
    mixed = [(first.push(a), second.push(b)) for a, b in zip(left, right, strict=True)]
    for values, side in ((left, 0), (right, 1)):
        scores = [pair[side].score for pair in mixed[15:]]
        np.testing.assert_allclose(scores, detect(values, settings, eager).scores[15:], rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 7, 20, 33])
def test_a_row_with_a_gap_is_refused_and_the_stream_goes_on(eager, bad: float, place: int):
    settings = detector(5, 16)
    values = rows(40, 5)
    stream = AnomalyStream(settings, eager)
    scores = []
    for index, row in enumerate(values):
        if index == place:
            broken = row.copy()
            broken[3] = bad
            with pytest.raises(EdgekitError, match="'sensor 3' is missing or not finite"):
                stream.push(broken)
        result = stream.push(row)
        scores.append(np.nan if result is None else result.score)
    np.testing.assert_allclose(scores, detect(values, settings, eager).scores, rtol=1e-5)


@pytest.mark.parametrize("row", [[1.0, 2.0], [1.0] * 6, [[1.0] * 5], 1.0, []])
def test_a_row_of_another_size_is_refused(eager, row: Any):
    stream = AnomalyStream(detector(5, 16), eager)
    with pytest.raises(EdgekitError, match="5 channels are needed"):
        stream.push(row)


def test_plain_lists_do(eager):
    settings = detector(5, 16)
    values = rows(20, 5)
    stream = AnomalyStream(settings, eager)
    results = [stream.push([float(value) for value in row]) for row in values]
    np.testing.assert_allclose(results[-1].score, detect(values, settings, eager).scores[-1], rtol=1e-5)


def test_reset_forgets(eager):
    settings = detector(5, 16)
    stream = AnomalyStream(settings, eager)
    for row in rows(21, 5, seed=3):
        stream.push(row)
    stream.reset()
    values = rows(30, 5)
    results = [stream.push(row) for row in values]
    assert results[:15] == [None] * 15
    np.testing.assert_allclose(
        [result.score for result in results[15:]], detect(values, settings, eager).scores[15:], rtol=1e-5
    )


def test_window_of_one_row():
    values = rows(5)
    stream = AnomalyStream(detector(window=1), lambda windows: windows[:, :, 0] + 0.5)
    assert [stream.push(row).score for row in values] == pytest.approx([0.75] * 5, rel=1e-5)


# Sessions with several batch sizes


class FakeSession:
    """Takes the batch sizes that it is given, and no others."""

    def __init__(self, sizes: tuple[int, ...], channels: int = 3, window: int = 4) -> None:
        self.methods = [
            type("M", (), {"inputs": [type("S", (), {"shape": (size, channels, window)})]}) for size in sizes
        ]
        self.sizes = sizes
        self.calls: list[int] = []

    def run(self, windows: np.ndarray) -> list[np.ndarray]:
        assert len(windows) in self.sizes
        self.calls.append(len(windows))
        return [mean_of_window(windows)]


@pytest.mark.parametrize(
    ("sizes", "count", "calls"),
    [
        ((1,), 3, [1, 1, 1]),
        ((1, 8), 19, [8, 8, 1, 1, 1]),
        ((8, 1), 8, [8]),
        ((8,), 19, [8, 8, 8]),
        ((8,), 3, [8]),
        ((2, 16, 4), 23, [16, 4, 2, 2]),
    ],
)
def test_windows_go_through_the_batches_that_there_are(sizes: tuple[int, ...], count: int, calls: list[int]):
    windows = np.random.default_rng(0).random((count, 3, 4), np.float32)
    session = FakeSession(sizes)
    answer = session_reconstruct(session)(windows)
    np.testing.assert_array_equal(answer, mean_of_window(windows))
    assert session.calls == calls


@pytest.mark.parametrize("left_out", ["forward_b1", "forward_b8"])
def test_all_batch_sizes_give_the_same(pump_bundle, resealed, left_out: str):
    def leave_out(folder: object, fields: dict[str, Any]) -> None:
        program = fields["programs"][0]
        program["methods"] = [method for method in program["methods"] if method["name"] != left_out]

    both = AnomalyPipeline(Session(pump_bundle))
    other = AnomalyPipeline(Session(resealed(pump_bundle, leave_out)))
    raw = rows(60, 5) * both.detector.scaling.range + both.detector.scaling.low
    expected, found = both.detect(raw), other.detect(raw)
    assert np.nanmax(expected.scores) > 0.01  # or agreement would say little
    np.testing.assert_allclose(found.errors, expected.errors, atol=1e-6)
    np.testing.assert_array_equal(found.alarms, expected.alarms)
    stream = other.stream()
    results = [stream.push(row) for row in raw]
    assert results[-1].score == pytest.approx(float(expected.scores[-1]), abs=1e-6)


# Settings from a manifest


def test_settings_survive_a_manifest():
    settings = detector(neighbours=((1, 2), (), (0,)))
    values = settings.to_dict()
    again = Detector.from_dict({"name": "detect_anomalies", **values})
    assert again.to_dict() == values
    assert again.alarm_threshold == 1.0
    assert again.neighbours == settings.neighbours
    np.testing.assert_array_equal(again.scaling.range, settings.scaling.range)


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in detector().to_dict().items() if name != key}


@pytest.mark.parametrize(
    "values",
    [
        {},
        *(without(key) for key in detector().to_dict()),
        detector().to_dict() | {"window": "long"},
        detector().to_dict() | {"window": 0},
        detector().to_dict() | {"channels": ["a", "b"]},
        detector().to_dict() | {"channels": 3},
        detector().to_dict() | {"scaling": {"low": [0, 0, 0], "range": [1, 1], "clip": [0, 1]}},
        detector().to_dict() | {"scaling": {"low": [0, 0, 0], "range": [1, 1, 1], "clip": [0]}},
        detector().to_dict() | {"scaling": None},
        detector().to_dict() | {"channel_thresholds": [0.1]},
        detector().to_dict() | {"channel_thresholds": [0.1, None, "x"]},
        detector().to_dict() | {"neighbours": [[0], [1]]},
        detector().to_dict() | {"neighbours": [[0], [1], [3]]},
        detector().to_dict() | {"neighbours": [[0], [1], [-1]]},
        detector().to_dict() | {"neighbours": [[0], [1], ["two"]]},
        detector().to_dict() | {"thresholds": {"pot": None}},
        detector().to_dict() | {"thresholds": []},
        detector().to_dict() | {"threshold": "best"},
    ],
)
def test_settings_that_do_not_fit_are_refused(values: dict[str, Any]):
    with pytest.raises(EdgekitError, match="export it again"):
        Detector.from_dict(values)


def test_a_bundle_for_another_task(pump_bundle, resealed):
    def change(folder: object, fields: dict[str, Any]) -> None:
        fields["pipeline"] = {"name": "tensors"}

    with pytest.raises(UsageError, match="for the task 'tensors', not 'detect_anomalies'"):
        AnomalyPipeline(Session(resealed(pump_bundle, change)))
