"""`edgekit evaluate`: eager model, exported recipes and baselines side by side."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from edgekit.models.stackvae_g.checkpoint import load_checkpoint
from edgekit.models.stackvae_g.inference import eager_reconstruct
from edgekit.models.stackvae_g.scoring import detect


@pytest.fixture(scope="module")
def labelled(pump_data, pump_checkpoint):
    """Labels and eager scores of the rows that have one."""
    with np.load(pump_data) as arrays:
        rows, labels = arrays["test"], arrays["label"]
    checkpoint = load_checkpoint(pump_checkpoint)
    return labels[15:], detect(rows, checkpoint.detector(), eager_reconstruct(checkpoint.module)).scores[15:]


def test_metrics_are_sklearns(cli, pump_data, pump_checkpoint, labelled):
    options = ("--checkpoint", pump_checkpoint, "--recipe", "fp32", "--json", "-q")
    result = cli("evaluate", "stackvae-g", "--data", pump_data, *options)
    assert (result.code, result.err) == (0, "")
    rows = {row["system"]: row for row in json.loads(result.out)["metrics"]}
    assert list(rows) == ["eager fp32", "bundle fp32", "IsolationForest", "random scores"]
    assert rows["eager fp32"]["roc_auc"] == pytest.approx(roc_auc_score(*labelled))
    assert rows["eager fp32"]["pr_auc"] == pytest.approx(average_precision_score(*labelled))
    assert rows["bundle fp32"]["roc_auc"] == pytest.approx(rows["eager fp32"]["roc_auc"], abs=1e-4)
    for row in rows.values():
        assert row["adjusted_f1"] >= row["raw_f1"] > 0
    assert rows["random scores"]["roc_auc"] == pytest.approx(0.5, abs=0.1)


def test_a_bundle_and_markdown(cli, pump_data, pump_bundle):
    result = cli("evaluate", pump_bundle, "--data", pump_data, "--markdown", "-q")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].startswith("| entity | system | F1 |")
    assert lines[2].startswith("| pump | bundle fp32 | 0.")
    assert {line.count("|") for line in lines[:5]} == {11}


def test_pictures(cli, pump_data, pump_checkpoint, tmp_path):
    options = ("--checkpoint", pump_checkpoint, "--pictures", tmp_path / "pictures", "-q")
    assert cli("evaluate", "stackvae-g", "--data", pump_data, *options).code == 0
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["pump.graph.png", "pump.png"]


def test_data_without_labels(cli, pump_data, pump_checkpoint, tmp_path):
    with np.load(pump_data) as arrays:
        np.savez(tmp_path / "pump.npz", train=arrays["train"])
    result = cli("evaluate", "stackvae-g", "--data", tmp_path / "pump.npz", "--checkpoint", pump_checkpoint, "-q")
    assert (result.code, result.out) == (1, "")
    assert "has no labelled test part" in result.err


def test_settings(cli, pump_data, pump_bundle, tmp_path):
    (tmp_path / "text.txt").write_text("some words")
    for options, says in (
        (("sea-opt", "--data", tmp_path, "--set", "device=cuda:77"), "torch has no device 'cuda:77' here"),
        (("sea-opt", "--data", tmp_path, "--set", "devise=cpu"), "devise"),
        (
            ("stackvae-g", "--data", pump_data, "--set", "device=cpu"),
            "stackvae-g has no setting 'device' at evaluation",
        ),
        ((pump_bundle, "--data", pump_data, "--set", "device=cpu"), "a bundle runs as it was exported"),
    ):
        result = cli("evaluate", *options)
        assert (result.code, result.out) == (2, ""), options
        assert says in result.err


def test_options_that_do_not_fit_a_bundle(cli, pump_data, pump_bundle):
    result = cli("evaluate", pump_bundle, "--data", pump_data, "--recipe", "int8")
    assert (result.code, result.out) == (2, "")
    assert "leave these options out" in result.err
