"""Synthetic telemetry with planted faults, for demos, tests and calibration where there is no data.

Normal behaviour is correlated AR(1) noise plus a slow daily cycle. It has the second-order statistics of
real telemetry and none of its regimes: good for plumbing and calibration, no substitute for a benchmark.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError

from .metrics import Interpretation

SEASON_SHARE = 0.1  # of a channel's variance
MIN_FAULT_ROWS, MAX_FAULT_ROWS = 5, 200
ROWS_PER_FAULT = 4 * MIN_FAULT_ROWS
FAULT_KINDS = ("level shift", "spike burst", "stuck", "correlation break")
MIN_BROKEN_CORRELATION = 0.5


@dataclass(frozen=True, eq=False)
class TelemetryStatistics:
    """Second-order statistics of C sensor channels, in the unit of the (scaled) values; all float32.

    Attributes:
        mean: (C,).
        std: (C,), 0 for a constant channel.
        autocorrelation: (C,), at lag 1, in [-1, 1]; 0 for a constant channel.
        correlation: (C, C), diagonal 1; 0 towards a constant channel.
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    autocorrelation: NDArray[np.float32]
    correlation: NDArray[np.float32]

    def __post_init__(self) -> None:
        channels = len(self.mean)
        for field in fields(self):
            values = getattr(self, field.name)
            shape = (channels, channels) if field.name == "correlation" else (channels,)
            if channels == 0 or values.shape != shape or not np.isfinite(values).all():
                raise EdgekitError(
                    f"telemetry statistics: {field.name} must be finite with shape {shape}, C >= 1, not {values.shape}."
                )

    @classmethod
    def from_series(cls, train: NDArray[Any]) -> TelemetryStatistics:
        """Statistics of a training series (T, C) float, T >= 3."""
        values = np.asarray(train, dtype=np.float64)
        if values.ndim != 2 or values.shape[0] < 3 or values.shape[1] < 1 or not np.isfinite(values).all():
            raise EdgekitError(
                f"telemetry statistics: the series must be finite with shape (T >= 3, C >= 1), not {values.shape}; "
                "fill or drop missing values first."
            )
        mean = values.mean(axis=0)
        centred = values - mean
        # By the range, not by the std: the mean of equal numbers can miss them by a rounding error.
        centred[:, np.ptp(values, axis=0) == 0.0] = 0.0
        energy = (centred**2).sum(axis=0)
        safe = np.where(energy > 0.0, energy, 1.0)
        correlation = (centred.T @ centred) / np.sqrt(np.outer(safe, safe))
        np.fill_diagonal(correlation, 1.0)
        return cls(
            mean=mean.astype(np.float32),
            std=np.sqrt(energy / len(values)).astype(np.float32),
            autocorrelation=((centred[1:] * centred[:-1]).sum(axis=0) / safe).astype(np.float32),
            correlation=correlation.astype(np.float32),
        )


@dataclass(frozen=True, eq=False)
class Telemetry:
    """A generated series.

    Attributes:
        values: (T, C) float32.
        labels: (T,) uint8, 1 inside a planted fault.
        interpretation: one entry a fault, in the order of time; they never touch.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.uint8]
    interpretation: list[Interpretation]


def default_statistics(channels: int, seed: int) -> TelemetryStatistics:
    """Plausible statistics out of nothing: groups of 3 to 6 correlated channels, for values in [0, 1]."""
    if channels < 1:
        raise EdgekitError(f"telemetry statistics: channels must be at least 1, not {channels!r}.")
    generator = np.random.Generator(np.random.PCG64(seed))
    group: list[int] = []
    while len(group) < channels:
        group += [len(group)] * int(generator.integers(3, 7))
    members = np.array(group[:channels])
    # One hidden factor a group; some sensors fall when the factor rises.
    loading = generator.uniform(0.8, 0.97, channels) * generator.choice([-1.0, 1.0], channels, p=[0.2, 0.8])
    correlation = np.outer(loading, loading) * (members[:, None] == members[None, :])
    np.fill_diagonal(correlation, 1.0)
    return TelemetryStatistics(
        mean=generator.uniform(0.3, 0.7, channels).astype(np.float32),
        std=generator.uniform(0.03, 0.08, channels).astype(np.float32),
        autocorrelation=generator.uniform(0.8, 0.97, channels).astype(np.float32),
        correlation=correlation.astype(np.float32),
    )


def generate_telemetry(
    statistics: TelemetryStatistics,
    rows: int,
    seed: int,
    faults: int = 0,
    *,
    low: float = 0.0,
    high: float = 1.0,
    period: int = 1440,
) -> Telemetry:
    """A series with given statistics, and faults planted at random places on random channels.

    Mean, std and lag-1 autocorrelation are met in expectation before clipping, correlations up to the share of the
    daily cycle (0.1). The kinds of `FAULT_KINDS` take turns; a correlation break needs channels that correlate
    and gives its turn to the next kind where there are none. The series is cut into one slot per fault; the first
    quarter of each slot stays normal.

    Args:
        statistics: what normal behaviour looks like, C channels.
        rows: T, at least 20 per fault.
        seed: the same seed gives the same series; the normal part does not depend on `faults`.
        faults: how many faults to plant.
        low: values are clipped to [low, high].
        high: see `low`.
        period: rows of one daily cycle; 1440 is a day of minutes.
    """
    if rows < 1 or faults < 0 or period < 2 or not low < high:
        raise EdgekitError(
            f"telemetry: needs rows >= 1, faults >= 0, period >= 2 and low < high, "
            f"not rows {rows!r}, faults {faults!r}, period {period!r}, low {low!r}, high {high!r}."
        )
    if rows < faults * ROWS_PER_FAULT:
        raise EdgekitError(
            f"telemetry: {faults} faults do not fit {rows} rows; ask for {faults * ROWS_PER_FAULT} rows or for fewer."
        )
    normal_stream, fault_stream = np.random.SeedSequence(seed).spawn(2)
    values = _normal_values(statistics, rows, period, np.random.Generator(np.random.PCG64(normal_stream)))
    interpretation = _plant_faults(
        values, statistics, faults, low, high, np.random.Generator(np.random.PCG64(fault_stream))
    )
    labels = np.zeros(rows, dtype=np.uint8)
    for segment in interpretation:
        labels[segment.start : segment.end + 1] = 1
    return Telemetry(np.clip(values, low, high).astype(np.float32), labels, interpretation)


def _normal_values(
    statistics: TelemetryStatistics, rows: int, period: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Normal behaviour (rows, C) float64, not clipped."""
    correlation = statistics.correlation.astype(np.float64)
    root = _symmetric_root(correlation)
    channels = len(correlation)
    # Channels that move together peak together: their phases come from correlated complex noise.
    phase = np.angle(root @ (generator.standard_normal(channels) + 1j * generator.standard_normal(channels)))
    omega = 2.0 * math.pi / period
    season = math.sqrt(2.0) * np.cos(omega * np.arange(rows)[:, None] + phase)
    # The cycle brings its own autocorrelation cos(omega); the noise supplies the rest.
    phi = (statistics.autocorrelation - SEASON_SHARE * math.cos(omega)) / (1.0 - SEASON_SHARE)
    phi = np.clip(phi.astype(np.float64), -0.99, 0.9999)
    # n[t] = phi n[t-1] + e[t] has covariance R when e has R * (1 - phi phi^T), elementwise.
    noise = generator.standard_normal((rows, channels))
    noise[0] = root @ noise[0]
    noise[1:] = noise[1:] @ _symmetric_root(correlation * (1.0 - np.outer(phi, phi))).T
    for t in range(1, rows):
        noise[t] += phi * noise[t - 1]
    mixed = math.sqrt(SEASON_SHARE) * season + math.sqrt(1.0 - SEASON_SHARE) * noise
    return np.asarray(statistics.mean + statistics.std * mixed, dtype=np.float64)


