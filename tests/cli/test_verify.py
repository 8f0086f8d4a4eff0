"""`edgekit verify` and `edgekit inspect` of a bundle."""

import json

import numpy as np
from safetensors.numpy import load_file, save_file

from edgekit.bundle import Bundle


def test_a_good_bundle(cli, pump_bundle):
    result = cli("verify", pump_bundle)
    assert result.code == 0
    assert "answers within the gate of fp32" in result.out
    found = json.loads(cli("verify", pump_bundle, "--json").out)
    assert (found["failures"], found["passed"]) == ([], True)
    assert {output["method"] for output in found["outputs"]} == {"forward_b1", "forward_b8"}
    assert found["at_export"] == Bundle.open(pump_bundle).manifest["accuracy"]
    assert "Measured on: generated telemetry with planted faults, 3,985 rows." in result.out
    assert "Accuracy gate at export: met." in result.out
    assert all(0 < output["max_abs"] < 1e-4 for output in found["outputs"])


def expect_other_answers(folder, fields) -> None:
    samples = load_file(folder / "samples.safetensors")
    for name in [name for name in samples if ".out." in name]:
        samples[name] = np.asarray(samples[name] + 0.1, np.float32)
    save_file(samples, folder / "samples.safetensors")


def test_bundles_of_one_name_are_told_apart(cli, pump_bundle, resealed):
    wrong = resealed(pump_bundle, expect_other_answers)
    for order in ((wrong, pump_bundle), (pump_bundle, wrong)):
        result = cli("verify", *order, "--json")
        assert result.code == 3
        found = json.loads(result.out)["bundles"]
        assert {name: one["passed"] for name, one in found.items()} == {str(wrong): False, str(pump_bundle): True}


def test_other_answers_miss_the_gate(cli, pump_bundle, resealed):
    result = cli("verify", resealed(pump_bundle, expect_other_answers), "--json")
    assert result.code == 3
    assert json.loads(result.out)["passed"] is False
    assert "on this machine" in result.err
    assert "misses its accuracy gate: forward_b1/reconstruction" in result.err


def test_inspect_says_what_int8_was_calibrated_on(cli, int8_bundle, pump_bundle):
    said = "Calibrated: stackvae-g on generated telemetry; for your own data give --data"
    assert said in cli("inspect", int8_bundle).out
    assert "Calibrated" not in cli("inspect", pump_bundle).out


def test_inspect_says_what_is_inside(cli, pump_bundle):
    bundle = Bundle.open(pump_bundle)
    result = cli("inspect", pump_bundle)
    assert result.code == 0
    for said in ("forward_b8", "XnnpackBackend", "aten::linear", "runtime", "(measured)", "(the caller's)"):
        assert said in result.out
    for metric in ("ROC AUC", "PR AUC", "best F1", "best F1, point-adjusted"):
        assert metric in result.out
    for name, entry in bundle.manifest["files"].items():
        assert name in result.out
        assert entry["sha256"] in result.out
    assert json.loads(cli("inspect", pump_bundle, "--json").out) == json.loads(
        (pump_bundle / "manifest.json").read_text()
    )
