"""Predicted against measured memory of bundles on this machine, part by part.

    python tests/benchmarks/memory_prediction.py BUNDLE... [--parts] [--runner edgekit-run]

Predicted is what export writes into a manifest. Measured is `edgekit-run --bench` with as many threads as were assumed,
in a process of its own, which loads all methods and runs each: "resident" is its VmHWM; "counted" is the most that
heap and maps of the program held, with the resident pages of the libraries.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import edgekit_runtime
from edgekit.bundle import Bundle
from edgekit.devices.profile import load_profile
from edgekit.export.memory import predict
from edgekit.report import part_text

#: |predicted - measured| is to be at most the larger of the two.
SHARE, LEAST = 0.05, 2_000_000


def predicted(bundle: Bundle) -> dict[str, Any]:
    program = bundle.manifest["programs"][0]
    data = (bundle.path / bundle.program.file).read_bytes()
    state = bundle.manifest["memory"].get("state", 0)
    device = load_profile(bundle.manifest["device"])
    return predict(data, state, bundle.program.methods, device, program.get("share_packed_weights", False))


def measured(bundle: Bundle, runner: Path, threads: int) -> dict[str, Any]:
    command = [str(runner), str(bundle.path), "--bench", "1", "--json", "--threads", str(threads)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def megabytes(count: float) -> str:
    return f"{1e-6 * count:.2f}"


def print_parts(parts: dict[str, Any], found: dict[str, Any]) -> None:
    print("\n| part | predicted MB | counted MB |\n|---|--:|--:|")
    counted = {**found["memory"]["after_runs"], "libraries": found["memory"]["libraries"] or 0}
    counted["runtime"] += counted.pop("libraries")
    # The runner counts a delegate's buffers with what it packs, or with its workspace.
    for name, size in counted.items():
        more = parts["delegate_buffers"] if name == "delegate_packed_weights" else 0
        print(f"| {part_text(name)} | {megabytes(parts[name] + more)} | {megabytes(size)} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE")
    parser.add_argument("--parts", action="store_true", help="also each bundle's parts")
    parser.add_argument("--runner", type=Path, help="default: the installed one")
    arguments = parser.parse_args()
    folders = [Path(folder) for folder in edgekit_runtime.__path__]
    runner = arguments.runner or next(
        folder / "bin/edgekit-run" for folder in folders if (folder / "bin/edgekit-run").exists()
    )
    rows, missed = [], []
    for path in arguments.bundles:
        bundle = Bundle.open(path)
        parts = predicted(bundle)
        found = measured(bundle, runner, parts["threads"])
        resident, counted = found["peak_memory_bytes"], found["memory"]["peak"]
        error = parts["peak"] - resident
        if abs(error) > max(SHARE * resident, LEAST):
            missed.append(bundle.path.name)
        sizes = " | ".join(megabytes(size) for size in (parts["peak"], resident, counted))
        rows.append(f"| {bundle.path.name} | {sizes} | {1e-6 * error:+.2f} ({100 * error / resident:+.1f} %) |")
        if arguments.parts:
            print(f"{bundle.path.name}:")
            print_parts(parts, found)
    print("| bundle | predicted MB | resident MB | counted MB | error |\n|---|--:|--:|--:|--:|")
    print("\n".join(rows))
    if missed:
        print(f"\nMore than {100 * SHARE:.0f} % and {1e-6 * LEAST:.0f} MB off: {', '.join(missed)}.")


if __name__ == "__main__":
    main()
