"""Anomaly detection by the native pipeline: against the Python one that training uses, whole series and row by row."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.models.stackvae_g.generator import default_statistics, generate_telemetry
from edgekit.models.stackvae_g.scoring import detect
from edgekit_runtime import Session
from edgekit_runtime.detect_anomalies import AnomalyPipeline, Detection, Detector, Scaling
from edgekit_runtime.errors import EdgekitError, UsageError


def telemetry(detector: Detector, count: int, seed: int = 1) -> np.ndarray:
    """Raw readings with faults, in the sensors' units."""
    statistics = default_statistics(len(detector.channels), 1)
    values = generate_telemetry(statistics, max(count, 60), seed, faults=3).values[:count]
    return (values * detector.scaling.range + detector.scaling.low).astype(np.float32)


def expected(bundle: Path, rows: np.ndarray) -> Detection:
    """By the Python pipeline, which gives the session one window at a time."""
    session = Session(bundle)
    detector = Detector.from_dict(session.manifest["pipeline"])
    sizes = {method.inputs[0].shape[0] for method in session.methods}

    def reconstruct(windows: np.ndarray) -> np.ndarray:
        size = min(sizes)
        return np.concatenate([session.run(np.repeat(window[None], size, axis=0))[0][:1] for window in windows])

    return detect(rows, detector, reconstruct)


def check(found: Detection, wanted: Detection) -> None:
    np.testing.assert_allclose(found.errors, wanted.errors, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.alarms, wanted.alarms)
    assert (found.errors.dtype, found.scores.dtype, found.alarms.dtype) == (np.float32, np.float32, np.bool_)


@pytest.fixture(params=["fp32_bundle", "int8_bundle", "pump_bundle"])
def bundle(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param))


@pytest.fixture
def pump(pump_bundle: Path) -> AnomalyPipeline:
    return AnomalyPipeline(Session(pump_bundle))


def with_alarms(pipeline: AnomalyPipeline, rows: np.ndarray) -> float:
    """A threshold that a tenth of the rows exceeds, none of them narrowly."""
    scores = np.sort(pipeline.detect(rows).scores)
    scores = scores[np.isfinite(scores)]
    places = np.arange(int(0.85 * len(scores)), int(0.95 * len(scores)))
    place = places[np.argmax(scores[places + 1] - scores[places])]
    threshold = float((scores[place] + scores[place + 1]) / 2)
    pipeline.use_threshold(threshold)
    return threshold


def test_a_series_like_python(bundle: Path):
    pipeline = AnomalyPipeline(Session(bundle))
    rows = telemetry(pipeline.detector, 200)
    threshold = with_alarms(pipeline, rows)
    wanted = expected(bundle, rows)
    found = pipeline.detect(rows)
    check(found, Detection(wanted.errors, wanted.scores, wanted.scores > threshold))
    assert found.alarms.any()
    assert np.isnan(found.scores[: pipeline.detector.window - 1]).all()


def test_a_stream_like_the_series(bundle: Path):
    pipeline = AnomalyPipeline(Session(bundle))
    detector = pipeline.detector
    rows = telemetry(detector, 200, seed=2)
    with_alarms(pipeline, rows)
    whole = pipeline.detect(rows)
    stream = pipeline.stream()
    results = [stream.push(row) for row in rows]
    assert results[: detector.window - 1] == [None] * (detector.window - 1)
    for index, result in enumerate(results[detector.window - 1 :], detector.window - 1):
        assert result is not None
        np.testing.assert_allclose(result.errors, whole.errors[index], rtol=1e-4, atol=1e-6)
        assert result.score == pytest.approx(float(whole.scores[index]), rel=1e-5, abs=1e-6)
        assert result.alarm == bool(whole.alarms[index])
        assert result.ranked == tuple(np.argsort(-result.errors, kind="stable"))
        assert result.diagnosis == (detector.diagnosis(result.errors) if result.alarm else None)
    assert whole.alarms.any()