def _symmetric_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """R (C, C) with R R^T near `covariance` and its exact diagonal, also where rounding left it indefinite.

    The symmetric root is unique, where eigenvectors and their signs are up to the LAPACK at hand. Only rows are
    rescaled, so the result need not stay symmetric.
    """
    eigenvalues, vectors = np.linalg.eigh((covariance + covariance.T) / 2.0)
    root = (vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ vectors.T
    norm = np.sqrt((root**2).sum(axis=1))
    return np.asarray(root * (np.sqrt(covariance.diagonal()) / np.where(norm > 0.0, norm, 1.0))[:, None])


def _plant_faults(
    values: NDArray[np.float64],
    statistics: TelemetryStatistics,
    faults: int,
    low: float,
    high: float,
    generator: np.random.Generator,
) -> list[Interpretation]:
    """Writes faults into values (rows, C) in place and returns where they are."""
    if faults == 0:
        return []
    rows, channels = values.shape
    off_diagonal = np.abs(statistics.correlation - np.eye(channels, dtype=np.float32))
    coupled = np.flatnonzero((off_diagonal.max(axis=1) >= MIN_BROKEN_CORRELATION) & (statistics.std > 0.0))
    kinds = FAULT_KINDS if coupled.size else FAULT_KINDS[:-1]
    # A fault must stand out of a quiet channel too, and away from the nearer end of the range, or clipping hides it.
    scale = np.maximum(statistics.std.astype(np.float64), 0.02 * (high - low))
    away = np.where(statistics.mean < (low + high) / 2.0, 1.0, -1.0)
    slot = rows // faults
    normal = values.copy()
    planted = []
    for index in range(faults):
        kind = kinds[index % len(kinds)]
        length = int(generator.integers(MIN_FAULT_ROWS, min(MAX_FAULT_ROWS, slot // 4) + 1))
        start = index * slot + int(generator.integers(slot // 4, slot - length + 1))
        among = coupled if kind == "correlation break" else np.arange(channels)
        count = int(generator.integers(1, max(1, len(among) // 3) + 1))
        chosen = np.sort(generator.choice(among, count, replace=False))
        segment = values[start : start + length]
        step = away[chosen] * scale[chosen] * generator.uniform(4.0, 8.0, count)
        if kind == "level shift":
            segment[:, chosen] += step
        elif kind == "spike burst":
            spikes = generator.random((length, count)) < 0.3
            spikes[[0, -1]] = True  # the label's ends are real
            segment[:, chosen] += 1.5 * step * spikes
        elif kind == "stuck":
            segment[:, chosen] = statistics.mean[chosen] + step
        else:
            # Each channel replays another time of its own: its values stay normal, the company they keep does not.
            for channel in chosen:
                shift = int(generator.integers(length, rows - length + 1))
                segment[:, channel] = np.take(normal[:, channel], np.arange(start, start + length) + shift, mode="wrap")
        planted.append(Interpretation(start, start + length - 1, tuple(int(channel) for channel in chosen)))
    return planted
