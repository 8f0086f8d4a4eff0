"""The comparison with eager answers, against figures worked out by hand."""

import math

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.export.recipes import find_recipe
from edgekit.export.verify import Sample, gate_failures, measure
from edgekit.models.metrics import Metric
from edgekit_runtime.tensors import MethodSpec, TensorSpec

SPEC = MethodSpec("forward", (TensorSpec("x", (3,), "float32"),), (TensorSpec("y", (3,), "float32"),))


class Answering:
    """Stands in for a session that gives fixed answers."""

    methods = (SPEC,)

    def __init__(self, *answers):
        self.answers = list(answers)

    def run(self, *inputs, method=None):
        return [np.asarray(self.answers.pop(0), np.float32)]


def sample(*expected):
    return Sample("forward", (np.zeros(3, np.float32),), (np.asarray(expected, np.float32),))


def test_errors_over_all_samples():
    session = Answering([1.0, 2.0, 4.5], [0.0, -8.0, 1.0])
    (error,) = measure(session, [sample(1, 2, 4), sample(0, -8, 0)])
    assert error.max_abs == 1.0
    assert error.relative == 1 / 12  # from -8 to 4
    assert error.snr_db == pytest.approx(10 * math.log10(6 * np.var([1, 2, 4, 0, -8, 0]) / (0.25 + 1)))


def test_a_constant_offset_is_no_signal():
    """A head that always answers 5 where 4.99 to 5.01 is wanted is as far off as its output reaches."""
    (error,) = measure(Answering([5, 5, 5]), [sample(4.99, 5.0, 5.01)])
    assert error.relative == pytest.approx(0.5, rel=1e-3)
    assert error.snr_db == pytest.approx(0.0, abs=0.01)
    assert gate_failures([error], find_recipe("int8"))


def test_float32_rounding_of_an_offset_is_no_failure():
    (error,) = measure(Answering([1e4, 1e4 + 1e-3, 1e4]), [sample(1e4, 1e4, 1e4 + 1e-3)])
    assert error.relative > 1e-4
    assert not gate_failures([error], find_recipe("fp32"))


def test_outputs_that_never_change_are_measured_by_their_size():
    (error,) = measure(Answering([4, 4, 4]), [sample(5, 5, 5)])
    assert (error.max_abs, error.relative) == (1.0, 0.2)
    assert error.snr_db == pytest.approx(10 * math.log10(25))


def test_equal_answers_have_no_ratio():
    (error,) = measure(Answering([1, 2, 3]), [sample(1, 2, 3)])
    assert (error.max_abs, error.snr_db) == (0.0, None)


def test_answers_that_are_not_finite_are_an_error():
    with pytest.raises(EdgekitError, match="not finite"):
        measure(Answering([1, np.nan, 3]), [sample(1, 2, 3)])


@pytest.mark.parametrize(
    ("recipe", "answer", "metric", "reasons"),
    [
        ("fp32", [1, 2, 4.0001], None, 0),
        ("fp32", [1, 2, 4.01], None, 1),
        ("int8", [1, 2, 4.01], None, 0),
        ("int8", [1, 2, 2], None, 1),
        ("int8", [1, 2, 4.01], (Metric("IoU", 0.9), 0.896, 0.005), 0),
        ("int8", [1, 2, 4.01], (Metric("IoU", 0.9), 0.894, 0.005), 1),
        ("int8", [1, 2, 4.01], (Metric("IoU", 0.9), 0.99, 0.005), 0),
        ("int8", [1, 2, 4.01], (Metric("IoU", 0.9), float("nan"), 0.005), 1),
        ("int8", [1, 2, 4.01], (Metric("perplexity", 20.0, higher_is_better=False), 20.1, 0.2), 0),
        ("int8", [1, 2, 4.01], (Metric("perplexity", 20.0, higher_is_better=False), 20.3, 0.2), 1),
        ("int8", [1, 2, 4.01], (Metric("perplexity", 20.0, higher_is_better=False), 12.0, 0.2), 0),
    ],
)
def test_gate(recipe, answer, metric, reasons):
    errors = measure(Answering(answer), [sample(1, 2, 4)])
    assert len(gate_failures(errors, find_recipe(recipe), *metric or ())) == reasons


def test_a_missed_metric_is_said_in_its_direction():
    lower = gate_failures([], find_recipe("int8"), Metric("perplexity", 20.0, False), 20.3, 0.2)
    assert lower == ["perplexity 20.3, at most 0.2 above the eager model's 20 is allowed"]
    higher = gate_failures([], find_recipe("int8"), Metric("IoU", 0.9), 0.8, 0.005)
    assert higher == ["IoU 0.8, at most 0.005 below the eager model's 0.9 is allowed"]
