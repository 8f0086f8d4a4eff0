"""The runner edgekit-run, here and on an emulated arm64 machine, against the Python session and the eager model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekit.models.stackvae_g.generator import default_statistics, generate_telemetry
from edgekit_runtime import Session
from edgekit_runtime.detect_anomalies import AnomalyPipeline
from edgekit_runtime.generate import Generation, TextGenerator


def telemetry(bundle: Path, path: Path, count: int = 60) -> np.ndarray:
    """Readings in a sensor's units, as a .csv with a header."""
    detector = AnomalyPipeline(Session(bundle)).detector
    rows = generate_telemetry(default_statistics(len(detector.channels), 1), count, 3, faults=2).values
    rows = (rows * detector.scaling.range + detector.scaling.low).astype(np.float32)
    lines = [",".join(detector.channels), *(",".join(f"{value:.9g}" for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return rows


def test_a_series(edgekit_run, pump_bundle, tmp_path):
    rows = telemetry(pump_bundle, tmp_path / "today.csv")
    done = edgekit_run(pump_bundle, "--input", tmp_path / "today.csv", "--output", tmp_path / "scores.json", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    wanted = AnomalyPipeline(Session(pump_bundle)).detect(rows)
    answers = json.loads((tmp_path / "scores.json").read_text())
    scores = np.array([np.nan if answer["score"] is None else answer["score"] for answer in answers])
    np.testing.assert_allclose(scores, wanted.scores, rtol=1e-4)
    assert [answer["alarm"] for answer in answers] == wanted.alarms.tolist()
    assert json.loads(done.stdout)["alarm_rows"] == int(wanted.alarms.sum())


def test_a_text(edgekit_run, text_bundle):
    went = Generation()
    list(TextGenerator(Session(text_bundle)).generate("the city", 8, went=went))
    done = edgekit_run(text_bundle, "--prompt", "the city", "--max-tokens", 8, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["text"] == went.text


def test_a_benchmark(edgekit_run, pump_bundle):
    done = edgekit_run("--bench", 3, pump_bundle, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["runs"] == 3
    assert 0 < found["p50_ms"] <= found["p90_ms"] <= found["p99_ms"]
    assert found["peak_memory_bytes"] > 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--input", "absent.csv"), "absent.csv"),
        (("--prompt", "x"), "--prompt does not belong to this bundle's task"),
        (("--seed", "x"), "--seed x: give a whole number"),
        (("--no-such",), "there is no option --no-such"),
        ((), "give it with --input FILE"),
    ],
)
def test_requests_that_make_no_sense(edgekit_run, pump_bundle, arguments, says):
    done = edgekit_run(pump_bundle, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.startswith("edgekit-run: error: ")
    assert done.stderr.count("\n") == 1


def test_a_changed_bundle(edgekit_run, pump_bundle, copy_of):
    program = copy_of(pump_bundle) / "program.pte"
    program.write_bytes(program.read_bytes()[:-1])
    done = edgekit_run(program.parent, "--bench")
    assert done.returncode == 1
    assert "program.pte was changed after export" in done.stderr
