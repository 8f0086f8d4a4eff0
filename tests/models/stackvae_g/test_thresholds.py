"""Thresholds against known tails and hand-made scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import genpareto

from edgekit.errors import EdgekitError
from edgekit.models.stackvae_g.thresholds import Thresholds, fit_thresholds, pot_threshold, quantile_threshold

RISK, LEVEL = 1e-3, 0.02


def gpd_sample(gamma: float, scale: float, size: int = 40_000, seed: int = 0) -> np.ndarray:
    return genpareto(gamma, scale=scale).rvs(size, random_state=np.random.default_rng(seed))


def test_quantile_interpolates():
    assert quantile_threshold(np.arange(11.0)[::-1], 0.95) == pytest.approx(9.5)


# Of 40,000 scores the tail holds 800; over 40 seeds the estimate at risk 1e-3 scatters by 1 to 4 % for these shapes,
# so 12 % is three standard deviations. A wrong sign of gamma or a lost n / N_t misses by far more.
@pytest.mark.parametrize("gamma", [-0.2, 0.0, 0.25])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 300.0])
def test_pot_finds_the_quantile_of_a_known_tail(gamma: float, scale: float):
    true = genpareto(gamma, scale=scale).ppf(1.0 - RISK)
    assert pot_threshold(gpd_sample(gamma, scale), RISK, LEVEL) == pytest.approx(true, rel=0.12)


def test_pot_extrapolates_beyond_the_sample():
    scores = gpd_sample(0.0, 1.0, size=20_000)
    threshold = pot_threshold(scores, risk=1e-6, level=LEVEL)
    assert threshold > scores.max()
    assert threshold == pytest.approx(-math.log(1e-6), rel=0.2)


def test_pot_is_equivariant_to_scale_and_shift():
    scores = gpd_sample(0.1, 1.0, size=5_000)
    assert pot_threshold(7.0 + 1e-5 * scores) == pytest.approx(7.0 + 1e-5 * pot_threshold(scores), rel=1e-6)


def test_few_excesses_give_the_exponential_by_hand():
    scores = np.concatenate([np.zeros(95), [1.0, 1.5, 2.0, 2.5, 8.0]])
    # 100 scores, level 0.05: t = 0.05 (linear between 0 and 1), 5 excesses with mean 3 - t.
    t = float(np.quantile(scores, 0.95))
    expected = t - (3.0 - t) * math.log(1e-3 * 100 / 5)
    assert pot_threshold(scores, 1e-3, 0.05) == pytest.approx(expected, rel=1e-12)


def test_equal_excesses_give_the_exponential_by_hand():
    scores = np.concatenate([np.zeros(980), np.full(20, 2.0)])
    t = float(np.quantile(scores, 0.975))
    assert pot_threshold(scores, 1e-3, 0.025) == pytest.approx(t - (2.0 - t) * math.log(1e-3 * 1000 / 20))


@pytest.mark.parametrize("outcome", [(-3.0, 0.0, 1.0), (math.nan, 0.0, 1.0), (5.0, 0.0, 40.0), RuntimeError("no fit")])
def test_failed_fit_falls_back_to_the_exponential(monkeypatch: pytest.MonkeyPatch, outcome):
    def fit(*args, **kwargs):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    scores = gpd_sample(0.0, 1.0, size=2_000)
    t = float(np.quantile(scores, 1.0 - LEVEL))
    excesses = scores[scores > t] - t
    monkeypatch.setattr(genpareto, "fit", fit)
    expected = t - excesses.mean() * math.log(RISK * scores.size / excesses.size)
    assert pot_threshold(scores, RISK, LEVEL) == pytest.approx(expected, rel=1e-12)


def test_likelihood_without_a_maximum_falls_back_to_the_exponential():
    # Below gamma = -1 the density grows towards the end of the tail, and the likelihood with it, without bound.
    scores = gpd_sample(-2.0, 1.0, size=5_000)
    t = float(np.quantile(scores, 1.0 - LEVEL))
    excesses = scores[scores > t] - t
    expected = t - excesses.mean() * math.log(RISK * scores.size / excesses.size)
    assert pot_threshold(scores, RISK, LEVEL) == pytest.approx(expected, rel=1e-12)


def test_pot_never_lies_below_the_initial_threshold():
    # 20 tied scores at the 98 % quantile leave a tail smaller than the risk.
    scores = np.concatenate([np.linspace(0.0, 1.0, 9_000), np.full(999, 2.0), [3.0]])
    assert pot_threshold(scores, risk=1e-2, level=LEVEL) == 2.0
    assert pot_threshold(np.full(50, 4.0)) == 4.0


def test_fit_thresholds_bundles_both():
    scores = gpd_sample(0.1, 1.0, size=2_000)
    assert fit_thresholds(scores, 0.99, 1e-4, 0.05) == Thresholds(
        quantile=quantile_threshold(scores, 0.99), pot=pot_threshold(scores, 1e-4, 0.05)
    )


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (np.zeros(0), "too few"),
        (np.zeros(9), "too few"),
        (np.zeros((20, 2)), "shape"),
        (np.append(np.zeros(20), np.nan), "score 20 is nan"),
        (np.append(np.inf, np.zeros(20)), "score 0 is inf"),
    ],
)
def test_unusable_scores_are_refused(scores: np.ndarray, says: str):
    for fit in (lambda: quantile_threshold(scores, 0.9), lambda: pot_threshold(scores)):
        with pytest.raises(EdgekitError, match=says):
            fit()


def test_impossible_settings_are_refused():
    scores = np.arange(100.0)
    for quantile in (0.0, 1.0, math.nan):
        with pytest.raises(EdgekitError, match="quantile"):
            quantile_threshold(scores, quantile)
    for risk, level in ((0.0, 0.02), (0.02, 0.02), (0.1, 1.0), (math.nan, 0.02)):
        with pytest.raises(EdgekitError, match="risk"):
            pot_threshold(scores, risk, level)


def test_tail_without_finite_threshold_is_refused():
    scores = gpd_sample(3.0, 1.0, size=5_000)
    with pytest.raises(EdgekitError, match="raise the risk"):
        pot_threshold(scores, risk=1e-300)
