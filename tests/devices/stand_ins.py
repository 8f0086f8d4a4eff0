"""Bundles whose runner is a shell script, for what a device does to a session; real ones are measured beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgekit import manifest
from edgekit.bundle import RUNNER, seal
from edgekit_runtime import __version__

#: What a runner prints.
MEASURED: dict[str, Any] = {
    "runner": __version__,
    "runs": 3,
    "warmup": 1,
    "threads": 2,
    "cpu_mask": None,
    "open_ms": 1.0,
    "load_ms": 5.0,
    "cases": [
        {
            "name": "forward",
            "method": "forward",
            "rows": None,
            "items": 8,
            "unit": "window",
            "first_ms": 4.0,
            "times_ms": [2.0, 2.0, 2.2],
            "p50_ms": 2.0,
            "p90_ms": 2.2,
            "p99_ms": 2.2,
        }
    ],
    "peak_memory_bytes": 9_000_000,
    "memory": {},
    "memory_timeline": [],
    "telemetry": {
        "before": {"temperature_c": {"cpu-thermal": 51.0}, "clock_mhz": {}, "max_clock_mhz": {}, "throttle_counts": {}},
        "after": {"temperature_c": {"cpu-thermal": 58.2}, "clock_mhz": {}, "max_clock_mhz": {}, "throttle_counts": {}},
        "throttled": False,
    },
}

SUCCEEDS = f"cat << 'EOF'\n{json.dumps(MEASURED)}\nEOF\n"


def stand_in(folder: Path, script: str = SUCCEEDS, name: str = "stand-in", ballast: int = 1000) -> Path:
    """A bundle with this script as its runner, and a program of so many bytes that nothing can read."""
    bundle = folder / name
    bundle.mkdir(parents=True)
    (bundle / RUNNER).write_text(f"#!/bin/sh\n{script}")
    (bundle / "program.pte").write_bytes(bytes(ballast))
    (bundle / "folder of its own").mkdir()
    (bundle / "folder of its own" / "it's a $HOME.txt").write_text("hello")
    fields = {
        **{key: {} for key, kind in manifest.FIELDS.items() if kind is dict},
        "device": "linux-x86_64",
        "recipe": "fp32",
        "seed": 0,
        "model": {"name": "stand-in", "variant": "none"},
        "pipeline": {"name": "detect_anomalies"},
        "programs": [{"file": "program.pte", "format": "pte", "methods": [], "operators": [], "delegates": []}],
        "memory": {"peak": 9_500_000},
    }
    seal(bundle, fields)
    return bundle
