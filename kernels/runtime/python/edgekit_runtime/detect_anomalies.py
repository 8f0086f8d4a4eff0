"""The task `detect_anomalies`: rows of sensor readings in; scores, alarms and ranked channels out.

AnomalyPipeline takes a session; its `detect` scores a series at once, its `stream` takes one row at a time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit_runtime import _native
from edgekit_runtime.errors import EdgekitError
from edgekit_runtime.session import Session

NAME = "detect_anomalies"
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scaling:
    """Maps raw readings to the range of the training part: (x - low) / range, clipped. Sessions scale on their own.

    Attributes:
        low: (C,) float32, smallest training value, in the sensors' units.
        range: (C,) float32, largest less smallest training value; 1 where the channel never moved.
        clip: bounds of the scaled values; training values lie in [0, 1].
    """

    low: FloatArray
    range: FloatArray
    clip: tuple[float, float] = (-4.0, 5.0)

    @classmethod
    def fit(cls, train: FloatArray) -> Scaling:
        low = train.min(axis=0)
        span = train.max(axis=0) - low
        return cls(low, np.where(span > 0, span, np.float32(1.0)).astype(np.float32))

    def __call__(self, rows: FloatArray) -> FloatArray:
        """Scaled rows, to train on."""
        return np.clip((rows - self.low) / self.range, *self.clip).astype(np.float32)


@dataclass(frozen=True)
class Detector:
    """What the task knows beside the program.

    Attributes:
        window: steps w of one window; the first w - 1 rows of a series have no score.
        channels: C channel names.
        scaling: raw readings to the program's inputs.
        thresholds: alarm thresholds on the score, by the name of the method that fitted them.
        threshold: which of them is used.
        channel_thresholds: (C,) float32, where one channel's squared error counts as anomalous.
        neighbours: for each channel the indices of its neighbours in the learned graph, strongest first.
    """

    window: int
    channels: tuple[str, ...]
    scaling: Scaling
    thresholds: Mapping[str, float]
    threshold: str
    channel_thresholds: FloatArray
    neighbours: tuple[tuple[int, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "window": self.window,
            "channels": list(self.channels),
            "scaling": {
                "low": self.scaling.low.tolist(),
                "range": self.scaling.range.tolist(),
                "clip": list(self.scaling.clip),
            },
            "thresholds": dict(self.thresholds),
            "threshold": self.threshold,
            "channel_thresholds": self.channel_thresholds.tolist(),
            "neighbours": [list(row) for row in self.neighbours],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Detector:
        """The settings in a manifest's field `pipeline`.

        Raises:
            EdgekitError: they are not valid.
        """
        _checked(values)
        scaling = values["scaling"]
        return cls(
            window=values["window"],
            channels=tuple(values["channels"]),
            scaling=Scaling(
                np.asarray(scaling["low"], np.float32),
                np.asarray(scaling["range"], np.float32),
                (float(scaling["clip"][0]), float(scaling["clip"][1])),
            ),
            thresholds={name: float(value) for name, value in values["thresholds"].items()},
            threshold=values["threshold"],
            channel_thresholds=np.asarray(values["channel_thresholds"], np.float32),
            neighbours=tuple(map(tuple, values["neighbours"])),
        )

    @property
    def alarm_threshold(self) -> float:
        return self.thresholds[self.threshold]

    def ranked(self, errors: FloatArray) -> npt.NDArray[np.intp]:
        """Channel indices (C,) of one row's squared errors (C,), largest error first."""
        return np.asarray(self._native.rank(np.ascontiguousarray(errors, np.float32)), np.intp)

    def diagnosis(self, errors: FloatArray) -> str:
        """ "sensor" if the worst channel is anomalous alone, "systematic" if a graph neighbour is too."""
        return self._native.diagnosis(np.ascontiguousarray(errors, np.float32))

    @cached_property
    def _native(self) -> _native.AnomalyDetector:
        return _checked(self.to_dict())


def _checked(values: Mapping[str, Any]) -> _native.AnomalyDetector:
    try:
        settings = json.dumps(dict(values))
    except (TypeError, ValueError) as error:
        raise EdgekitError("the anomaly detector's settings are not valid: export it again.") from error
    return _native.AnomalyDetector(settings)


