"""The task `detect_anomalies`: rows of sensor readings in; scores, alarms and ranked channels out.

Everything around the program, in numpy alone: scaling, windows, squared error of the newest step, thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgekit.errors import EdgekitError, UsageError

if TYPE_CHECKING:
    from edgekit_runtime import Session

NAME = "detect_anomalies"
FloatArray = npt.NDArray[np.float32]

#: Takes windows (B, C, w) float32, gives the reconstruction (B, C) float32 of each window's newest step.
Reconstruct = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Scaling:
    """Maps raw readings to the range of the training part: (x - low) / range, clipped.

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
        try:
            scaling = values["scaling"]
            detector = cls(
                window=int(values["window"]),
                channels=tuple(str(name) for name in values["channels"]),
                scaling=Scaling(
                    np.asarray(scaling["low"], np.float32),
                    np.asarray(scaling["range"], np.float32),
                    (float(scaling["clip"][0]), float(scaling["clip"][1])),
                ),
                thresholds={str(name): float(value) for name, value in values["thresholds"].items()},
                threshold=str(values["threshold"]),
                channel_thresholds=np.asarray(values["channel_thresholds"], np.float32),
                neighbours=tuple(tuple(int(index) for index in row) for row in values["neighbours"]),
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise EdgekitError(f"the anomaly detector's settings are not valid ({error}): export it again.") from error
        count = len(detector.channels)
        vectors = (detector.scaling.low, detector.scaling.range, detector.channel_thresholds)
        if any(vector.shape != (count,) for vector in vectors) or len(detector.neighbours) != count:
            raise EdgekitError(f"the anomaly detector's settings do not fit its {count} channels: export it again.")
        if detector.window < 1 or any(not 0 <= index < count for row in detector.neighbours for index in row):
            raise EdgekitError("the anomaly detector's window or graph is not valid: export it again.")
        if detector.threshold not in detector.thresholds:
            raise EdgekitError(f"the anomaly detector has no threshold {detector.threshold!r}: export it again.")
        return detector

    @property
    def alarm_threshold(self) -> float:
        return self.thresholds[self.threshold]

    def ranked(self, errors: FloatArray) -> npt.NDArray[np.intp]:
        """Channel indices (C,) of one row's squared errors (C,), largest error first."""
        return np.argsort(-errors, kind="stable")

    def diagnosis(self, errors: FloatArray) -> str:
        """ "sensor" if the worst channel is anomalous alone, "systematic" if a graph neighbour is too."""
        worst = int(np.argmax(errors))
        near = [index for index in self.neighbours[worst] if index != worst]
        return "systematic" if bool((errors[near] > self.channel_thresholds[near]).any()) else "sensor"


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


def score_windows(scaled: FloatArray, window: int, reconstruct: Reconstruct, batch: int = 256) -> FloatArray:
    """Squared errors (T - w + 1, C) float32 of the newest step of every window of scaled rows (T, C)."""
    if len(scaled) < window:
        raise EdgekitError(f"the series has {len(scaled)} rows, at least {window} are needed for one window.")
    windows = np.lib.stride_tricks.sliding_window_view(scaled, window, axis=0)  # (T - w + 1, C, w)
    errors = np.empty((len(windows), scaled.shape[1]), np.float32)
    for start in range(0, len(windows), batch):
        block = np.ascontiguousarray(windows[start : start + batch])
        errors[start : start + len(block)] = np.square(reconstruct(block) - block[:, :, -1])
    return errors


def session_reconstruct(session: Session) -> Reconstruct:
    """The reconstruction by a session, in the batches that its program has."""
    sizes = sorted((method.inputs[0].shape[0] for method in session.methods), reverse=True)

    def reconstruct(windows: FloatArray) -> FloatArray:
        parts: list[FloatArray] = []
        start = 0
        while start < len(windows):
            left = len(windows) - start
            size = next((size for size in sizes if size <= left), sizes[-1])
            block = windows[start : start + size]
            if len(block) < size:  # no method is small enough: fill up, and drop the surplus
                block = np.concatenate([block, np.repeat(block[-1:], size - len(block), axis=0)])
            parts.append(session.run(block)[0][:left])
            start += size
        return np.concatenate(parts)

    return reconstruct


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


class AnomalyPipeline:
    """The task on top of a session: whole series by `detect`, one row at a time by `stream`.

    Args:
        session: of a bundle for this task.

    Raises:
        UsageError: the bundle is of another task.
    """

    def __init__(self, session: Session) -> None:
        settings = session.manifest["pipeline"]
        if settings.get("name") != NAME:
            raise UsageError(f"{session.path} is a bundle for the task {settings.get('name')!r}, not {NAME!r}.")
        self.detector = Detector.from_dict(settings)
        self._reconstruct = session_reconstruct(session)

    def detect(self, rows: FloatArray) -> Detection:
        """Scores a series of raw readings (T, C) float32."""
        return detect(rows, self.detector, self._reconstruct)

    def stream(self) -> AnomalyStream:
        """A fresh stream; several may run beside each other."""
        return AnomalyStream(self.detector, self._reconstruct)


@dataclass(frozen=True)
class RowResult:
    """The answer for one streamed row: score, alarm, channel indices by falling error, kind of fault if alarmed."""

    score: float
    alarm: bool
    ranked: tuple[int, ...]
    errors: FloatArray
    diagnosis: str | None


class AnomalyStream:
    """Takes one row at a time and keeps the last window in a ring buffer.

    Args:
        detector: the task's settings.
        reconstruct: the program; called with one window (1, C, w) a row.
    """

    def __init__(self, detector: Detector, reconstruct: Reconstruct) -> None:
        self.detector = detector
        self._reconstruct = reconstruct
        # Each row is written twice, w apart, so that the newest w rows always lie in one piece.
        self._ring = np.zeros((len(detector.channels), 2 * detector.window), np.float32)
        self._rows = 0

    def reset(self) -> None:
        """Forgets every row."""
        self._rows = 0

    def push(self, row: Sequence[float] | FloatArray) -> RowResult | None:
        """Takes one raw row (C,); gives its result, or None while fewer than w rows have come.

        Raises:
            EdgekitError: wrong number of channels, or a value that is not finite; the row is not kept.
        """
        values = np.asarray(row, np.float32)
        if values.shape != (len(self.detector.channels),):
            raise EdgekitError(f"a row has shape {values.shape}, {len(self.detector.channels)} channels are needed.")
        if not np.isfinite(values).all():
            name = self.detector.channels[int(np.argmin(np.isfinite(values)))]
            raise EdgekitError(f"a row's {name!r} is missing or not finite: fill it or leave the row out.")
        window = self.detector.window
        slot = self._rows % window
        scaled = self.detector.scaling(values)
        self._ring[:, slot] = self._ring[:, slot + window] = scaled
        self._rows += 1
        if self._rows < window:
            return None
        block = np.ascontiguousarray(self._ring[None, :, slot + 1 : slot + 1 + window])
        errors = np.square(self._reconstruct(block)[0] - scaled)
        score = float(errors.sum())
        alarm = score > self.detector.alarm_threshold
        ranked = tuple(int(index) for index in self.detector.ranked(errors))
        return RowResult(score, alarm, ranked, errors, self.detector.diagnosis(errors) if alarm else None)
