"""Benchmarks of the operators.

    python kernels/bench [OPERATOR...] [--rounds 30] [--json]

Times are medians; the ratio is the contender's time by edgekit's, measured in turns in one run (above 1: edgekit is
faster), with its 10th and 90th percentile.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

#: Operators with a benchmark: a module each, with `rows(rounds)` and the `UNIT` of its rates.
OPERATORS = ("conv2d", "sparse_topk")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operators", nargs="*", choices=[*OPERATORS, []], metavar="OPERATOR", help=", ".join(OPERATORS))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    # Run as a folder, this file has no package; its neighbours do.
    sys.path.insert(0, str(Path(__file__).parents[1]))
    measure = importlib.import_module("bench.measure")
    found = {}
    for operator in arguments.operators or OPERATORS:
        module = importlib.import_module(f"bench.{operator}")
        if not arguments.json:
            print(f"\n{operator} ({measure.machine()})\n")
            print(f"| case | | ms | ratio (p10 to p90) | {module.UNIT} |\n|---|---|---|---|---|")
        found[operator] = []
        for row in module.rows(arguments.rounds):
            found[operator].append(row.to_dict())
            if not arguments.json:
                ratio, low, high = row.ratio
                rate = "" if row.rate is None else f"{row.rate:.1f}"
                print(
                    f"| {row.case} | {row.contender} | {row.milliseconds:.3f} "
                    f"| {ratio:.2f} ({low:.2f} to {high:.2f}) | {rate} |",
                    flush=True,
                )
    if arguments.json:
        print(json.dumps({"machine": measure.machine(), "rows": found}, indent=1))


if __name__ == "__main__":
    main()