@dataclass(frozen=True)
class Detection:
    """The answer for a series.

    Attributes:
        errors: (T, C) float32 squared errors of the scaled readings; NaN in the first w - 1 rows.
        scores: (T,) float32, the sum of a row's errors; NaN in the first w - 1 rows.
        alarms: (T,) bool, score above the detector's threshold.
    """

    errors: FloatArray
    scores: FloatArray
    alarms: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RowResult:
    """The answer for one streamed row: score, alarm, channel indices by falling error, kind of fault if alarmed."""

    score: float
    alarm: bool
    ranked: tuple[int, ...]
    errors: FloatArray
    diagnosis: str | None


def _room_for(rows: FloatArray) -> Detection:
    return Detection(np.empty(rows.shape, np.float32), np.empty(len(rows), np.float32), np.empty(len(rows), np.bool_))


class AnomalyPipeline:
    """The task on top of a session: whole series by `detect`, one row at a time by `stream`.

    Args:
        session: of a bundle for this task.

    Raises:
        UsageError: the bundle is of another task.
        EdgekitError: the bundle's settings are not valid.
    """

    def __init__(self, session: Session) -> None:
        self._native = _native.AnomalyPipeline(session._native)
        self.detector = Detector.from_dict(session.manifest["pipeline"])

    def use_threshold(self, threshold: str | float) -> None:
        """Alarms above one of the fitted thresholds, by its name, or above a number; for the streams too.

        Raises:
            UsageError: neither a name nor a number above 0.
        """
        name, value = self._native.use_threshold(str(threshold))
        self.detector = replace(self.detector, thresholds={**self.detector.thresholds, name: value}, threshold=name)

    def detect(self, rows: FloatArray) -> Detection:
        """Scores a series of raw readings (T, C) float32.

        Raises:
            EdgekitError: fewer rows than one window, another number of channels, or a value that is not finite.
        """
        rows = np.asarray(rows, np.float32, order="C")  # ascontiguousarray would make a scalar (1,)
        if rows.ndim != 2:
            raise EdgekitError(f"the series has shape {rows.shape}, {len(self.detector.channels)} channels are needed.")
        detection = _room_for(rows)
        self._native.detect(rows, detection.errors, detection.scores, detection.alarms)
        return detection

    def stream(self) -> AnomalyStream:
        """A fresh stream; several may run beside each other."""
        return AnomalyStream(self)


class AnomalyStream:
    """Takes rows as they come and keeps the last window: one by `push`, those that come together by `push_rows`.

    Args:
        pipeline: what scores the rows.
    """

    def __init__(self, pipeline: AnomalyPipeline) -> None:
        self.detector = pipeline.detector
        self._native = pipeline._native.stream()

    def reset(self) -> None:
        """Forgets every row."""
        self._native.reset()

    def push(self, row: Sequence[float] | FloatArray) -> RowResult | None:
        """Takes one raw row (C,); gives its result, or None while fewer than w rows have come.

        Raises:
            EdgekitError: wrong number of channels, or a value that is not finite; the row is not kept.
        """
        values = np.asarray(row, np.float32, order="C")
        if values.ndim != 1:
            raise EdgekitError(f"a row has shape {values.shape}, {len(self.detector.channels)} channels are needed.")
        errors = np.empty_like(values)
        found = self._native.push(values, errors)
        if found is None:
            return None
        score, alarm, ranked, diagnosis = found
        return RowResult(score, alarm, tuple(ranked), errors, diagnosis if alarm else None)

    def push_rows(self, rows: FloatArray) -> Detection:
        """Takes raw rows (N, C), oldest first, by the largest batches that the bundle has.

        The answers are those of `push`, row by row, to rounding; NaN and no alarm for rows that complete no window.

        Raises:
            EdgekitError: wrong number of channels, or a value that is not finite; no row is kept.
        """
        rows = np.asarray(rows, np.float32, order="C")
        if rows.ndim != 2:
            raise EdgekitError(f"the rows have shape {rows.shape}, {len(self.detector.channels)} channels are needed.")
        detection = _room_for(rows)
        self._native.push_rows(rows, detection.errors, detection.scores, detection.alarms)
        return detection
