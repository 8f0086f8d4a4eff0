"""The C++ example builds against the installed edgekit-runtime, and runs a bundle."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgekit_runtime import Session

EXAMPLE = Path(__file__).parents[2] / "examples" / "cpp"


@pytest.fixture(scope="module")
def program(built_example) -> Path:
    return built_example(EXAMPLE) / "run_bundle"


def test_it_runs_a_bundle(program, pump_bundle):
    done = subprocess.run([str(program), str(pump_bundle)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (spec,) = Session(pump_bundle).methods[0].inputs
    (wanted,) = Session(pump_bundle).run(np.zeros(spec.shape, np.float32))
    assert float(re.search(r"mean (\S+)", done.stdout)[1]) == pytest.approx(float(wanted.mean()), rel=1e-4)


def test_it_says_what_is_wrong(program, tmp_path):
    done = subprocess.run([str(program), str(tmp_path / "absent")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "there is no bundle" in done.stderr
