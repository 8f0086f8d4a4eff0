"""How well scores find labelled anomalies, and how well channel errors explain them.

`scores` is (T,) float, higher is more anomalous; `labels` is (T,) with 1 for an anomalous row and 0 for a normal
one. Rows without a score (the first w - 1 of a series) are dropped from both by the caller. An alarm is raised when
score > threshold. Precision, recall and F1 are counted over rows, and 0/0 counts as 0.

Point adjustment (Xu et al., "Unsupervised anomaly detection via variational auto-encoder for seasonal KPIs in web
applications", WWW 2018) takes every maximal run of label 1 as found when any of its rows is. It inflates F1 on long
runs, so it is reported next to the raw F1 and to what random scores reach (`random_baseline`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class Interpretation:
    """Which channels show an anomaly: the ground truth of a diagnosis.

    Attributes:
        start: first row, 0-based.
        end: last row, inclusive.
        channels: 0-based channels, none twice.
    """

    start: int
    end: int
    channels: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise EdgekitError(
                f"interpretation: rows {self.start} to {self.end} are no segment; use 0-based rows, start <= end."
            )
        if not self.channels or min(self.channels) < 0 or len(set(self.channels)) != len(self.channels):
            raise EdgekitError(
                f"interpretation of rows {self.start} to {self.end}: channels {self.channels} must be distinct "
                "0-based indices, at least one."
            )


@dataclass(frozen=True)
class F1Result:
    """Precision, recall and F1 in [0, 1] of the alarms score > threshold."""

    precision: float
    recall: float
    f1: float
    threshold: float


@dataclass(frozen=True)
class DetectionMetrics:
    """Detection quality of one series.

    Attributes:
        raw: best F1 over all thresholds, no adjustment.
        adjusted: best F1 over all thresholds, point-adjusted.
        roc_auc: area under the ROC curve, raw; nan when the labels hold one class only.
        pr_auc: average precision, raw; nan when the labels hold one class only.
    """

    raw: F1Result
    adjusted: F1Result
    roc_auc: float
    pr_auc: float


def point_adjust(predicted: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Alarms (T,) bool where each maximal run of label 1 is flagged whole if `predicted` (T,) 0/1 hits it anywhere."""
    alarms, anomalous = np.asarray(predicted), _checked_labels(labels)
    if alarms.shape != anomalous.shape:
        raise EdgekitError(
            f"point adjustment: {alarms.shape} predictions do not fit {anomalous.shape} labels; "
            "cut both to the same rows."
        )
    return _spread_maximum(alarms.astype(np.bool_), anomalous)


def f1_at(scores: NDArray[Any], labels: NDArray[Any], threshold: float, adjust: bool = False) -> F1Result:
    """Precision, recall and F1 at a given threshold, point-adjusted if `adjust`."""
    values, anomalous = _checked(scores, labels)
    predicted = values > threshold
    if adjust:
        predicted = _spread_maximum(predicted, anomalous)
    hits = int(np.count_nonzero(predicted & anomalous))
    return _f1_result(hits, int(np.count_nonzero(predicted)), int(np.count_nonzero(anomalous)), threshold)


def best_f1(scores: NDArray[Any], labels: NDArray[Any], adjust: bool = False) -> F1Result:
    """The best F1 over all thresholds: an oracle that has seen the labels, for comparison with the literature only.

    Exact, O(T log T): every set of alarms that a threshold can give is counted once. Of equally good
    thresholds the highest is taken; the threshold returned is itself a score (or lies just below the smallest), and
    `f1_at` gives the same result for it.
    """
    values, anomalous = _checked(scores, labels)
    if adjust:
        # A run turns true positive as a whole when the threshold drops below its maximum, so giving
        # each of its rows that maximum makes the adjusted sweep a plain one.
        values = _spread_maximum(values, anomalous)
    order = np.argsort(-values, kind="stable")
    descending = values[order]
    # Tied scores raise their alarms together: only the last of a tie closes a set of alarms.
    closes = np.append(descending[1:] != descending[:-1], True)
    hits = np.cumsum(anomalous[order])[closes]
    flagged = np.flatnonzero(closes) + 1
    positives = int(np.count_nonzero(anomalous))
    f1 = 2.0 * hits / (flagged + positives)
    best = int(np.argmax(f1))
    if f1[best] == 0.0:
        return _f1_result(0, 0, positives, float(descending[0]))
    last = int(flagged[best])
    threshold = float(descending[last]) if last < descending.size else float(np.nextafter(descending[-1], -np.inf))
    return _f1_result(int(hits[best]), last, positives, threshold)


