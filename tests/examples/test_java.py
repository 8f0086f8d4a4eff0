"""The Java example on this machine's virtual machine, from its source, against the same stream in Python."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit_runtime import Session
from edgekit_runtime.detect_anomalies import AnomalyPipeline

from ..machines import CHECKOUT, runtime_for_cmake, tool

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def binding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("javac") is None:
        pytest.skip("needs a Java development kit: apt install openjdk-17-jdk-headless")
    folder = tmp_path_factory.mktemp("binding")
    source = CHECKOUT / "kernels" / "bindings" / "java"
    for command in (["-S", source, "-B", folder, f"-Dedgekit_DIR={runtime_for_cmake()}"], ["--build", folder]):
        done = subprocess.run([tool("cmake"), *map(str, command)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def alarms(binding: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["java", f"-Djava.library.path={binding}", "-cp", binding / "edgekit.jar"]
    command += [CHECKOUT / "examples" / "java" / "Alarms.java", *arguments]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


def test_alarms_of_readings(binding, fp32_bundle, tmp_path):
    made = [sys.executable, CHECKOUT / "examples" / "made_readings.py", tmp_path / "readings.csv"]
    subprocess.run([str(word) for word in made], check=True, capture_output=True)
    done = alarms(binding, fp32_bundle, tmp_path / "readings.csv")
    assert (done.returncode, done.stderr) == (0, "")
    rows = np.loadtxt(tmp_path / "readings.csv", np.float32, delimiter=",", skiprows=1)
    pipeline = AnomalyPipeline(Session(fp32_bundle))
    wanted = pipeline.detect(rows)
    *lines, last = done.stdout.splitlines()
    (expected,) = np.nonzero(wanted.alarms)
    assert len(expected)
    assert last == f"{len(rows)} rows, {len(expected)} alarms"
    for line, row in zip(lines, expected, strict=True):
        found = re.fullmatch(r"row (\d+), score (\S+), (sensor|systematic): (.+), (.+)", line)
        assert int(found[1]) == row
        assert float(found[2]) == pytest.approx(wanted.scores[row], rel=1e-4)
        assert found[4] == pipeline.detector.channels[int(np.argmax(wanted.errors[row]))]


def test_it_says_what_is_wrong(binding, tmp_path):
    done = alarms(binding, tmp_path / "absent", tmp_path / "readings.csv")
    assert done.returncode == 2
    assert "there is no bundle" in done.stderr
