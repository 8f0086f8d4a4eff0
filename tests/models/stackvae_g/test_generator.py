"""Generated telemetry: its statistics against those asked for, its faults against its labels."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.models.stackvae_g.generator import (
    FAULT_KINDS,
    TelemetryStatistics,
    default_statistics,
    generate_telemetry,
)

WIDE = {"low": -100.0, "high": 100.0}  # nothing is clipped


def statistics(
    correlation: list[list[float]], std: list[float] | None = None, lag1: float = 0.8
) -> TelemetryStatistics:
    channels = len(correlation)
    return TelemetryStatistics(
        mean=np.linspace(0.3, 0.7, channels, dtype=np.float32),
        std=np.array(std or [0.05] * channels, dtype=np.float32),
        autocorrelation=np.full(channels, lag1, dtype=np.float32),
        correlation=np.array(correlation, dtype=np.float32),
    )


def test_from_series_is_numpys():
    generator = np.random.default_rng(0)
    series = np.cumsum(generator.standard_normal((400, 3)), axis=0) * 1e-3 + 0.5
    series[:, 1] = 0.1  # constant
    assert series.mean(axis=0)[1] != 0.1  # rounding must not pass for variance
    found = TelemetryStatistics.from_series(series)
    np.testing.assert_allclose(found.mean, series.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.std, series.std(axis=0) * [1, 0, 1], rtol=1e-4)
    np.testing.assert_allclose(found.correlation[0, 2], np.corrcoef(series[:, 0], series[:, 2])[0, 1], rtol=1e-4)
    np.testing.assert_array_equal(found.correlation[1], [0.0, 1.0, 0.0])
    # The usual estimator divides by the whole energy; for 400 rows that is close to the correlation of the pairs.
    for channel in (0, 2):
        pairs = np.corrcoef(series[1:, channel], series[:-1, channel])[0, 1]
        np.testing.assert_allclose(found.autocorrelation[channel], pairs, atol=0.01)
    assert found.autocorrelation[1] == 0.0
    assert {a.dtype for a in (found.mean, found.std, found.autocorrelation, found.correlation)} == {np.dtype("float32")}


# 60,000 rows with correlation time 4 to 10: a mean is off by less than 0.03 std, a correlation by 0.02.
@pytest.mark.parametrize("lag1", [0.0, 0.8, 0.95])
def test_series_has_the_statistics_asked_for(lag1: float):
    wanted = statistics([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]], std=[0.02, 0.05, 0.1], lag1=lag1)
    telemetry = generate_telemetry(wanted, 57_600, seed=1, **WIDE)
    found = TelemetryStatistics.from_series(telemetry.values)
    np.testing.assert_allclose((found.mean - wanted.mean) / wanted.std, 0.0, atol=0.05)
    np.testing.assert_allclose(found.std, wanted.std, rtol=0.04)
    np.testing.assert_allclose(found.autocorrelation, wanted.autocorrelation, atol=0.02)
    np.testing.assert_allclose(found.correlation, wanted.correlation, atol=0.13)  # 0.1 is the cycle's share
    assert telemetry.values.dtype == np.float32
    assert telemetry.labels.dtype == np.uint8
    assert not telemetry.labels.any()
    assert telemetry.interpretation == []


def test_channels_of_different_memory_still_correlate():
    wanted = statistics([[1, 0.7], [0.7, 1]])
    wanted.autocorrelation[:] = [0.5, 0.9]
    found = TelemetryStatistics.from_series(generate_telemetry(wanted, 40_000, seed=2, **WIDE).values)
    np.testing.assert_allclose(found.autocorrelation, wanted.autocorrelation, atol=0.02)
    np.testing.assert_allclose(found.correlation, wanted.correlation, atol=0.13)
    np.testing.assert_allclose(found.std, wanted.std, rtol=0.04)


def test_there_is_a_daily_cycle():
    period, days = 500, 60
    wanted = statistics([[1.0]], lag1=0.5)
    values = generate_telemetry(wanted, period * days, seed=0, period=period, **WIDE).values[:, 0]
    spectrum = np.abs(np.fft.rfft(values - values.mean())) ** 2
    assert spectrum.argmax() == days
    assert spectrum[days] / spectrum.sum() == pytest.approx(0.1, abs=0.03)


def test_impossible_correlations_are_brought_back():
    wanted = statistics([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]])  # not positive semidefinite
    found = TelemetryStatistics.from_series(generate_telemetry(wanted, 20_000, seed=0, **WIDE).values)
    np.testing.assert_allclose(found.std, wanted.std, rtol=0.06)


def test_values_stay_in_range_and_constant_channels_constant():
    wanted = statistics(np.eye(3).tolist(), std=[0.5, 0.0, 0.5])
    values = generate_telemetry(wanted, 2_000, seed=0).values
    assert (values.min(), values.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(values[:, 1], wanted.mean[1])
    narrow = generate_telemetry(wanted, 2_000, seed=0, faults=5, low=0.25, high=0.75).values
    assert (narrow.min(), narrow.max()) == (0.25, 0.75)


def test_same_seed_same_series():
    wanted = default_statistics(6, seed=0)
    one, two = (generate_telemetry(wanted, 800, seed=7, faults=4) for _ in range(2))
    np.testing.assert_array_equal(one.values, two.values)
    assert one.interpretation == two.interpretation
    assert not np.array_equal(one.values, generate_telemetry(wanted, 800, seed=8, faults=4).values)


def test_the_series_of_a_seed_is_frozen():
    # Up to the last bits, which are the BLAS library's. Change the figures only with a note in the changelog.
    telemetry = generate_telemetry(default_statistics(6, seed=0), 200, seed=7, faults=2)
    assert [(s.start, s.end, s.channels) for s in telemetry.interpretation] == [(52, 70, (0,)), (133, 145, (0,))]
    np.testing.assert_allclose(telemetry.values[[0, 100, 199], [0, 2, 5]], [0.2900378, 0.4009194, 0.4262146], atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("rows", "faults"), [(20, 1), (163, 8), (3_000, 9)])
def test_labels_say_where_the_faults_are(seed: int, rows: int, faults: int):
    wanted = default_statistics(9, seed=seed)
    normal = generate_telemetry(wanted, rows, seed=seed)
    faulty = generate_telemetry(wanted, rows, seed=seed, faults=faults)
    assert len(faulty.interpretation) == faults
    mask = np.zeros_like(faulty.values, dtype=bool)
    for segment in faulty.interpretation:
        assert 1 <= len(segment.channels) <= 3
        mask[segment.start : segment.end + 1, list(segment.channels)] = True
    changed = faulty.values != normal.values
    assert not changed[~mask].any()
    np.testing.assert_array_equal(faulty.labels, mask.any(axis=1))
    # Every planted channel shows, and a normal row lies before each fault: runs of labels are the segments.
    for segment in faulty.interpretation:
        assert changed[segment.start : segment.end + 1, list(segment.channels)].any(axis=0).all()
    starts = np.flatnonzero(np.diff(faulty.labels.astype(int), prepend=0) == 1)
    assert starts.tolist() == [segment.start for segment in faulty.interpretation]
    assert starts[0] >= 1


def test_each_kind_of_fault_looks_like_its_name():
    wanted = default_statistics(9, seed=1)
    normal = generate_telemetry(wanted, 8_000, seed=5).values.astype(float)
    telemetry = generate_telemetry(wanted, 8_000, seed=5, faults=8)
    std = wanted.std.astype(float)
    for index, segment in enumerate(telemetry.interpretation):
        kind = FAULT_KINDS[index % 4]
        rows, channels = slice(segment.start, segment.end + 1), list(segment.channels)
        found, was = telemetry.values[rows, channels].astype(float), normal[rows, channels]
        difference = np.abs(found - was) / std[channels]
        unclipped = np.where((found > 0.0) & (found < 1.0), difference, np.nan)
        if kind == "level shift":
            assert np.nanmin(unclipped) >= 3.9
            np.testing.assert_allclose(np.nanmax(unclipped, axis=0), np.nanmin(unclipped, axis=0), rtol=1e-3)
        elif kind == "spike burst":
            hit = (difference > 1e-6).any(axis=1)
            assert hit[[0, -1]].all()
            assert not hit.all()
            assert difference.max() > 3.9
        elif kind == "stuck":
            assert np.ptp(found, axis=0).max() == 0.0
            assert (np.abs(found[0] - wanted.mean[channels]) / std[channels]).min() >= 3.9
        else:
            assert np.abs((found - wanted.mean[channels]) / std[channels]).max() < 6.0  # the values stay normal


def test_correlation_break_breaks_the_correlation():
    pair = statistics([[1, 0.97], [0.97, 1]], lag1=0.5)
    broken, intact = [], []
    for seed in range(4):
        telemetry = generate_telemetry(pair, 3_200, seed=seed, faults=4)
        segment = telemetry.interpretation[3]
        assert segment.end - segment.start >= 4
        values = telemetry.values[segment.start : segment.end + 1]
        broken.append(values - pair.mean)
        before = telemetry.values[segment.start - 100 : segment.start]
        intact.append(before - pair.mean)
    assert np.corrcoef(np.concatenate(intact).T)[0, 1] > 0.9
    assert np.corrcoef(np.concatenate(broken).T)[0, 1] < 0.6


def test_uncorrelated_channels_get_no_correlation_break():
    lonely = statistics(np.eye(2).tolist())
    telemetry = generate_telemetry(lonely, 4_000, seed=0, faults=4)
    # The fourth turn is a level shift again: far from the mean, not a replay of normal values.
    segment = telemetry.interpretation[3]
    found = telemetry.values[segment.start : segment.end + 1, list(segment.channels)]
    assert np.abs(found - lonely.mean[list(segment.channels)]).max() > 3 * 0.05


def test_only_correlated_channels_break_their_correlation():
    correlation = np.eye(8)
    correlation[2, 5] = correlation[5, 2] = 0.9
    for seed in range(5):
        telemetry = generate_telemetry(statistics(correlation.tolist()), 400, seed=seed, faults=4)
        assert set(telemetry.interpretation[3].channels) <= {2, 5}


def test_faults_keep_away_from_the_nearer_end_of_the_range():
    # A step beyond the nearer end would be clipped to a fraction of a standard deviation.
    edge = statistics(np.eye(2).tolist())
    edge.mean[:] = [0.02, 0.98]
    normal = generate_telemetry(edge, 900, seed=3).values
    telemetry = generate_telemetry(edge, 900, seed=3, faults=3)
    for segment in telemetry.interpretation:
        change = np.abs(telemetry.values - normal)[segment.start, list(segment.channels)]
        assert change.min() > 2 * 0.05


def test_faults_show_on_constant_channels():
    constant = statistics([[1.0]], std=[0.0])
    telemetry = generate_telemetry(constant, 900, seed=0, faults=3)
    for segment in telemetry.interpretation:
        assert np.abs(telemetry.values[segment.start, 0] - constant.mean[0]) > 0.05


@pytest.mark.parametrize("channels", [1, 2, 38])
def test_default_statistics_are_plausible(channels: int):
    found = default_statistics(channels, seed=2)
    assert found.mean.shape == (channels,)
    correlation = found.correlation
    np.testing.assert_array_equal(correlation, correlation.T)
    np.testing.assert_array_equal(correlation.diagonal(), 1.0)
    assert np.linalg.eigvalsh(correlation.astype(float)).min() > 0.0
    coupled = np.abs(correlation) > 0.5
    # Groups: what a channel is coupled to is coupled to the same.
    np.testing.assert_array_equal((coupled.astype(int) @ coupled) > 0, coupled)
    assert coupled.sum(axis=1).max() <= 6
    np.testing.assert_array_equal(found.mean, default_statistics(channels, seed=2).mean)
    assert not np.array_equal(found.mean, default_statistics(channels, seed=3).mean)


def test_unusable_input_is_refused():
    good = default_statistics(2, seed=0)
    for call, says in (
        (lambda: default_statistics(0, seed=0), "channels"),
        (lambda: TelemetryStatistics.from_series(np.zeros(5)), "shape"),
        (lambda: TelemetryStatistics.from_series(np.zeros((2, 5))), "shape"),
        (lambda: TelemetryStatistics.from_series(np.full((5, 1), np.nan)), "finite"),
        (lambda: TelemetryStatistics(good.mean, good.std[:1], good.mean, good.correlation), "std"),
        (lambda: TelemetryStatistics(good.mean, good.std, good.mean, good.mean), "correlation"),
        (lambda: generate_telemetry(good, 0, seed=0), "rows"),
        (lambda: generate_telemetry(good, 100, seed=0, faults=-1), "faults"),
        (lambda: generate_telemetry(good, 100, seed=0, low=1.0), "low"),
        (lambda: generate_telemetry(good, 79, seed=0, faults=4), "80 rows"),
    ):
        with pytest.raises(EdgekitError, match=says):
            call()