def roc_auc(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    """Area under the ROC curve (scikit-learn), nan when the labels hold one class only."""
    from sklearn.metrics import roc_auc_score  # a second to import, and `Interpretation` is used everywhere

    values, anomalous = _checked(scores, labels)
    return math.nan if anomalous.all() or not anomalous.any() else float(roc_auc_score(anomalous, values))


def pr_auc(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    """Average precision (scikit-learn), nan when the labels hold one class only."""
    from sklearn.metrics import average_precision_score

    values, anomalous = _checked(scores, labels)
    return math.nan if anomalous.all() or not anomalous.any() else float(average_precision_score(anomalous, values))


def evaluate_scores(scores: NDArray[Any], labels: NDArray[Any]) -> DetectionMetrics:
    """All detection metrics of scores (T,) against labels (T,)."""
    return DetectionMetrics(
        raw=best_f1(scores, labels),
        adjusted=best_f1(scores, labels, adjust=True),
        roc_auc=roc_auc(scores, labels),
        pr_auc=pr_auc(scores, labels),
    )


def random_baseline(labels: NDArray[Any], seed: int, draws: int = 5) -> DetectionMetrics:
    """What uniform random scores reach on labels (T,): every figure is the mean of `draws` independent draws."""
    if draws < 1:
        raise EdgekitError(f"random baseline: draws must be at least 1, not {draws!r}.")
    anomalous = _checked_labels(labels)
    generator = np.random.Generator(np.random.PCG64(seed))
    results = [evaluate_scores(generator.random(anomalous.size), anomalous) for _ in range(draws)]
    return DetectionMetrics(
        raw=_mean_f1([result.raw for result in results]),
        adjusted=_mean_f1([result.adjusted for result in results]),
        roc_auc=float(np.mean([result.roc_auc for result in results])),
        pr_auc=float(np.mean([result.pr_auc for result in results])),
    )


def hit_rate(channel_errors: NDArray[Any], segments: Sequence[Interpretation], percent: float) -> float:
    """HitRate@P% of a diagnosis (Su et al., "Robust anomaly detection for multivariate time series through
    stochastic recurrent neural network", KDD 2019, section 5.5).

    At a row with the true channels GT, the floor(P% * |GT|) channels with the largest errors are looked at (equal
    errors: the lower channel first; never more than C), and the row's hit rate is the share of GT among them.
    Rows are averaged within a segment, then segments with equal weight, so that a long incident does not
    drown the short ones. A row whose errors hold a NaN has no score and is left out, and so is a segment of such
    rows only.

    Args:
        channel_errors: squared errors (T, C) float.
        segments: ground truth, rows and channels within (T, C).
        percent: P, for example 100 or 150.

    Returns:
        The hit rate in [0, 1]; nan when no segment has a scored row.
    """
    errors = np.asarray(channel_errors, dtype=np.float64)
    if errors.ndim != 2:
        raise EdgekitError(f"hit rate: channel errors must have shape (T, C), not {errors.shape}.")
    if not 0.0 < percent < math.inf:
        raise EdgekitError(f"hit rate: percent must be a finite number above 0, not {percent!r}.")
    rows, channels = errors.shape
    rates = []
    for segment in segments:
        if segment.end >= rows or max(segment.channels) >= channels:
            raise EdgekitError(
                f"hit rate: segment {segment.start}-{segment.end} with channels {segment.channels} does not fit "
                f"{rows} rows of {channels} channels; pass 0-based rows and channels of the same series."
            )
        scored = errors[segment.start : segment.end + 1]
        scored = scored[~np.isnan(scored).any(axis=1)]
        if len(scored) == 0:
            continue
        looked_at = int(percent * len(segment.channels) // 100)
        ranked = np.argsort(-scored, axis=1, kind="stable")[:, :looked_at]
        found = np.isin(ranked, segment.channels).sum(axis=1)
        rates.append(float(found.mean()) / len(segment.channels))
    return float(np.mean(rates)) if rates else math.nan


def _checked_labels(labels: NDArray[Any]) -> NDArray[np.bool_]:
    values = np.asarray(labels)
    if values.ndim != 1 or values.size == 0:
        raise EdgekitError(f"metrics: labels must have shape (T,) with T >= 1, not {values.shape}.")
    anomalous: NDArray[np.bool_] = values == 1
    if not (anomalous | (values == 0)).all():
        at = int(np.flatnonzero(~(anomalous | (values == 0)))[0])
        raise EdgekitError(f"metrics: label {at} is {values[at]}; labels must be 0 (normal) or 1 (anomalous).")
    return anomalous


def _checked(scores: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, anomalous = np.asarray(scores, dtype=np.float64), _checked_labels(labels)
    if values.shape != anomalous.shape:
        raise EdgekitError(
            f"metrics: {values.shape} scores do not fit {anomalous.shape} labels; "
            "drop the rows without a score from both."
        )
    if not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values))[0])
        raise EdgekitError(f"metrics: score {at} is {values[at]}; drop the rows without a score first.")
    return values, anomalous


def _spread_maximum(values: NDArray[Any], anomalous: NDArray[np.bool_]) -> NDArray[Any]:
    """A copy of values (T,) where each row of a maximal anomalous run has the run's maximum."""
    edges = np.flatnonzero(np.diff(anomalous, prepend=False, append=False))
    if edges.size == 0:
        return values.copy()
    # reduceat takes no index at the end; a run that touches it lasts to the end anyway.
    maxima = np.maximum.reduceat(values, edges[edges < values.size])[::2]
    spread = values.copy()
    spread[anomalous] = np.repeat(maxima, edges[1::2] - edges[::2])
    return spread


def _f1_result(hits: int, flagged: int, positives: int, threshold: float) -> F1Result:
    return F1Result(
        precision=hits / flagged if flagged else 0.0,
        recall=hits / positives if positives else 0.0,
        f1=2.0 * hits / (flagged + positives) if flagged + positives else 0.0,
        threshold=float(threshold),
    )


def _mean_f1(results: list[F1Result]) -> F1Result:
    precision, recall, f1, threshold = np.mean([(r.precision, r.recall, r.f1, r.threshold) for r in results], axis=0)
    return F1Result(float(precision), float(recall), float(f1), float(threshold))
