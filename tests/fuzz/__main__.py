"""The long run: `python -m tests.fuzz`, from the checkout. Every parser and the loading of whole bundles, for as many
executions as are asked for; ends with 1 where something was found.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .fuzzers import LOADS, PARSERS, PYTHON, Outcome, build, missing_atheris, missing_compiler, run


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    known = [*PARSERS, *(f"load_{bundle}" for bundle in LOADS), *PYTHON]
    names = options.only or known
    if strange := [name for name in names if name not in known]:
        print(f"there is no fuzzer {strange[0]!r}: known are {', '.join(known)}.", file=sys.stderr)
        return 2
    reasons = (
        missing_compiler() if set(names) - set(PYTHON) else None,
        missing_atheris() if set(names) & set(PYTHON) else None,
    )
    for reason in filter(None, reasons):
        print(f"fuzzing {reason}, or choose others with --only.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="edgekit-fuzzers-") as scratch:
        built = options.build or Path(scratch)
        if set(names) - set(PYTHON):
            print("building ...", file=sys.stderr)
            build(built)
        outcomes = _run_all(names, built, options)
    if options.json:
        print(json.dumps([_row(outcome) for outcome in outcomes], indent=2))
    else:
        for outcome in outcomes:
            found = f"found: {', '.join(map(str, outcome.artifacts)) or 'see stderr'}" if outcome.found else "-"
            print(f"{outcome.name:20} {outcome.executions:>10,} {outcome.seconds:>8.0f} s  {found}")
    return 1 if any(outcome.found for outcome in outcomes) else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--executions", type=int, default=1_000_000, help="of each parser; default: 1000000")
    parser.add_argument("--loads", type=int, default=50_000, help="of whole bundles, all together; default: 50000")
    parser.add_argument("--only", action="append", metavar="NAME", help="this fuzzer alone; may be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="fuzzers at once; default: 2")
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzers' draws; default: 1")
    parser.add_argument("--build", type=Path, help="where the programs are built and kept; default: nowhere")
    parser.add_argument("--artifacts", type=Path, default=Path("fuzz-found"), help="where inputs go that end a program")
    parser.add_argument("--corpus", type=Path, help="where inputs are kept that reach something new; default: nowhere")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


def _run_all(names: list[str], built: Path, options: argparse.Namespace) -> list[Outcome]:
    def one(name: str) -> Outcome:
        executions = -(-options.loads // len(LOADS)) if name.startswith("load_") else options.executions
        corpus = options.corpus / name if options.corpus else None
        return run(name, built, executions, options.seed, options.artifacts.absolute(), corpus)

    outcomes = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for done in as_completed([pool.submit(one, name) for name in names]):
            outcome = done.result()
            outcomes.append(outcome)
            print(f"{outcome.name}: {outcome.executions:,} in {outcome.seconds:.0f} s", file=sys.stderr)
            if outcome.found:
                print(outcome.found, file=sys.stderr)
    return sorted(outcomes, key=lambda outcome: names.index(outcome.name))


def _row(outcome: Outcome) -> dict[str, object]:
    return {
        "name": outcome.name,
        "executions": outcome.executions,
        "seconds": round(outcome.seconds, 1),
        "found": outcome.found,
        "artifacts": [str(path) for path in outcome.artifacts],
    }


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
