"""What a session's run takes beyond ExecuTorch's Module on the same program, and what both allocate.

    python -m tests.benchmarks.session_overhead BUNDLE [--method NAME] [--runs 2000] [--rounds 9]

In the checkout. Both in one process, run by run in turns; a process for each round. The medians of the rounds are
compared. A bundle with a small program shows it best, such as stackvae-g's; inputs are float32.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from pathlib import Path

from edgekit_runtime import Session
from tests import machines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--method")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    bundle = arguments.bundle.resolve()
    method = arguments.method or Session(bundle).methods[0].name
    with tempfile.TemporaryDirectory() as folder:
        machine = machines.host(Path(folder))
        rounds = [machine.compare_module(bundle, method, arguments.runs) for _ in range(arguments.rounds)]
    medians = {name: [statistics.median(found[name]["us"]) for found in rounds] for name in ("session", "module")}
    medians["difference"] = [ours - theirs for ours, theirs in zip(medians["session"], medians["module"], strict=True)]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores; {bundle.name}, {method}, "
        f"{arguments.rounds} rounds of {arguments.runs} runs"
    )
    for name, times in medians.items():
        print(f"{name:10} {statistics.median(times):8.2f} us ({min(times):.2f} to {max(times):.2f})")
    for name in ("session", "module"):
        counts = rounds[-1][name]["allocations"]
        listed = ", ".join(f"{count / arguments.runs:g} by {library}" for library, count in sorted(counts.items()))
        print(f"allocations in a run, {name}: {listed or 'none'}")


if __name__ == "__main__":
    main()
