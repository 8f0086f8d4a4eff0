"""What taps and steering add to the decode step: the same model with and without a dictionary, side by side.

    python -m tests.benchmarks.explain_overhead WITHOUT WITH... [--runs 400] [--position 200]

In the checkout. Arguments are bundles of one recipe, the first without a dictionary. They take turns, call by call, so
that whatever else the machine does falls on all of them; what is added is the median of those pairs' differences, as a
share of the median of the first bundle. Tokens are 1 to the number of runs; nothing steers, which costs as much as
something. `explain` is timed beside it, one token a call.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable

import numpy as np

from edgekit_runtime import Session, threads


def calls(session: Session, position: int) -> tuple[Callable[[int], object], Callable[[], object] | None]:
    """The decode step at a run's number, and the explanation of its token where there is one."""
    specs = {method.name: method for method in session.methods}
    extend = specs["extend"]
    vocabulary, rows = extend.outputs[0].shape[1], np.array([0])
    more = [np.zeros(spec.shape, spec.dtype) for spec in extend.inputs[3:]]
    found = [np.zeros((1, *spec.shape[1:]), spec.dtype) for spec in extend.outputs[1:]]

    def step(place: int) -> None:
        _, *found[:] = session.run(np.array([1 + place % (vocabulary - 1)]), np.array(place), rows, *more)

    for place in range(position):
        step(place)
    explain = (lambda: session.run(*found, method="explain")) if "explain" in specs else None
    return lambda run: step(position + run), explain


def timed(call: Callable[[], object]) -> float:
    """Milliseconds of a call."""
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--position", type=int, default=200, help="tokens before the first timed one")
    options = parser.parse_args()
    sessions = {bundle: Session(bundle) for bundle in options.bundles}
    made = {bundle: calls(session, options.position) for bundle, session in sessions.items()}
    times = {bundle: np.zeros(options.runs) for bundle in made}
    explained = {bundle: np.zeros(options.runs) for bundle in made}
    order = list(made.items())
    for run in range(options.runs):
        # In turn first and last.
        for bundle, (step, _) in order if run % 2 else reversed(order):
            times[bundle][run] = timed(lambda step=step, run=run: step(run))
        for bundle, (_, explain) in order:
            if explain is not None:
                explained[bundle][run] = timed(explain)
    first = next(iter(times))
    whole = np.median(times[first])
    print(f"{platform.machine()}, {os.cpu_count()} cores, {threads()} threads, {options.runs} calls each")
    print("| bundle | layers | step, ms | 10 % to 90 %, ms | added, us | per layer | explain, ms |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for bundle, found in times.items():
        low, high = np.percentile(found, (10, 90))
        layers = len(sessions[bundle].manifest["pipeline"].get("explain", {}).get("layers", []))
        added = np.median(found - times[first])
        share = f"{100 * added / whole / layers:.1f} %" if layers else ""
        took = f"{np.median(explained[bundle]):.3f}" if layers else ""
        name = bundle.rstrip("/").rpartition("/")[2]
        row = f"{np.median(found):.3f} | {low:.3f} to {high:.3f} | {1e3 * added:.0f} | {share} | {took}"
        print(f"| {name} | {layers} | {row} |")


if __name__ == "__main__":
    main()
