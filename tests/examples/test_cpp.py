"""The C++ example builds against the installed edgekit-runtime, and runs a bundle."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit_runtime import Session

from ..machines import runtime_for_cmake

EXAMPLE = Path(__file__).parents[2] / "examples" / "cpp"


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    cmake = shutil.which("cmake", path=tools)
    if cmake is None or shutil.which("c++") is None:
        pytest.skip("the example needs CMake (pip install cmake) and a C++ compiler")
    folder = tmp_path_factory.mktemp("cpp")
    for command in (
        [
            cmake,
            "-S",
            EXAMPLE,
            "-B",
            folder,
            f"-Dedgekit_DIR={runtime_for_cmake()}",
            "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror",
        ],
        [cmake, "--build", folder],
    ):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run_bundle"


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