@pytest.mark.parametrize("together", [1, 2, 7, 8, 9, 15, 16, 17, 24, 100, 200])
def test_rows_that_come_together_are_scored_as_one_by_one(pump: AnomalyPipeline, together: int):
    """The pump's batches are 1 and 8, its window has 16 rows: what a run takes ends within, at and behind them."""
    rows = telemetry(pump.detector, 200, seed=2)
    with_alarms(pump, rows)
    # Twins, at a window's edge too: their scores may not be mixed up.
    rows[15:18] = rows[15]
    one_by_one, stream = pump.stream(), pump.stream()
    wanted = [one_by_one.push(row) for row in rows]
    parts = [stream.push_rows(rows[place : place + together]) for place in range(0, 200, together)]
    errors, scores, alarms = (np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0]))
    assert np.isnan(errors[:15]).all()
    assert np.isnan(scores[:15]).all()
    assert not alarms[:15].any()
    assert wanted[:15] == [None] * 15
    found = [result for result in wanted if result is not None]
    np.testing.assert_allclose(errors[15:], [result.errors for result in found], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(scores[15:], [result.score for result in found], rtol=1e-5)
    np.testing.assert_array_equal(alarms[15:], [result.alarm for result in found])
    assert alarms.any()
    assert not alarms.all()


def test_single_rows_and_rows_together_in_turn(pump: AnomalyPipeline):
    rows = telemetry(pump.detector, 90, seed=3)
    wanted = pump.detect(rows).scores
    stream, scores, place = pump.stream(), [], 0
    for count in (3, 0, 11, 1, 1, 20, 8, 1, 30, 15):
        part = rows[place : place + count]
        place += count
        if count == 1:
            result = stream.push(part[0])
            scores.append(np.nan if result is None else result.score)
        else:
            scores.extend(stream.push_rows(part).scores)
    assert place == len(rows)
    np.testing.assert_allclose(scores, wanted, rtol=1e-5)


def test_rows_with_a_gap_are_refused_whole_and_the_stream_goes_on(pump: AnomalyPipeline):
    rows = telemetry(pump.detector, 60)
    stream = pump.stream()
    first = stream.push_rows(rows[:30]).scores
    broken = rows[30:].copy()
    broken[21, 3] = np.nan
    name = pump.detector.channels[3]
    says = rf"^the rows, row 22, '{name}' is missing or not finite \(1 such rows?\): fill or drop them first\.$"
    with pytest.raises(EdgekitError, match=says):
        stream.push_rows(broken)
    scores = np.concatenate([first, stream.push_rows(rows[30:]).scores])
    np.testing.assert_allclose(scores, pump.detect(rows).scores, rtol=1e-5)


def test_a_run_that_fails_leaves_the_stream_as_it_was(pump_bundle: Path):
    """Another thread is at the session: runs fail, within a call too, and the rows come again."""
    session = Session(pump_bundle)
    pipeline = AnomalyPipeline(session)
    rows = telemetry(pipeline.detector, 16 + 30 * 20)
    wanted = pipeline.detect(rows).scores
    stream, done = pipeline.stream(), threading.Event()
    says: list[str] = []

    def disturb() -> None:
        windows = np.zeros((8, 5, 16), np.float32)
        while not done.is_set():
            with contextlib.suppress(UsageError):
                pipeline.detect(rows)
            for _ in range(20):
                with contextlib.suppress(UsageError):
                    session.run(windows)

    other = threading.Thread(target=disturb)
    other.start()
    end = time.monotonic() + 60
    try:
        # Until they met often: where a thread gets its turns late that takes a while.
        while len(says) < 20 and time.monotonic() < end:
            stream.reset()
            scores: list[float] = []
            while len(scores) < len(rows):
                try:
                    scores.extend(stream.push_rows(rows[len(scores) : len(scores) + 30]).scores)
                except UsageError as error:
                    says.append(str(error))
            np.testing.assert_allclose(scores, wanted, rtol=1e-5)
    finally:
        done.set()
        other.join()
    assert set(says) == {"this session is in use by another thread: open a session for each, or take turns."}


@pytest.mark.parametrize("shape", [(3, 4), (3, 6), (0, 4), (5,), (1, 1, 5), ()])
def test_rows_of_another_size_are_refused(pump: AnomalyPipeline, shape: tuple[int, ...]):
    with pytest.raises(EdgekitError) as caught:
        pump.stream().push_rows(np.zeros(shape, np.float32))
    assert str(caught.value) == f"the rows have shape {shape}, 5 channels are needed."


def test_results_stay_as_they_are(pump: AnomalyPipeline):
    rows = telemetry(pump.detector, 40)
    stream = pump.stream()
    results = [stream.push(row) for row in rows]
    kept = [result.errors.copy() for result in results if result is not None]
    for row in rows[::-1]:
        stream.push(row)
    for result, errors in zip([result for result in results if result is not None], kept, strict=True):
        np.testing.assert_array_equal(result.errors, errors)
        assert result.score == pytest.approx(float(errors.sum()), rel=1e-5)


@pytest.mark.parametrize("left_out", ["forward_b1", "forward_b8"])
@pytest.mark.parametrize("count", [16, 17, 23, 24, 60])
def test_all_batch_sizes_give_the_same(
    pump_bundle: Path, resealed: Callable[..., Path], pump: AnomalyPipeline, left_out: str, count: int
):
    def leave_out(folder: object, fields: dict[str, Any]) -> None:
        program = fields["programs"][0]
        program["methods"] = [method for method in program["methods"] if method["name"] != left_out]

    other = AnomalyPipeline(Session(resealed(pump_bundle, leave_out)))
    rows = telemetry(pump.detector, count)
    check(other.detect(rows), pump.detect(rows))
    stream = other.stream()
    last = [stream.push(row) for row in rows][-1]
    assert last is not None
    assert last.score == pytest.approx(float(pump.detect(rows).scores[-1]), rel=1e-5)


def test_readings_far_from_training_are_clipped(pump: AnomalyPipeline, pump_bundle: Path):
    rows = telemetry(pump.detector, 30)
    rows[3, 1], rows[20, 0], rows[25, 2] = 3e38, -3e38, 1e30
    check(pump.detect(rows), expected(pump_bundle, rows))


def test_one_window_is_enough_and_less_is_too_few(pump: AnomalyPipeline):
    rows = telemetry(pump.detector, 16)
    assert np.isfinite(pump.detect(rows).scores).sum() == 1
    with pytest.raises(EdgekitError, match=r"the series has 15 rows, at least 16 are needed for one window\."):
        pump.detect(rows[1:])
    with pytest.raises(EdgekitError, match="the series has 0 rows"):
        pump.detect(rows[:0])


@pytest.mark.parametrize("shape", [(40, 4), (40, 6), (40, 0), (40,), (2, 20, 5), ()])
def test_wrong_channel_count(pump: AnomalyPipeline, shape: tuple[int, ...]):
    with pytest.raises(EdgekitError) as caught:
        pump.detect(np.zeros(shape, np.float32))
    assert str(caught.value) == f"the series has shape {shape}, 5 channels are needed."


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_series_with_gaps_is_refused(pump: AnomalyPipeline, bad: float):
    rows = telemetry(pump.detector, 40)
    rows[7, 3] = rows[9] = bad
    name = pump.detector.channels[3]
    says = rf"^the series, row 8, '{name}' is missing or not finite \(2 such rows\): fill or drop them first\.$"
    with pytest.raises(EdgekitError, match=says):
        pump.detect(rows)
    rows[7, 3] = rows[9] = 0
    assert np.isfinite(pump.detect(rows).scores[15:]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 7, 16, 33])
