"""Alarm thresholds, fitted on training scores only: the test data never sets the threshold that it is judged by.

An alarm is raised when score > threshold. Scores are the summed squared errors S_t of the model, in the squared
unit of the scaled input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import genpareto

from edgekit.errors import EdgekitError

MIN_SCORES = 10
MIN_EXCESSES = 10  # below this the shape of a tail is guesswork, so only its mean is used


@dataclass(frozen=True)
class Thresholds:
    """Thresholds stored with a model, in the unit of the scores.

    Attributes:
        quantile: the plain quantile of the training scores.
        pot: peaks over threshold, extrapolated beyond the quantiles that the training scores can show.
    """

    quantile: float
    pot: float


def quantile_threshold(scores: NDArray[Any], quantile: float) -> float:
    """The quantile (in (0, 1), linear interpolation) of training scores (T,) float."""
    if not 0.0 < quantile < 1.0:
        raise EdgekitError(f"quantile threshold: quantile must lie between 0 and 1, not {quantile!r}.")
    return float(np.quantile(_training_scores(scores), quantile))


def pot_threshold(scores: NDArray[Any], risk: float = 1e-3, level: float = 0.02) -> float:
    """The score that training-like data exceeds with probability `risk`, by peaks over threshold.

    The initial step of SPOT: Siffer, Fouque, Termier, Largouet, "Anomaly detection in streams with extreme value
    theory", KDD 2017. The largest share `level` of the scores lies above the initial threshold t; a generalized
    Pareto distribution (shape gamma, scale sigma) is fitted to their N_t excesses over t, and

        z_q = t + sigma / gamma * ((q * n / N_t) ** -gamma - 1),    q = risk, n = number of scores.

    An exponential tail (gamma = 0) takes its place when there are fewer than 10 excesses, when they are all
    equal, or when the fit does not converge to something at least as likely. The theory asks for independent
    scores; overlapping windows are not, so `risk` is nominal.

    Args:
        scores: training scores (T,) float, at least 10.
        risk: nominal probability of an alarm per normal score, below `level`.
        level: share of the scores that is taken as the tail.

    Returns:
        The threshold, never below t. Where many scores are tied and nothing lies above t, it is t.
    """
    if not 0.0 < risk < level < 1.0:
        raise EdgekitError(
            f"POT threshold: needs 0 < risk < level < 1, not risk {risk!r} and level {level!r}; "
            "lower the risk or raise the level."
        )
    values = _training_scores(scores)
    initial = float(np.quantile(values, 1.0 - level))
    excesses = values[values > initial] - initial
    if excesses.size == 0:
        return initial
    gamma, sigma = _fit_tail(excesses)
    log_ratio = math.log(risk) + math.log(values.size / excesses.size)
    try:
        threshold = initial + sigma * _tail_growth(gamma, log_ratio)
    except OverflowError:
        threshold = math.inf
    if not math.isfinite(threshold):
        raise EdgekitError(
            f"POT threshold: the training scores' tail (shape {gamma:.3g}) has no finite threshold at risk {risk!r}; "
            "raise the risk or use the quantile threshold."
        )
    # With ties the tail can hold less than `risk` of the scores; the formula would then point below t.
    return max(initial, threshold)


def fit_thresholds(
    scores: NDArray[Any], quantile: float = 0.999, risk: float = 1e-3, level: float = 0.02
) -> Thresholds:
    """Both thresholds of training scores (T,) float; see `quantile_threshold` and `pot_threshold`."""
    return Thresholds(quantile=quantile_threshold(scores, quantile), pot=pot_threshold(scores, risk, level))


def _training_scores(scores: NDArray[Any]) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise EdgekitError(f"threshold: training scores must have shape (T,), not {values.shape}; pass one series.")
    if values.size < MIN_SCORES:
        raise EdgekitError(
            f"threshold: {values.size} training scores are too few, at least {MIN_SCORES} are needed; "
            "score a longer training series."
        )
    if not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values))[0])
        raise EdgekitError(
            f"threshold: training score {at} is {values[at]}; "
            "drop the rows that have no score and check the training data and the checkpoint."
        )
    return values


def _fit_tail(excesses: NDArray[np.float64]) -> tuple[float, float]:
    """Shape gamma and scale sigma of a generalized Pareto distribution for excesses (N_t,) > 0."""
    mean = float(excesses.mean())
    if excesses.size < MIN_EXCESSES or np.ptp(excesses) == 0.0:
        return 0.0, mean
    # The optimizer's tolerances are absolute and squared errors can be 1e-6: fit in units of the mean.
    scaled = excesses / mean
    try:
        gamma, _, sigma = genpareto.fit(scaled, 0.1, floc=0.0, scale=1.0)
    except (RuntimeError, ValueError):  # scipy's FitError is a RuntimeError
        return 0.0, mean
    # At gamma <= -1 the likelihood is unbounded, so its maximum says nothing. With the mean at 1 the
    # exponential's negative log-likelihood is N_t.
    converged = gamma > -1.0 and sigma > 0.0 and genpareto.nnlf((gamma, 0.0, sigma), scaled) <= scaled.size
    return (float(gamma), float(sigma) * mean) if converged else (0.0, mean)


def _tail_growth(gamma: float, log_ratio: float) -> float:
    """(ratio ** -gamma - 1) / gamma, continuous at gamma = 0."""
    if abs(gamma) < 1e-9:
        return -log_ratio
    return math.expm1(-gamma * log_ratio) / gamma
