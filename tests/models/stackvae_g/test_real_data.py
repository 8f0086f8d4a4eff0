"""The shipped checkpoint on the real machine that it was trained on."""

import numpy as np
import pytest

from edgekit.models.stackvae_g.data import load_entities
from edgekit.models.stackvae_g.metrics import hit_rate, random_baseline, roc_auc
from edgekit_runtime import Session
from edgekit_runtime.detect_anomalies import AnomalyPipeline


@pytest.fixture(scope="module")
def machine(data_root):
    (entity,) = load_entities(data_root / "smd" / "machine-2-1.npz")
    return entity


@pytest.fixture(scope="module")
def detections(machine, fp32_bundle, int8_bundle):
    return {
        name: AnomalyPipeline(Session(bundle)).detect(machine.test.values)
        for name, bundle in (("fp32", fp32_bundle), ("int8", int8_bundle))
    }


@pytest.mark.slow
def test_int8_auc_is_within_a_two_hundredth_of_fp32(machine, detections):
    labels = machine.labels[99:]
    fp32, int8 = (roc_auc(detections[name].scores[99:], labels) for name in ("fp32", "int8"))
    assert abs(fp32 - int8) < 0.005


@pytest.mark.slow
def test_better_than_chance(machine, detections):
    labels = machine.labels[99:]
    assert roc_auc(detections["fp32"].scores[99:], labels) > random_baseline(labels, 0).roc_auc + 0.05


@pytest.mark.slow
def test_ranking_finds_the_labelled_channels_better_than_chance(machine, detections):
    errors = detections["int8"].errors
    shuffled = np.random.default_rng(0).permuted(errors, axis=1)
    for percent in (100, 150):
        assert hit_rate(errors, machine.interpretation, percent) > 1.3 * hit_rate(
            shuffled, machine.interpretation, percent
        )


@pytest.mark.slow
def test_training_rows_rarely_alarm(machine, fp32_bundle):
    """POT at risk 1e-3: about one training row in a thousand lies above the threshold."""
    alarms = AnomalyPipeline(Session(fp32_bundle)).detect(machine.train.values[:8000]).alarms
    assert alarms.mean() < 0.005
