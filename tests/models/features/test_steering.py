"""KL targets to coefficients, and what `--set steer=` may be."""

import pytest
import torch

from edgekit.errors import UsageError
from edgekit.models.features.dictionary import Feature
from edgekit.models.features.steering import Amount, coefficient, coefficients, read_steering

from .made import ROWS, made_atoms, made_dictionary

ONE = made_dictionary({4: made_atoms(30, 6)})
TWO = made_dictionary({4: made_atoms(30, 6), 6: made_atoms(30, 6, seed=1)})


@pytest.mark.parametrize(
    ("kl", "alpha"),
    # Straight in the root of the KL: (0.2 ** 0.5 - 0.1 ** 0.5) / (0.3 ** 0.5 - 0.1 ** 0.5) is 0.565826.
    [(0, 0), (0.1, 1), (0.3, 2), (0.2, 1.565826), (0.05, 0.5**0.5), (-0.1, -2), (-0.2, -3), (-0.025, -1)],
)
def test_a_coefficient_lies_between_rows(kl, alpha):
    assert coefficient(Feature(steering=ROWS), kl, "it") == pytest.approx(alpha, rel=1e-5)


def test_beyond_the_rows():
    for kl in (0.31, -0.21, float("nan"), float("inf")):
        with pytest.raises(UsageError, match=r"feature 4:1 was calibrated from KL -0.2 to 0.3, not "):
            coefficient(Feature(steering=ROWS), kl, "feature 4:1")
    with pytest.raises(UsageError, match=r"from KL 0 to 0.3, not -0.1"):
        coefficient(Feature(steering=ROWS[2:]), -0.1, "it")
    for kl in (0.0, 0.1):
        with pytest.raises(UsageError, match="was not calibrated"):
            coefficient(Feature(), kl, "it")


def test_what_a_user_writes():
    amounts = read_steering("4:2=0.1, 4:5=-0.2,6:0=0.3", TWO, "FILE")
    assert amounts == (Amount(4, 2, 0.1, 1), Amount(4, 5, -0.2, -3), Amount(6, 0, 0.3, 2))
    found = coefficients(amounts, 6)
    assert {layer: values.tolist() for layer, values in found.items()} == {
        4: [0, 0, 1, 0, 0, -3],
        6: [2, 0, 0, 0, 0, 0],
    }
    one = coefficients(read_steering("3=0.1", ONE, "FILE"), 6)
    assert torch.equal(one[4], torch.tensor([0.0, 0, 0, 1, 0, 0]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is not FEATURE=KL"),
        ("4:2", "'4:2' is not FEATURE=KL"),
        ("4:2=much", "'4:2=much' is not FEATURE=KL"),
        ("4:x=0.1", "'4:x' is no feature"),
        ("2=0.1", "has layers 4, 6"),
        ("5:2=0.1", "has no layer 5"),
        ("4:6=0.1", "has no feature 6: its features are 0 to 5"),
        ("4:2=0.1,4:2=0.2", "feature 4:2 is named twice"),
        ("4:2=0.4", "feature 4:2 was calibrated from KL -0.2 to 0.3, not 0.4"),
    ],
)
def test_what_is_refused(text, said):
    with pytest.raises(UsageError, match=said):
        read_steering(text, TWO, "FILE")
