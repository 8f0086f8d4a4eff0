"""edgekit-run and Ctrl-C, at moments from its first instruction on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from .ending import INTERRUPTED

pytestmark = pytest.mark.slow

#: Moments, in seconds, and how many of them.
LONGEST, COUNT = 0.2, 12


def end(command: list[str], moment: float, again: bool) -> tuple[int, str]:
    """Exit code and what was said of a runner that is interrupted once, or twice."""
    # A shell lets its background jobs ignore SIGINT, and they hand that down.
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        time.sleep(moment)
        for _ in range(1 + again):
            process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    return process.returncode, said


@pytest.mark.parametrize("task", ["rows", "bench"])
def test_interrupted(task: str, inputs: Path, tmp_path: Path) -> None:
    rows, output = tmp_path / "rows.npy", tmp_path / "out" / "answer.csv"
    np.save(rows, np.tile(np.load(inputs / "pump.npz")["train"], (2000, 1)))
    output.parent.mkdir()
    words = ["--input", str(rows), "--output", str(output)] if task == "rows" else ["--bench", "100000"]
    chance, seen = random.Random(3), set()
    # The last ones come late, for a machine with much else to do.
    for moment in [*(chance.uniform(0, LONGEST) for _ in range(COUNT)), 1.0, 4.0]:
        if moment >= 1 and INTERRUPTED in seen:
            break
        again = chance.random() < 0.5
        code, said = end([str(inputs / "native" / "edgekit-run"), *words], moment, again)
        seen.add(code)
        # The system's loader is not ours: before main() a signal ends the process by itself.
        assert code in (0, INTERRUPTED, -signal.SIGINT), (code, moment, said)
        assert said in ("", "edgekit-run: interrupted; nothing half-written was left.\n")
        assert os.listdir(output.parent) in ([], ["answer.csv"])
        output.unlink(missing_ok=True)
    assert INTERRUPTED in seen
