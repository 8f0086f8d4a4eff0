"""One call of the same model in several formats, timed side by side in one process.

    python -m tests.benchmarks.format_latency BUNDLE... [--runs 200] [--position 200]

In the checkout. Bundles take turns, call by call, so that whatever else the machine does falls on all of them; the
ratios are medians of those pairs. A language model takes one token a call, at the positions from `--position` on.
Inputs are zeros, tokens are 1 to the number of runs.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable

import numpy as np

from edgekit_runtime import Session, threads


def calls(session: Session, position: int) -> Callable[[int], object]:
    """What is timed: the session's first method, at a run's number."""
    method = session.methods[0]
    if method.name != "extend":
        inputs = [np.zeros(spec.shape, spec.dtype) for spec in method.inputs]
        return lambda run: session.run(*inputs, method=method.name)
    rows = np.array([0])
    vocabulary = method.outputs[0].shape[1]
    for place in range(position):
        session.run(np.array([1 + place % (vocabulary - 1)]), np.array(place), rows, method="extend")
    return lambda run: session.run(
        np.array([1 + run % (vocabulary - 1)]), np.array(position + run), rows, method="extend"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--position", type=int, default=200, help="tokens before the first timed one")
    options = parser.parse_args()
    sessions = {bundle: Session(bundle) for bundle in options.bundles}
    timed = {bundle: calls(session, options.position) for bundle, session in sessions.items()}
    times = {bundle: np.zeros(options.runs) for bundle in timed}
    for run in range(options.runs):
        for bundle, call in timed.items():
            start = time.perf_counter()
            call(run)
            times[bundle][run] = 1e3 * (time.perf_counter() - start)
    first = next(iter(times))
    print(f"{platform.machine()}, {os.cpu_count()} cores, {threads()} threads, {options.runs} calls each")
    print("| bundle | median, ms | 10 % to 90 %, ms | times the first |\n| --- | --: | --: | --: |")
    for bundle, found in times.items():
        low, high = np.percentile(found, (10, 90))
        ratio = np.median(found / times[first])
        name = bundle.rstrip("/").rpartition("/")[2]
        print(f"| {name} | {np.median(found):.3f} | {low:.3f} to {high:.3f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
