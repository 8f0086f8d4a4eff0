"""From a cold process to the first answer, and its memory: the runner and the Python session.

    python tests/benchmarks/runtime_start.py BUNDLE [--rounds 20]

A bundle such as stackvae-g's; a process each, in turns. The first round of both is left out: it fills the file cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from edgekit.export.native_files import native_files

PYTHON = """
import re, sys
import numpy as np
from edgekit_runtime import Session
session = Session(sys.argv[1])
method = session.methods[0]
session.run(*(np.zeros(spec.shape, spec.dtype) for spec in method.inputs), method=method.name)
print(1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    runner = native_files(platform.machine())["edgekit-run"]
    routes = {
        "edgekit-run": (
            [str(runner), str(arguments.bundle), "--bench", "1", "--warmup", "0", "--json"],
            _peak_of_runner,
        ),
        "Python session": ([sys.executable, "-c", PYTHON, str(arguments.bundle)], int),
    }
    seconds: dict[str, list[float]] = {name: [] for name in routes}
    peaks: dict[str, list[int]] = {name: [] for name in routes}
    for turn in range(arguments.rounds + 1):
        for name, (command, peak) in routes.items():
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            if turn > 0:
                seconds[name].append(time.perf_counter() - start)
                peaks[name].append(peak(done.stdout))
    print(f"{platform.machine()}, {os.cpu_count()} cores; {arguments.bundle.name}, {arguments.rounds} rounds")
    for name in routes:
        ordered = sorted(seconds[name])
        print(
            f"{name:15} {1e3 * statistics.median(ordered):7.1f} ms ({1e3 * ordered[len(ordered) // 10]:.1f} to "
            f"{1e3 * ordered[-1 - len(ordered) // 10]:.1f}), peak {1e-6 * statistics.median(peaks[name]):.1f} MB"
        )


def _peak_of_runner(output: str) -> int:
    return int(json.loads(output)["peak_memory_bytes"])


if __name__ == "__main__":
    main()
