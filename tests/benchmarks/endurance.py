"""Whether memory grows: a session that runs often, and sessions that are opened and closed.

    python -m tests.benchmarks.endurance BUNDLE... [--runs 100000] [--opens 1000] [--json]

In the checkout, with the installed edgekit-runtime. A run is a row of a stream, an image or a text, by the bundle's
task. A tenth of the runs come first, as warm-up; then what malloc has given out (mallinfo2) and the resident set are
read, before and after the others. Ends with 1 where what was given out grew by more than 64 KiB.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from edgekit_runtime import Session
from edgekit_runtime.detect_anomalies import AnomalyPipeline
from edgekit_runtime.generate import TextGenerator
from edgekit_runtime.segment import SegmentPipeline

#: Bytes of growth that are none: Python's own caches.
SLACK = 64 << 10


@dataclass(frozen=True)
class Growth:
    """What was done so often, in how many seconds, and by how many bytes memory grew meanwhile."""

    bundle: str
    what: str
    times: int
    seconds: float
    malloc_bytes: int
    resident_bytes: int


class _Malloc(ctypes.Structure):
    """mallinfo2: sizes in bytes."""

    _names = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    _fields_ = tuple((name, ctypes.c_size_t) for name in _names)


def given_out() -> int:
    """Bytes that malloc has given out and not got back."""
    info = ctypes.CDLL(None).mallinfo2
    info.restype = _Malloc
    found = info()
    return int(found.uordblks + found.hblkhd)


def work(session: Session) -> Callable[[], object]:
    """One run of the bundle's task."""
    draw, task = np.random.default_rng(0), session.manifest["pipeline"]["name"]
    if task == "detect_anomalies":
        stream = AnomalyPipeline(session).stream()
        rows = draw.random((64, session.methods[0].inputs[0].shape[1]), np.float32)
        place = iter(range(sys.maxsize))
        return lambda: stream.push(rows[next(place) % len(rows)])
    if task == "segment":
        segmenter, image = SegmentPipeline(session), draw.random((40, 50), np.float32)
        return lambda: segmenter.segment(image)
    generator = TextGenerator(session)
    return lambda: list(generator.generate("the", 4))


def measure(bundle: Path, what: str, times: int, one: Callable[[], object]) -> Growth:
    """Does it a tenth of the times first, then all of them."""
    process = psutil.Process()
    for _ in range(max(times // 10, 1)):
        one()
    gc.collect()
    given, resident, begin = given_out(), process.memory_info().rss, time.monotonic()
    for _ in range(times):
        one()
    seconds = time.monotonic() - begin
    gc.collect()
    return Growth(bundle.name, what, times, seconds, given_out() - given, process.memory_info().rss - resident)


def endure(bundle: Path, runs: int, opens: int) -> list[Growth]:
    """A session's runs, and sessions that are opened, run once and closed."""
    return [
        measure(bundle, "runs", runs, work(Session(bundle))),
        measure(bundle, "opens", opens, lambda: work(Session(bundle))()),
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--opens", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    found = [growth for bundle in options.bundles for growth in endure(bundle, options.runs, options.opens)]
    if options.json:
        print(json.dumps([asdict(growth) for growth in found], indent=2))
    else:
        for one in found:
            print(
                f"{one.bundle:36} {one.times:>8,} {one.what:5} {one.seconds:>7.1f} s  "
                f"malloc {one.malloc_bytes:+,} bytes, resident {one.resident_bytes:+,} bytes"
            )
    return 1 if any(one.malloc_bytes > SLACK for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
