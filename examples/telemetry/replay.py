"""Plays recorded sensor rows to a message bus, as a machine would send them.

    python examples/telemetry/replay.py SERIES.npz --topic plant/press/rows --rate 100

SERIES is a .csv (with or without a header), a .npy (rows, channels), or an .npz, of which `test` is played, or what
--key names. Every row is a message {"time": T, "values": [...]}; --together N sends lists of N rows. mosquitto_pub
sends them (Debian's mosquitto-clients); --print writes lines "TOPIC MESSAGE" for telemetry_lines instead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def read(path: Path, key: str) -> tuple[np.ndarray, list[str] | None]:
    """Rows (T, C) float32, and the channels' names where a header has them."""
    if path.suffix == ".csv":
        with path.open() as file:
            first = file.readline().strip().split(",")
        try:
            [float(word) for word in first]
        except ValueError:
            return np.loadtxt(path, np.float32, delimiter=",", skiprows=1, ndmin=2), first
        return np.loadtxt(path, np.float32, delimiter=",", ndmin=2), None
    loaded = np.load(path)  # never a pickle
    return np.asarray(loaded[key] if path.suffix == ".npz" else loaded, np.float32), None


def messages(rows: np.ndarray, names: list[str] | None, start: float, step: float, together: int) -> Iterator[str]:
    """One message for each `together` rows."""
    for first in range(0, len(rows), together):
        made = [
            {"time": start + step * (first + place), "values": dict(zip(names, row, strict=True)) if names else row}
            for place, row in enumerate(rows[first : first + together].tolist())
        ]
        yield json.dumps(made[0] if together == 1 else made)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("series", type=Path)
    parser.add_argument("--topic", default="plant/machine/rows")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--rate", type=float, default=0, help="rows per second; 0: as fast as they are taken")
    parser.add_argument("--first", type=int, default=0, help="the first row that is played")
    parser.add_argument("--count", type=int, help="rows that are played; all")
    parser.add_argument("--start", type=float, default=0, help="time of the series' first row")
    parser.add_argument("--step", type=float, default=1, help="time from row to row")
    parser.add_argument("--together", type=int, default=1, help="rows of a message")
    parser.add_argument("--key", default="test", help="which array of an .npz")
    parser.add_argument("--print", action="store_true", help="write lines for telemetry_lines, send nothing")
    given = parser.parse_args()
    rows, names = read(given.series, given.key)
    rows = rows[given.first :][: given.count]
    start = given.start + given.step * given.first
    client = None
    if not given.print:
        command = ["mosquitto_pub", "-h", given.host, "-p", str(given.port), "-t", given.topic, "-q", "1", "-l"]
        client = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    to = sys.stdout if client is None else client.stdin
    began = time.monotonic()
    for place, message in enumerate(messages(rows, names, start, given.step, given.together)):
        if given.rate > 0:
            time.sleep(max(0.0, began + place * given.together / given.rate - time.monotonic()))
        to.write(f"{given.topic} {message}\n" if client is None else f"{message}\n")
        if given.rate > 0:
            to.flush()
    to.flush()
    if client is not None:
        client.stdin.close()
        return client.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
