"""`python -m tests.faults`: commands ended at random moments, and runners under limits of memory; the long versions.

python -m tests.faults --kills 100                  # each case by kill -9
python -m tests.faults --kills 0 --interrupts 100   # each case by Ctrl-C
python -m tests.faults --kills 0 --memory BUNDLES   # every bundle of a folder
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .cases import all_cases
from .commands import Commands
from .ending import Tally, end_again_and_again
from .inputs import make
from .memory import Limited, limited


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="kill -9 of each case; default: 100")
    parser.add_argument("--interrupts", type=int, default=0, help="Ctrl-C of each case; default: 0")
    parser.add_argument("--memory", type=Path, metavar="DIR", help="run every bundle in it under limits")
    parser.add_argument("--only", action="append", metavar="CASE", help="repeatable; default: all cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, metavar="DIR", help="work there, and go on where it was")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgekit-faults-") as temporary:
        folder = (given.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        rows, failed = _ended(folder, given)
    memory = [] if given.memory is None else _memory(given.memory, given.json)
    failed = failed or any(not (row.runs and row.short_is_said) for row in memory)
    if given.json:
        print(json.dumps({"ended": rows, "memory": [row.to_dict() for row in memory]}, indent=2))
    return int(failed)


def _ended(folder: Path, given: argparse.Namespace) -> tuple[list[dict[str, Any]], bool]:
    """A row for each case and signal; those that are in the folder already are not repeated."""
    kinds = [(name, count) for name, count in (("kill -9", given.kills), ("Ctrl-C", given.interrupts)) if count]
    rows: list[dict[str, Any]] = []
    failed = False
    if not kinds:
        return rows, failed
    with Commands(folder) as commands:
        cases = all_cases(make(folder / "inputs", commands), folder)
        unknown = set(given.only or ()) - set(cases)
        if unknown:
            raise SystemExit(f"no case {', '.join(sorted(unknown))}: there are {', '.join(cases)}.")
        for kind, count in kinds:
            for name in given.only or cases:
                file = folder / f"{name} {kind} {count} {given.seed}.json"
                if not file.exists():
                    try:
                        tally = end_again_and_again(
                            *(commands, cases[name], count, given.seed, kind == "Ctrl-C", _progress(kind))
                        )
                        file.write_text(json.dumps({"by": kind, **asdict(tally)}))
                    except AssertionError as error:
                        print(f"\n{error}", file=sys.stderr)
                        failed = True
                        continue
                rows.append(json.loads(file.read_text()))
                if not given.json:
                    row = rows[-1]
                    print(
                        f"{name:<22} {kind:<8} {row['ended']:>4} of {row['asked']} ended, whole each time; "
                        f"{row['finished']} runs to the end between them; {row['seconds']:.2f} s when left alone",
                        flush=True,
                    )
    return rows, failed


def _progress(kind: str) -> Any:
    def on_end(tally: Tally) -> None:
        print(f"\r{tally.case}, {kind}: {tally.ended} of {tally.asked} ", end="", file=sys.stderr, flush=True)
        if tally.ended == tally.asked:
            print(file=sys.stderr)

    return on_end


def _memory(folder: Path, quiet: bool) -> list[Limited]:
    rows = []
    for path in sorted(path for path in folder.iterdir() if (path / "manifest.json").exists() and path.name[0] != "."):
        found = limited(path)
        rows.append(found)
        if not quiet:
            measured = "did not run" if found.measured is None else f"{1e-6 * found.measured:.1f} MB measured"
            short = "runs too" if found.short_code == 0 else f"exit {found.short_code}"
            print(
                f"{found.bundle:<40} {1e-6 * found.predicted:>7.1f} MB predicted; with 5 % more: {measured}; with 60 % "
                f"of it: {short}{'' if found.short_is_said else ', NOT SAID'}",
                flush=True,
            )
            if not found.runs:
                print(f"    {found.said}")
    return rows


if __name__ == "__main__":
    sys.exit(main())
