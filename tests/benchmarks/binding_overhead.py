"""What a run through C and through Java takes beyond the same run of the C++ session.

    python -m tests.benchmarks.binding_overhead BUNDLE [--runs 20000] [--rounds 5]

In the checkout; needs a Java development kit and CMake. All three in one process, run by run in turns, each with a
session of its own and one thread; a process for each round. Differences are of runs that stand side by side. A bundle
with a small program shows them best, such as stackvae-g's.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from tests.machines import CHECKOUT, runtime_for_cmake

WARMUP = 10_000  # runs until Java's code is compiled
WAYS = ("C++", "C", "Java")


def build(folder: Path) -> list[str]:
    """The binding and the benchmark in a folder; gives the command line up to the bundle."""
    sources = Path(__file__).parent / "bindings"
    cmake = shutil.which("cmake") or "cmake"
    for source, target in ((CHECKOUT / "kernels" / "bindings" / "java", "binding"), (sources, "overhead")):
        options = [f"-Dedgekit_DIR={runtime_for_cmake()}", "-DCMAKE_BUILD_TYPE=Release"]
        _run(cmake, "-S", source, "-B", folder / target, *options)
        _run(cmake, "--build", folder / target)
    jar = folder / "binding" / "edgekit.jar"
    _run("javac", "-cp", jar, "-d", folder / "classes", sources / "Overhead.java")
    libraries = os.pathsep.join([str(folder / "binding"), str(folder / "overhead")])
    classes = os.pathsep.join([str(jar), str(folder / "classes")])
    return ["java", f"-Djava.library.path={libraries}", "-cp", classes, "Overhead"]


def _run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout


def measure(command: list[str], bundle: Path, runs: int, warmup: int = WARMUP) -> np.ndarray:
    """Microseconds (runs, 3) of one process, by `WAYS`."""
    lines = _run(*command, bundle, warmup, runs).split()
    return np.array(lines, np.float64).reshape(runs, len(WAYS)) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    bundle = arguments.bundle.resolve()
    with tempfile.TemporaryDirectory() as folder:
        command = build(Path(folder))
        rounds = [measure(command, bundle, arguments.runs) for _ in range(arguments.rounds)]
    loads = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {loads}; {bundle.name}, first method, ", end="")
    print(f"{arguments.rounds} rounds of {arguments.runs} runs")
    for name, column in zip(WAYS, np.stack(rounds, axis=-1).swapaxes(0, 1), strict=True):
        _show(f"{name}, a run", column)
    for name, way in (("C - C++", 1), ("Java - C++", 2)):
        _show(name, np.stack([times[:, way] - times[:, 0] for times in rounds], axis=-1))


def _show(name: str, times: np.ndarray) -> None:
    """Median and quartiles of all runs (runs, rounds), and the rounds' medians' extremes."""
    low, median, high = np.percentile(times, (25, 50, 75))
    medians = np.median(times, axis=0)
    print(f"{name:12} {median:8.2f} us, quartiles {low:.2f} to {high:.2f}", end="")
    print(f", medians of rounds {medians.min():.2f} to {medians.max():.2f}")


if __name__ == "__main__":
    main()
