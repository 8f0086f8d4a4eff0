"""The example in the README's words: a module of one's own, two image sizes, verified."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_module.py"


@pytest.mark.slow
def test_own_module(tmp_path):
    command = [sys.executable, str(EXAMPLE), "--output-dir", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    answers = re.findall(r"forward_1x3x(\d+x\d+): \(1, 1, (\d+), (\d+)\), signal to noise ([\d.]+) dB", result.stdout)
    assert [answer[:3] for answer in answers] == [("128x128", "64", "64"), ("240x320", "120", "160")]
    assert all(float(answer[3]) > 25 for answer in answers)
    assert (tmp_path / "convnet-linux-x86_64-int8" / "manifest.json").is_file()