def test_a_row_with_a_gap_is_refused_and_the_stream_goes_on(pump: AnomalyPipeline, bad: float, place: int):
    rows = telemetry(pump.detector, 40)
    stream = pump.stream()
    scores = []
    for index, row in enumerate(rows):
        if index == place:
            broken = row.copy()
            broken[3] = bad
            name = pump.detector.channels[3]
            with pytest.raises(EdgekitError, match=rf"^a row's '{name}' is missing or not finite: fill it or leave"):
                stream.push(broken)
        result = stream.push(row)
        scores.append(np.nan if result is None else result.score)
    np.testing.assert_allclose(scores, pump.detect(rows).scores, rtol=1e-5)


@pytest.mark.parametrize("row", [[1.0, 2.0], [1.0] * 6, [[1.0] * 5], 1.0, []])
def test_a_row_of_another_size_is_refused(pump: AnomalyPipeline, row: Any):
    with pytest.raises(EdgekitError) as caught:
        pump.stream().push(row)
    assert str(caught.value) == f"a row has shape {np.shape(row)}, 5 channels are needed."


def test_any_numbers_do(pump: AnomalyPipeline):
    rows = telemetry(pump.detector, 20)
    stream = pump.stream()
    last = [stream.push([float(value) for value in row]) for row in rows][-1]
    assert last is not None
    assert last.score == pytest.approx(float(pump.detect(np.asfortranarray(rows, np.float64)).scores[-1]), rel=1e-5)


def test_streams_do_not_disturb_each_other(pump: AnomalyPipeline):
    first, second = pump.stream(), pump.stream()
    left, right = telemetry(pump.detector, 40, seed=1), telemetry(pump.detector, 40, seed=2)
    mixed = [(first.push(a), second.push(b)) for a, b in zip(left, right, strict=True)]
    for rows, side in ((left, 0), (right, 1)):
        scores = [pair[side].score for pair in mixed[15:]]
        np.testing.assert_allclose(scores, pump.detect(rows).scores[15:], rtol=1e-5)


