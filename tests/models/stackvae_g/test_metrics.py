"""Metrics against brute force, scikit-learn and cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, precision_recall_fscore_support, roc_curve

from edgekit.errors import EdgekitError
from edgekit.models.stackvae_g.metrics import (
    F1Result,
    Interpretation,
    best_f1,
    evaluate_scores,
    f1_at,
    hit_rate,
    point_adjust,
    pr_auc,
    random_baseline,
    roc_auc,
)

# Few distinct values, so that ties are the rule.
series = st.lists(st.tuples(st.integers(-3, 4), st.booleans()), min_size=1, max_size=24).map(
    lambda rows: (np.array([s for s, _ in rows], dtype=float) / 4.0, np.array([a for _, a in rows], dtype=np.uint8))
)


def brute_adjust(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    out = [bool(p) for p in predicted]
    for t in range(len(labels)):
        if labels[t] and predicted[t]:
            for step in (-1, 1):
                at = t
                while 0 <= at < len(labels) and labels[at]:
                    out[at] = True
                    at += step
    return np.array(out)


def sklearn_f1(predicted: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    p, r, f, _ = precision_recall_fscore_support(labels, predicted, average="binary", zero_division=0)
    return float(p), float(r), float(f)


def brute_best(scores: np.ndarray, labels: np.ndarray, adjust: bool) -> float:
    best = 0.0
    for value in scores:
        predicted = scores >= value
        predicted = brute_adjust(predicted, labels) if adjust else predicted
        hits = sum(1 for p, a in zip(predicted, labels, strict=True) if p and a)
        best = max(best, 2 * hits / (int(predicted.sum()) + int(labels.sum())))
    return best


@given(series)
def test_point_adjust_is_the_brute_force(case: tuple[np.ndarray, np.ndarray]):
    scores, labels = case
    np.testing.assert_array_equal(point_adjust(scores > 0, labels), brute_adjust(scores > 0, labels))


def test_point_adjust_by_hand():
    labels = np.array([1, 1, 0, 1, 1, 1, 0, 0, 1])
    predicted = np.array([0, 1, 0, 0, 0, 0, 1, 0, 1])
    before = predicted.copy()
    assert point_adjust(predicted, labels).astype(int).tolist() == [1, 1, 0, 0, 0, 0, 1, 0, 1]
    np.testing.assert_array_equal(predicted, before)
    assert point_adjust(np.array([0, 0, 1]), np.array([1, 1, 1])).all()
    assert not point_adjust(np.array([0, 0, 0]), np.array([1, 1, 1])).any()
    assert point_adjust(np.array([1, 0]), np.array([0, 0])).tolist() == [True, False]


@settings(max_examples=60)
@given(series, st.sampled_from([-1.0, -0.25, 0.0, 0.1, 0.75, 2.0]), st.booleans())
def test_f1_at_is_sklearns(case: tuple[np.ndarray, np.ndarray], threshold: float, adjust: bool):
    scores, labels = case
    predicted = brute_adjust(scores > threshold, labels) if adjust else scores > threshold
    result = f1_at(scores, labels, threshold, adjust)
    assert (result.precision, result.recall, result.f1) == pytest.approx(sklearn_f1(predicted, labels))
    assert result.threshold == threshold


@settings(max_examples=300)
@given(series, st.booleans())
def test_best_f1_is_the_brute_force(case: tuple[np.ndarray, np.ndarray], adjust: bool):
    scores, labels = case
    result = best_f1(scores, labels, adjust)
    assert result.f1 == brute_best(scores, labels, adjust)
    assert f1_at(scores, labels, result.threshold, adjust) == result


def test_best_f1_by_hand():
    scores = np.array([0.9, 0.1, 0.5, 0.5, 0.7, 0.2])
    labels = np.array([1, 1, 0, 0, 0, 1])
    # Raw: only everything flagged (3 of 6) or the top score (1 of 1) matter: 2*3/9 against 2*1/4.
    assert best_f1(scores, labels) == F1Result(0.5, 1.0, 2 / 3, float(np.nextafter(0.1, -1)))
    # Adjusted: above 0.7 the first run is found whole and nothing else is flagged.
    assert best_f1(scores, labels, adjust=True) == F1Result(1.0, 2 / 3, 0.8, 0.7)


def test_best_f1_takes_the_highest_of_equal_thresholds():
    # {4} gives 2*1/(1+3), {4, 3, 2, 1, 0} gives 2*2/(5+3).
    assert best_f1(np.array([4.0, 3.0, 2.0, 1.0, 0.0, -1.0]), np.array([1, 0, 0, 0, 1, 1])).f1 == 2 * 3 / 9
    equal = best_f1(np.array([3.0, 2.0, 1.0, 0.0]), np.array([1, 0, 0, 1]))
    assert equal.f1 == f1_at(np.array([3.0, 2.0, 1.0, 0.0]), np.array([1, 0, 0, 1]), 2.0).f1 == 2 / 3
    assert equal.threshold == 2.0


@pytest.mark.parametrize("adjust", [False, True])
def test_single_class_labels(adjust: bool):
    scores = np.array([1.0, 3.0, 2.0])
    assert best_f1(scores, np.zeros(3), adjust) == F1Result(0.0, 0.0, 0.0, 3.0)
    assert best_f1(scores, np.ones(3), adjust).f1 == 1.0
    for labels in (np.zeros(3), np.ones(3)):
        assert math.isnan(roc_auc(scores, labels))
        assert math.isnan(pr_auc(scores, labels))


@settings(max_examples=60)
@given(series.filter(lambda case: 0 < case[1].sum() < len(case[1])))
def test_areas(case: tuple[np.ndarray, np.ndarray]):
    scores, labels = case
    fpr, tpr, _ = roc_curve(labels, scores)
    assert roc_auc(scores, labels) == pytest.approx(auc(fpr, tpr))
    area, recall_before = 0.0, 0.0
    for value in sorted(set(scores.tolist()), reverse=True):
        precision, recall, _ = sklearn_f1(scores >= value, labels)
        area, recall_before = area + precision * (recall - recall_before), recall
    assert pr_auc(scores, labels) == pytest.approx(area)


def test_evaluate_scores_bundles_them():
    scores, labels = np.array([0.9, 0.1, 0.5, 0.5, 0.7, 0.2]), np.array([1, 1, 0, 0, 0, 1])
    metrics = evaluate_scores(scores, labels)
    assert (metrics.raw, metrics.adjusted) == (best_f1(scores, labels), best_f1(scores, labels, adjust=True))
    assert (metrics.roc_auc, metrics.pr_auc) == (roc_auc(scores, labels), pr_auc(scores, labels))


def test_random_baseline_shows_how_point_adjustment_inflates():
    labels = np.zeros(4_000, dtype=np.uint8)
    labels[1_000:1_400] = 1
    baseline = random_baseline(labels, seed=3)
    assert baseline == random_baseline(labels, seed=3)
    assert baseline != random_baseline(labels, seed=4)
    assert baseline.roc_auc == pytest.approx(0.5, abs=0.03)
    assert baseline.pr_auc == pytest.approx(0.1, abs=0.02)
    assert baseline.raw.f1 == pytest.approx(2 * 0.1 / 1.1, abs=0.02)
    assert baseline.adjusted.f1 > 0.9


def test_random_baseline_is_the_mean_of_its_draws():
    labels = np.repeat([0, 1, 0, 1], 5)
    stream = np.random.Generator(np.random.PCG64(5))
    draws = [evaluate_scores(stream.random(20), labels) for _ in range(3)]
    baseline = random_baseline(labels, seed=5, draws=3)
    assert baseline.raw.f1 == pytest.approx(sum(d.raw.f1 for d in draws) / 3)
    assert baseline.adjusted.recall == pytest.approx(sum(d.adjusted.recall for d in draws) / 3)
    assert baseline.pr_auc == pytest.approx(sum(d.pr_auc for d in draws) / 3)


def brute_hit_rate(errors: np.ndarray, segments: list[Interpretation], percent: float) -> float:
    by_segment = []
    for segment in segments:
        by_row = []
        for row in range(segment.start, segment.end + 1):
            if any(math.isnan(e) for e in errors[row]):
                continue
            ranked = sorted(range(errors.shape[1]), key=lambda c: (-errors[row, c], c))
            top = ranked[: math.floor(percent / 100 * len(segment.channels))]
            by_row.append(len(set(top) & set(segment.channels)) / len(segment.channels))
        if by_row:
            by_segment.append(sum(by_row) / len(by_row))
    return sum(by_segment) / len(by_segment) if by_segment else math.nan


@pytest.mark.parametrize("percent", [50, 100, 150])
@pytest.mark.parametrize("seed", range(5))
def test_hit_rate_is_the_brute_force(percent: int, seed: int):
    generator = np.random.default_rng(seed)
    errors = generator.integers(0, 5, (60, 7)).astype(float)
    errors[generator.integers(0, 60, 6), generator.integers(0, 7, 6)] = np.nan
    segments = [
        Interpretation(start, start + length, tuple(generator.permutation(7)[:count].tolist()))
        for start, length, count in [(0, 9, 2), (20, 0, 1), (25, 14, 5), (50, 9, 7)]
    ]
    assert hit_rate(errors, segments, percent) == pytest.approx(brute_hit_rate(errors, segments, percent))


def test_hit_rate_by_hand():
    errors = np.array([[9.0, 8.0, 1.0, 0.0], [9.0, 1.0, 8.0, 0.0], [0.0, 9.0, 8.0, 0.0], [1.0, 2.0, 3.0, 4.0]])
    first, last = Interpretation(0, 2, (0, 1)), Interpretation(3, 3, (3,))
    # Rows of the first segment find 2, 1 and 1 of two channels; segments weigh the same.
    assert hit_rate(errors, [first, last], 100) == pytest.approx((2 / 3 + 1.0) / 2)
    # Three channels of the first segment: 2, 2 and 2 (of the tied 0 and 3 the lower channel comes first).
    assert hit_rate(errors, [first], 150) == 1.0
    # floor(150 % of 1) is still 1, floor(99 % of 1) is none.
    assert hit_rate(errors, [last], 150) == 1.0
    assert hit_rate(errors, [last], 99) == 0.0


def test_hit_rate_leaves_rows_without_a_score_out():
    errors = np.array([[np.nan, np.nan], [1.0, 0.0], [0.0, 1.0]])
    assert hit_rate(errors, [Interpretation(0, 1, (0,))], 100) == 1.0
    assert hit_rate(errors, [Interpretation(0, 0, (0,)), Interpretation(1, 2, (0,))], 100) == 0.5
    assert math.isnan(hit_rate(errors, [Interpretation(0, 0, (0,))], 100))
    assert math.isnan(hit_rate(errors, [], 100))


def test_unusable_input_is_refused():
    two, labels = np.array([1.0, 2.0]), np.array([0, 1])
    for call, says in (
        (lambda: best_f1(two, np.array([0, 1, 0])), "do not fit"),
        (lambda: point_adjust(two > 1, np.array([1])), "do not fit"),
        (lambda: best_f1(two, np.array([0, 2])), "label 1 is 2"),
        (lambda: best_f1(np.array([np.nan, 1.0]), labels), "score 0 is nan"),
        (lambda: best_f1(np.zeros(0), np.zeros(0)), "T >= 1"),
        (lambda: random_baseline(labels, 0, draws=0), "draws"),
        (lambda: hit_rate(np.zeros(3), [], 100), "shape"),
        (lambda: hit_rate(np.zeros((3, 2)), [], 0), "percent"),
        (lambda: hit_rate(np.zeros((3, 2)), [Interpretation(1, 3, (0,))], 100), "does not fit"),
        (lambda: hit_rate(np.zeros((3, 2)), [Interpretation(1, 2, (2,))], 100), "does not fit"),
        (lambda: Interpretation(3, 2, (0,)), "no segment"),
        (lambda: Interpretation(0, 2, ()), "at least one"),
        (lambda: Interpretation(0, 2, (1, 1)), "distinct"),
    ):
        with pytest.raises(EdgekitError, match=says):
            call()
