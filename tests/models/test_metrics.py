"""Directions of task metrics, and what a drop allows."""

import pytest

from edgekit.errors import UsageError
from edgekit.models.metrics import Drop, Metric, samples_of


def test_a_loss_is_positive_where_a_value_is_worse():
    assert Metric("IoU", 0.6).loss(0.5) == pytest.approx(0.1)
    assert Metric("IoU", 0.6).loss(0.7) == pytest.approx(-0.1)
    perplexity = Metric("perplexity", 20.0, higher_is_better=False)
    assert perplexity.loss(21.0) == 1.0
    assert perplexity.loss(19.0) == -1.0


@pytest.mark.parametrize(
    ("text", "allowed", "spelled"),
    [("0.5%", 0.1, "0.5%"), (" 3 % ", 0.6, "3%"), ("0.005", 0.005, "0.005"), ("0", 0.0, "0"), ("1e-3", 0.001, "0.001")],
)
def test_a_percentage_is_of_the_eager_value(text: str, allowed: float, spelled: str):
    drop = Drop.parse(text)
    assert drop.allowed(20.0) == pytest.approx(allowed)
    assert str(drop) == spelled


@pytest.mark.parametrize("text", ["", "half", "-0.1", "-1%", "nan", "inf", "1e999", "%", "0.5%%", "1..2", "0,5%"])
def test_what_is_no_drop(text: str):
    with pytest.raises(UsageError, match=r"is no drop: write a percentage"):
        Drop.parse(text)


def test_how_many_samples_an_extent_asks_for():
    assert (samples_of("quick", 16), samples_of("all", 16), samples_of(40, 16)) == (16, None, 40)