def test_reset_forgets(pump: AnomalyPipeline):
    stream = pump.stream()
    for row in telemetry(pump.detector, 21, seed=3):
        stream.push(row)
    stream.reset()
    rows = telemetry(pump.detector, 30)
    results = [stream.push(row) for row in rows]
    assert results[:15] == [None] * 15
    scores = [result.score for result in results[15:] if result is not None]
    np.testing.assert_allclose(scores, pump.detect(rows).scores[15:], rtol=1e-5)


def test_a_stream_outlives_the_names_of_its_pipeline_and_session(pump_bundle: Path):
    stream = AnomalyPipeline(Session(pump_bundle)).stream()
    assert [stream.push(row) is None for row in telemetry(stream.detector, 17)] == [True] * 15 + [False] * 2


def test_two_threads_at_one_session(pump: AnomalyPipeline):
    """One of them is told so, or they happened to take turns: never a wrong answer."""
    rows = telemetry(pump.detector, 300)
    wanted = pump.detect(rows)
    says: list[str] = []

    def work() -> None:
        for _ in range(10):
            try:
                check(pump.detect(rows), wanted)
            except UsageError as error:
                says.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert says  # 30 calls at once, of some milliseconds each
    assert set(says) <= {"this session is in use by another thread: open a session for each, or take turns."}
    check(pump.detect(rows), wanted)


# Thresholds


def test_the_threshold_of_ones_choice(pump: AnomalyPipeline):
    rows = telemetry(pump.detector, 100)
    scores = pump.detect(rows).scores
    names = list(pump.detector.thresholds)
    for name in names:
        pump.use_threshold(name)
        assert pump.detector.threshold == name
        np.testing.assert_array_equal(pump.detect(rows).alarms, scores > pump.detector.thresholds[name])
    stream = pump.stream()
    for given in (float(np.nanmedian(scores)) + 1e-5, "0.25"):
        pump.use_threshold(given)
        assert (pump.detector.threshold, pump.detector.alarm_threshold) == ("given", float(given))
        alarms = scores > float(given)
        np.testing.assert_array_equal(pump.detect(rows).alarms, alarms)
        stream.reset()
        pushed = [stream.push(row) for row in rows]
        np.testing.assert_array_equal([result is not None and result.alarm for result in pushed], alarms)
    assert list(pump.detector.thresholds) == [*names, "given"]


def test_thresholds_that_make_no_sense(pump: AnomalyPipeline):
    known = ", ".join(sorted(pump.detector.thresholds))
    before = pump.detector
    with pytest.raises(UsageError, match=f"^threshold 'best' is neither a number nor one of {known}"):
        pump.use_threshold("best")
    for value in (0, -1.5, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="must be finite and above 0: scores are sums of squares"):
            pump.use_threshold(value)
    assert pump.detector is before


# Scaling, ranking and diagnosis


def test_scaling_is_fitted_on_the_training_part():
    train = np.array([[1.0, -2.0, 7.0], [3.0, 6.0, 7.0], [2.0, 0.0, 7.0]], np.float32)
    scaling = Scaling.fit(train)
    np.testing.assert_array_equal(scaling.low, [1.0, -2.0, 7.0])
    np.testing.assert_array_equal(scaling.range, [2.0, 8.0, 1.0])  # the third never moved
    np.testing.assert_array_equal(scaling(train), [[0, 0, 0], [1, 1, 0], [0.5, 0.25, 0]])
    np.testing.assert_array_equal(scaling(np.float32([[-1e9, 1e9, 7.5]])), [[-4, 5, 0.5]])


def settings(count: int = 3, **changes: Any) -> dict[str, Any]:
    made = {
        "window": 4,
        "channels": [f"sensor {index}" for index in range(count)],
        "scaling": {"low": [0.0] * count, "range": [1.0] * count, "clip": [-4.0, 5.0]},
        "thresholds": {"pot": 1.0, "quantile": 0.5},
        "threshold": "pot",
        "channel_thresholds": [0.1] * count,
        "neighbours": [[index, (index + 1) % count] for index in range(count)],
    }
    return made | changes


