"""The authors' protocol against one written pixel by pixel, and its traps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import EdgekitError
from edgekit.models.rpcanet.metrics import binarise, score


def brute_force(answers) -> dict[str, float]:
    """Every pixel by itself, objects by flooding."""
    tp = fp = fn = objects = found = background = alarms = 0
    for logits, mask in answers:
        probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
        positive = {
            (row, column)
            for row, column in np.ndindex(mask.shape)
            if probability.max() > 0 and probability[row, column] / probability.max() > 0.5
        }
        truth = {place for place in np.ndindex(mask.shape) if mask[place]}
        tp += len(positive & truth)
        fp += len(positive - truth)
        fn += len(truth - positive)
        if truth:
            background += mask.size - len(truth)
            alarms += len(positive - truth)
        remaining = set(truth)
        while remaining:
            flood = [remaining.pop()]
            touched = False
            while flood:
                row, column = flood.pop()
                touched |= (row, column) in positive
                near = {(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)} & remaining
                remaining -= near
                flood += near
            objects += 1
            found += touched
    return {
        "iou": tp / (tp + fp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
        "detected": found / objects,
        "false_alarms": alarms / background,
        "objects": objects,
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.4))
def test_against_brute_force(seed: int, density: float):
    generator = np.random.default_rng(seed)
    answers = [
        (
            generator.normal(generator.normal(-1, 3), 3, (9, 11)).astype(np.float32),
            generator.random((9, 11)) < density,
        )
        for _ in range(3)
    ]
    answers.append((answers[0][0], np.zeros((9, 11), np.bool_)))
    answers.append((answers[1][0], np.eye(9, 11, dtype=np.bool_)))
    found = score(iter(answers)).to_dict()
    assert found.pop("images") == 5
    for name, value in brute_force(answers).items():
        assert math.isclose(found[name], value, rel_tol=1e-12), name


def test_normalised_by_the_maximum():
    """The decision is not "logit above 0": where nothing is certain, something is found all the same."""
    logits = np.full((4, 4), -5.0, np.float32)
    logits[1, 2] = -3.0  # 0.047, the maximum; the others are 0.0067
    assert np.argwhere(binarise(logits)).tolist() == [[1, 2]]
    logits[1, 2], logits[3, 3] = 9.0, -0.01  # 0.4975 of about 1
    assert np.argwhere(binarise(logits)).tolist() == [[1, 2]]
    logits[3, 3] = 0.01
    assert np.argwhere(binarise(logits)).tolist() == [[1, 2], [3, 3]]


def test_maximum_of_zero():
    assert not binarise(np.full((3, 3), -1000.0, np.float32)).any()


def test_pixels_count_together_not_per_image():
    large, small = np.zeros((8, 8), np.bool_), np.zeros((8, 8), np.bool_)
    large[:4], small[0, 0] = True, True
    hit = np.where(large, 9, -9).astype(np.float32)
    scores = score([(hit, large), (hit, small)])
    assert scores.iou == 33 / 64  # the mean over images would be (1 + 1/32) / 2
    assert scores.f1 == pytest.approx(2 * 33 / (2 * 33 + 31))


def test_touching_is_finding_and_corners_connect():
    mask = np.zeros((6, 6), np.bool_)
    mask[0, 0] = mask[1, 1] = mask[4, 4] = True
    logits = np.full((6, 6), -9, np.float32)
    logits[1, 1] = logits[1, 2] = 9
    scores = score([(logits, mask)])
    assert scores.objects == 2
    assert scores.detected == 0.5
    assert scores.false_alarms == 1 / 33


def test_images_without_objects_count_for_iou_but_not_for_false_alarms():
    empty, mask = np.zeros((4, 4), np.bool_), np.eye(4, dtype=np.bool_)
    hit = np.where(mask, 9, -9).astype(np.float32)
    scores = score([(hit, mask), (hit, empty)])
    assert scores.iou == 0.5
    assert scores.false_alarms == 0
    assert scores.images == 2


@pytest.mark.parametrize(
    ("logits", "mask", "message"),
    [
        (np.zeros((4, 4)), np.zeros((4, 4)), "none of 1 masks has an object"),
        (np.zeros((4, 4)), np.ones((4, 5)), r"\(4, 4\).*\(4, 5\)"),
        (np.full((4, 4), np.nan), np.ones((4, 4)), "not finite"),
    ],
)
def test_what_cannot_be_scored(logits, mask, message):
    with pytest.raises(EdgekitError, match=message):
        score([(logits.astype(np.float32), mask.astype(np.bool_))])
