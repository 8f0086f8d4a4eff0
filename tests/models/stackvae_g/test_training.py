"""Training: resumed runs equal uninterrupted ones, damaged states are refused, nothing leaks into the process."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgekit.errors import EdgekitError
from edgekit.models.stackvae_g.config import StackVAEGConfig
from edgekit.models.stackvae_g.generator import default_statistics, generate_telemetry
from edgekit.models.stackvae_g.training import TrainingOptions, progress_text, train
from edgekit_runtime.series import Series

CONFIG = StackVAEGConfig(channels=3, window=12, hidden=8, latent=4)
OPTIONS = TrainingOptions(epochs=4, batch=16)


class Stopped(Exception):  # noqa: N818
    pass


@pytest.fixture(scope="module")
def series() -> Series:
    return Series(generate_telemetry(default_statistics(3, seed=1), 200, seed=2).values, ("a", "b", "c"))


def weights(checkpoint) -> torch.Tensor:
    return torch.cat([parameter.flatten() for parameter in checkpoint.module.parameters()])


def interrupted(series: Series, state, after: int) -> None:
    def stop(report) -> None:
        if report.epoch == after:
            raise Stopped

    with pytest.raises(Stopped):
        train(series, CONFIG, OPTIONS, state, "pump", stop)


def test_a_resumed_run_is_the_uninterrupted_one(series, tmp_path):
    whole = train(series, CONFIG, OPTIONS, tmp_path / "whole.state", "pump")
    interrupted(series, tmp_path / "state", after=2)
    reports = []
    resumed = train(series, CONFIG, OPTIONS, tmp_path / "state", "pump", reports.append)
    assert [report.epoch for report in reports] == [3, 4]
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=0)
    assert resumed.thresholds == whole.thresholds
    assert resumed.training["reconstruction"] == whole.training["reconstruction"]
    assert len(whole.training["reconstruction"]) == 4
    other = train(series, CONFIG, replace(OPTIONS, seed=1), tmp_path / "other.state", "pump")
    assert not torch.equal(weights(other), weights(whole))


def test_training_learns(series, tmp_path):
    reports = []
    train(series, CONFIG, replace(OPTIONS, epochs=12), tmp_path / "state", "pump", reports.append)
    assert reports[-1].reconstruction < reports[0].reconstruction
    assert all(0.0 <= report.off_diagonal <= 1.0 for report in reports)


@pytest.mark.parametrize(
    ("history", "falling"), [([9.0], True), ([9.0, 5.0], True), ([9.0, 5.0, 4.0, 3.0, 3.0, 2.9], False)]
)
def test_a_loss_that_still_falls_is_said(history, falling):
    text = progress_text(history)
    assert f"{history[0]:g} in the first epoch, {history[-1]:g} in the last" in text
    assert ("more --epochs" in text) == falling


def test_the_state_of_another_run_is_refused(series, tmp_path):
    interrupted(series, tmp_path / "state", after=1)
    kept = (tmp_path / "state").read_bytes()
    with pytest.raises(EdgekitError, match="belongs to a run with other data or settings"):
        train(series, CONFIG, replace(OPTIONS, learning_rate=1e-2), tmp_path / "state", "pump")
    assert (tmp_path / "state").read_bytes() == kept


@pytest.mark.parametrize("keep", [0, 100, 2000])
def test_a_damaged_state_is_refused(series, tmp_path, keep: int):
    interrupted(series, tmp_path / "state", after=1)
    (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes()[:keep])
    with pytest.raises(EdgekitError, match="is damaged: delete it to start again"):
        train(series, CONFIG, OPTIONS, tmp_path / "state", "pump")


def test_too_few_rows(series, tmp_path):
    short = Series(series.values[:20], series.channels)
    with pytest.raises(EdgekitError, match="has 20 rows: 27 are needed"):
        train(short, CONFIG, OPTIONS, tmp_path / "state", "pump")
    assert list(tmp_path.iterdir()) == []


def test_denormals_are_the_callers_again_afterwards(series, tmp_path):
    train(series, CONFIG, replace(OPTIONS, epochs=1), tmp_path / "state", "pump")
    assert np.float32(1e-38) * np.float32(0.01) != 0.0
    with pytest.raises(EdgekitError, match="diverged"):
        train(series, CONFIG, replace(OPTIONS, learning_rate=1e30), tmp_path / "bad.state", "pump")
    assert np.float32(1e-38) * np.float32(0.01) != 0.0