def test_channels_are_ranked_by_their_error():
    detector = Detector.from_dict(settings(4))
    assert detector.ranked(np.array([0.1, 0.5, 0.1, 0.7], np.float32)).tolist() == [3, 1, 0, 2]  # equal ones in order
    errors = np.random.default_rng(0).integers(0, 9, 200).astype(np.float32)
    errors[::7] = np.nan
    many = Detector.from_dict(settings(200))
    np.testing.assert_array_equal(many.ranked(errors), np.argsort(-errors, kind="stable"))
    with pytest.raises(ValueError, match="one place for each channel"):
        detector.ranked(errors)


@pytest.mark.parametrize(
    ("errors", "kind"),
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
def test_diagnosis_looks_at_the_neighbours_of_the_worst(errors: list[float], kind: str):
    detector = Detector.from_dict(settings(4, neighbours=[[0, 1], [1, 2], [0, 1], []]))
    assert detector.diagnosis(np.array(errors, np.float32)) == kind


def test_each_channel_has_its_own_threshold():
    detector = Detector.from_dict(settings(2, channel_thresholds=[0.1, 0.5]))
    assert detector.diagnosis(np.array([0.9, 0.4], np.float32)) == "sensor"
    assert detector.diagnosis(np.array([0.4, 0.9], np.float32)) == "systematic"


# Settings from a manifest


def test_settings_survive_a_manifest():
    values = settings(neighbours=[[1, 2], [], [0]], channel_thresholds=[0.125, 0.25, 0.5])
    detector = Detector.from_dict({"name": "detect_anomalies", **values})
    assert detector.to_dict() == values
    assert detector.alarm_threshold == 1.0
    assert detector.neighbours == ((1, 2), (), (0,))
    assert detector.scaling.range.dtype == np.float32


BAD_SETTINGS = [
    {},
    *({name: value for name, value in settings().items() if name != key} for key in settings()),
    settings(window="long"),
    settings(window=0),
    settings(window=2**40),
    settings(window=2.5),
    settings(channels=["a", "b"]),
    settings(channels=[]),
    settings(channels=3),
    settings(channels=["a", "b", 3]),
    settings(scaling={"low": [0, 0, 0], "range": [1, 1], "clip": [0, 1]}),
    settings(scaling={"low": [0, 0, 0], "range": [1, 0, 1], "clip": [0, 1]}),
    settings(scaling={"low": [0, 1e39, 0], "range": [1, 1, 1], "clip": [0, 1]}),
    settings(scaling={"low": [0, 0, 0], "range": [1, 1, 1], "clip": [0]}),
    settings(scaling={"low": [0, 0, 0], "range": [1, 1, 1], "clip": [1, 0]}),
    settings(scaling=None),
    settings(channel_thresholds=[0.1]),
    settings(channel_thresholds=[0.1, None, "x"]),
    settings(neighbours=[[0], [1]]),
    settings(neighbours=[[0], [1], [3]]),
    settings(neighbours=[[0], [1], [-1]]),
    settings(neighbours=[[0], [1], ["two"]]),
    settings(neighbours=[[0], [1], 2]),
    settings(neighbours={"a": 1}),
    settings(thresholds={"pot": None}),
    settings(thresholds=[]),
    settings(threshold="best"),
]


@pytest.mark.parametrize("values", BAD_SETTINGS)
def test_settings_that_do_not_fit_are_refused(values: dict[str, Any]):
    with pytest.raises(EdgekitError, match=r"^the anomaly detector.*: export (it|the bundle) again\.$"):
        Detector.from_dict(values)


@pytest.mark.parametrize("values", [{"window": float("nan")}, {"window": np.zeros(3)}])
def test_settings_that_are_no_json(values: dict[str, Any]):
    with pytest.raises(EdgekitError, match="settings are not valid: export it again"):
        Detector.from_dict(settings(**values))


def test_a_bundle_for_another_task(pump_bundle: Path, resealed: Callable[..., Path]):
    def change(folder: object, fields: dict[str, Any]) -> None:
        fields["pipeline"] = {"name": "tensors"}

    with pytest.raises(UsageError, match=r"is a bundle for the task 'tensors', not 'detect_anomalies'\."):
        AnomalyPipeline(Session(resealed(pump_bundle, change)))


@pytest.mark.parametrize("window", [8, 17, 2**31 - 1])
def test_a_program_for_other_windows(pump_bundle: Path, resealed: Callable[..., Path], window: int):
    def change(folder: object, fields: dict[str, Any]) -> None:
        fields["pipeline"]["window"] = window

    says = rf"does not reconstruct windows of 5 channels and {window} rows: export it again\."
    with pytest.raises(EdgekitError, match=says):
        AnomalyPipeline(Session(resealed(pump_bundle, change)))
