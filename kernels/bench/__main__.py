"""Benchmarks of the operators.

    python kernels/bench [OPERATOR...] [--rounds 30] [--threads 2] [--quick] [--json FILE]
    python kernels/bench gpu-code [--json FILE] [LIBRARY]      what the GPU's kernels take (gpu_code.py)

Times are medians; the ratio is the contender's time by edgekit's, measured in turns in one run (above 1: edgekit is
faster), with its 10th and 90th percentile. A rate's share is of what this machine reaches, measured in the same run:
reading memory that no cache holds, or multiplying large matrices in torch. Above 100 % data came from a cache, or the
operator computes less than it is rated by.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgekit.errors import unknown_name

#: What has a benchmark, the operators and "sea_layer", the attention that three of them make: a module each, with
#: `rows(rounds, quick)`, and `GROWS`: how the names of those cases begin that differ in one size that grows, so that
#: the last one's time by the first's says something; None where none do.
OPERATORS = (
    *("sparse_topk", "kv_append", "sparse_topk_attention", "sea_estimate", "sea_layer"),
    *("csr_matmul", "conv2d"),
)


def main() -> None:
    # Run as a folder, this file has no package and its neighbours are found by bare names: let their package be found.
    sys.path[0] = str(Path(__file__).parents[1])
    if sys.argv[1:2] == ["gpu-code"]:
        importlib.import_module("bench.gpu_code").main(sys.argv[2:])
        return
    arguments = _arguments()
    machines, measure = (importlib.import_module(f"bench.{name}") for name in ("machine", "measure"))
    machines.use_threads(arguments.threads)
    machine = machines.measured(arguments.quick)
    print(f"{machine}; rounds: {arguments.rounds}")
    peaks = {measure.READING: machine.read_gb_per_s, measure.COMPUTING: machine.peak_gflop_per_s}
    found: list[dict[str, Any]] = []
    growths: list[dict[str, Any]] = []
    for operator in arguments.operators or OPERATORS:
        module = importlib.import_module(f"bench.{operator}")
        print(
            f"\n## {operator}\n\n| case | | ms | ratio (p10 to p90) | rate | of the peak |\n|---|---|---|---|---|---|"
        )
        rows = []
        for row in module.rows(arguments.rounds, arguments.quick):
            share = None if row.rate is None else row.rate / peaks[row.unit]
            rows.append({"operator": operator, **asdict(row), "share_of_peak": share})
            print(_line(rows[-1]), flush=True)
        found += rows
        if module.GROWS is not None:
            growth = list(_growth([row for row in rows if row["case"].startswith(module.GROWS)]))
            print("\n" + "\n".join("{contender} from {first} to {last}: {ratio:.2f}x".format(**one) for one in growth))
            growths += growth
    if arguments.json is not None:
        record = {"machine": asdict(machine), "rounds": arguments.rounds, "rows": found, "growth": growths}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python kernels/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("operators", nargs="*", metavar="OPERATOR", help=f"{', '.join(OPERATORS)}; all by default")
    parser.add_argument("--rounds", type=positive, default=30, help="how often each contender has its turn")
    parser.add_argument(
        "--threads", type=positive, help="of torch, ExecuTorch and ONNX Runtime; torch's own by default"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small cases, to see that all run: its figures say nothing"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    for operator in arguments.operators:
        if operator not in OPERATORS:
            parser.error(str(unknown_name("operator", operator, OPERATORS)))
    if arguments.json is not None and (arguments.json.is_dir() or not arguments.json.parent.is_dir()):
        parser.error(f"--json {arguments.json} cannot be written: give a file in a folder that exists.")
    return arguments


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _line(row: dict[str, Any]) -> str:
    spread = "{ratio:.2f} ({ratio_p10:.2f} to {ratio_p90:.2f})".format(**row)
    rate = share = ""
    if row["rate"] is not None:
        rate, share = f"{row['rate']:.4g} {row['unit']}", f"{100 * row['share_of_peak']:.1f} %"
    return f"| {row['case']} | {row['contender']} | {row['milliseconds']:.4g} | {spread} | {rate} | {share} |"


def _growth(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The time of the last case by the first's, for each contender that is edgekit's."""
    first, last = rows[0]["case"], rows[-1]["case"]
    times = {(row["contender"], row["case"]): row["milliseconds"] for row in rows}
    for name in dict.fromkeys(row["contender"] for row in rows if row["contender"].startswith("edgekit")):
        ratio = times[name, last] / times[name, first]
        yield {"operator": rows[0]["operator"], "contender": name, "first": first, "last": last, "ratio": ratio}


if __name__ == "__main__":
    main()
