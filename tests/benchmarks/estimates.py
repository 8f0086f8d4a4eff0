"""Estimated and measured times of bundles on this machine, in a table; and how far estimates are off.

    edgekit devices measure -o machine.toml
    edgekit profile bundles/* --operators -o measured/results.jsonl
    python tests/benchmarks/estimates.py measured --bundles bundles --device machine.toml

No bundle is estimated by what was measured of itself. Without --calibration each is left out of its own calibration
(--leave-out bundle), with all bundles of its model and format (--leave-out model-format), or of its model (--leave-out
model). With --calibration FILE.json, which `edgekit devices calibrate` made of other bundles (other sizes, batches and
contexts), that one is taken.

A virtual machine may be twice as fast at one time as at another. With --own-peaks the ceilings are those that were
measured right after the bundle itself was (`edgekit profile --operators` does that); without, those of --device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from edgekit.bundle import Bundle
from edgekit.devices.calibration import Calibration, calibrate, load_calibration
from edgekit.devices.estimate import estimate
from edgekit.devices.profile import DeviceProfile, load_profile
from edgekit.devices.results import read_results
from edgekit.devices.roofline import Roofline
from edgekit.export.measured import machine_of, measured_cases
from edgekit.export.workload import read_workload
from edgekit.report import print_json, print_table

#: How far an estimate may be off.
LIMIT = 0.30
_GROUPS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "bundle": lambda bundle: bundle["name"],
    "model-format": lambda bundle: (bundle["model"], bundle["format"]),
    "model": lambda bundle: bundle["model"],
}


def rows(
    results: Sequence[Mapping[str, Any]],
    bundles: Path,
    profile: DeviceProfile,
    calibration: Calibration | None,
    leave: str,
    own_peaks: bool,
) -> list[dict[str, Any]]:
    """A row for each case: measured, estimated with its range, and their ratio."""
    group = _GROUPS[leave]
    found = []
    made: dict[object, Calibration] = {}
    for result in results:
        key = group(result["bundle"])
        if calibration is None and key not in made:
            others = [other for other in results if group(other["bundle"]) != key]
            cases = measured_cases(others, bundles)
            made[key] = calibrate(cases, Roofline.of(profile), machine_of(profile), "", "")
        workload = read_workload(Bundle.open(bundles / result["bundle"]["name"], check_files=False))
        peaks = result["measured"].get("peaks") if own_peaks else None
        roofline = Roofline.of_peaks(peaks) if peaks else None
        guesses = estimate(workload, profile, calibration or made[key], roofline)["cases"]
        estimated = {case["name"]: case for case in guesses}
        for case in result["measured"]["cases"]:
            if case["name"] not in estimated:
                continue
            guess = estimated[case["name"]]
            found.append(
                {
                    "bundle": result["bundle"]["name"],
                    "case": case["name"],
                    "measured_ms": case["p50_ms"],
                    "estimated_ms": guess["p50_ms"],
                    "low_ms": guess["low_ms"],
                    "high_ms": guess["high_ms"],
                    "ratio": guess["p50_ms"] / case["p50_ms"],
                }
            )
    return found


def wrong_order(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Pairs of which the estimate says that the slower one is faster; not where they differ by less than a tenth."""
    pairs = []
    for one, other in combinations(found, 2):
        fast, slow = sorted((one, other), key=lambda row: float(row["measured_ms"]))
        if slow["measured_ms"] > 1.1 * fast["measured_ms"] and slow["estimated_ms"] < fast["estimated_ms"]:
            pairs.append((f"{fast['bundle']} {fast['case']}", f"{slow['bundle']} {slow['case']}"))
    return pairs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--bundles", type=Path, required=True)
    parser.add_argument("--device", required=True, help="the profile that `edgekit devices measure` wrote")
    parser.add_argument("--calibration", type=Path, help="made of other bundles")
    parser.add_argument("--leave-out", choices=tuple(_GROUPS), default="bundle")
    parser.add_argument("--own-peaks", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    results = [result for result in read_results(given.results) if result["measured"] is not None]
    calibration = load_calibration(given.calibration) if given.calibration is not None else None
    found = rows(results, given.bundles, load_profile(given.device), calibration, given.leave_out, given.own_peaks)
    wrong = wrong_order(found)
    off = [row for row in found if abs(row["ratio"] - 1) > LIMIT]
    outside = [row for row in found if not row["low_ms"] <= row["measured_ms"] <= row["high_ms"]]
    if given.json:
        print_json({"rows": found, "wrong_order": wrong})
        return 1 if off else 0
    print_table(
        ("bundle", "case", "measured", "estimated", "range", "ratio"),
        [
            (
                row["bundle"],
                row["case"],
                f"{row['measured_ms']:.3f} ms",
                f"{row['estimated_ms']:.3f} ms",
                f"{row['low_ms']:.3f} to {row['high_ms']:.3f} ms",
                f"{row['ratio']:.2f}",
            )
            for row in sorted(found, key=lambda row: (row["bundle"], row["case"]))
        ],
        (2, 3, 4, 5),
    )
    how = "another calibration" if calibration is not None else f"leaving out its own {given.leave_out}"
    print(
        f"{len(found)} cases, {how}: {len(found) - len(off)} within {LIMIT:.0%}, {len(outside)} outside of their range"
    )
    pairs = len(found) * (len(found) - 1) // 2
    print(f"order: {len(wrong)} of {pairs} pairs the wrong way round")
    for fast, slow in wrong[:10]:
        print(f"  {slow} is measured to be slower than {fast}")
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())
