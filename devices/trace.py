"""A result as a trace: what Chrome (about:tracing) and Perfetto (ui.perfetto.dev) draw.

The JSON form of the Trace Event Format: slices (`ph` "X") for operators, counters ("C") for memory, names ("M"); times
in microseconds. https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import UsageError
from edgekit.files import write_text

#: Tracks: the memory of the whole run, and one call of each case after it.
_MEMORY, _CALLS = 1, 2
#: Between the run's memory and the calls, and between calls: one eye's width in a viewer.
_GAP = 0.05


def write_trace(result: Mapping[str, Any], path: Path) -> None:
    """Writes a result's operators and memory as a trace, whole or not at all.

    The runner's memory timeline covers its whole run, while operators are those of one call of each case (the traced
    call whose total is the median). They cannot share a clock: first comes the run with its memory, then the calls, one
    after the other, each on a track of its own. With each operator of a `.pte` come the bytes that the program plans
    for that step, where the result has them.

    Raises:
        UsageError: there is nothing to trace in the result.
        EdgekitError: the file cannot be written.
    """
    events = list(trace_events(result))
    if not any(event["ph"] != "M" for event in events):
        raise UsageError(
            f"the result of {result['bundle']['name']} has neither operators nor memory over time: measure it with "
            f"`edgekit profile --operators`."
        )
    trace = {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "bundle": result["bundle"]["name"],
            "sha256": result["bundle"]["sha256"],
            "command": result["command"],
            "date": result["date"],
            **{f"version of {name}": str(version) for name, version in result["versions"].items()},
        },
    }
    write_text(path, json.dumps(trace, separators=(",", ":"), allow_nan=False) + "\n")


def trace_events(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of `write_trace`, in the order of their tracks and times."""
    name = result["bundle"]["name"]
    timeline = (result["measured"] or {}).get("memory_timeline") or []
    yield _named("process_name", f"{name}: memory of the whole run", _MEMORY)
    yield _named("process_sort_index", _MEMORY, _MEMORY)
    yield from _memory(timeline)
    yield _named("process_name", f"{name}: one call of each case", _CALLS)
    yield _named("process_sort_index", _CALLS, _CALLS)
    start = _after(1e3 * max((point["at_ms"] for point in timeline), default=0.0))
    planned = _planned(result["arena"])
    for track, (case, rows) in enumerate((result["operators"] or {}).items(), 1):
        if not rows:
            continue
        yield _named("thread_name", case, _CALLS, track)
        yield _named("thread_sort_index", track, _CALLS, track)
        spans = _spans(rows)
        for row, (begin, end) in zip(rows, spans, strict=True):
            yield _slice(row, _microseconds(start + begin), _microseconds(start + end), track)
        steps = planned.get(rows[0]["method"], [])
        yield from _planned_memory(rows, spans, steps, (result["arena"] or {}).get("parts", ()), start)
        start = _after(start + max(end for _, end in spans))


def parents(rows: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """For each operator's row the place in the list of the row that it is part of, or None.

    A row's `parent` is the `id` of another; rows without an `id` are numbered in their order.

    Raises:
        ValueError: a row is part of itself, or of one that is not there.
    """
    place_of = {row.get("id", place): place for place, row in enumerate(rows)}
    found: list[int | None] = []
    for place, row in enumerate(rows):
        if row.get("parent") is not None and row["parent"] not in place_of:
            raise ValueError(f"operator {place} is part of {row['parent']!r}, which is not there")
        found.append(None if row.get("parent") is None else place_of[row["parent"]])
    for place in range(len(rows)):
        _line(found, place)
    return found


def _line(above: Sequence[int | None], place: int) -> list[int]:
    """A row and what it is part of, the outermost first."""
    line = [place]
    while (parent := above[line[-1]]) is not None:
        if parent in line:
            raise ValueError(f"operator {place} is part of itself")
        line.append(parent)
    return line[::-1]


def _spans(rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Begin and end of each row in microseconds, nested as the format asks.

    `us` is how long an operator took in the call in which it began at `start_us`. A row without it takes its median,
    which may reach into the next one, or out of the delegate's call that it is part of; such an end is cut there. The
    arguments say the median as it is.
    """
    above = parents(rows)
    in_order = sorted(range(len(rows)), key=lambda place: rows[place]["start_us"])
    next_begin: dict[int, float] = {}
    following: dict[int | None, float] = {}
    for place in reversed(in_order):
        next_begin[place] = following.get(above[place], math.inf)
        following[above[place]] = rows[place]["start_us"]
    spans: dict[int, tuple[float, float]] = {}
    for place in sorted(in_order, key=lambda place: len(_line(above, place))):
        parent = above[place]
        first, last = (0.0, math.inf) if parent is None else spans[parent]
        begin = min(max(rows[place]["start_us"], first), last)
        spans[place] = (begin, max(begin, min(begin + _duration(rows[place]), next_begin[place], last)))
    return [spans[place] for place in range(len(rows))]


def _duration(row: Mapping[str, Any]) -> float:
    return float(row["p50_us"] if row.get("us") is None else row["us"])


def _after(time: float) -> float:
    return time * (1 + _GAP) + 1.0


def _named(what: str, value: str | int, process: int, track: int = 0) -> dict[str, Any]:
    key = "sort_index" if isinstance(value, int) else "name"
    return {"ph": "M", "name": what, "pid": process, "tid": track, "ts": 0, "args": {key: value}}


def _memory(timeline: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for point in timeline:
        time = _microseconds(1e3 * point["at_ms"])
        instant = {"ph": "i", "s": "p", "name": point["label"], "cat": "memory", "pid": _MEMORY, "tid": 0, "ts": time}
        yield {**instant, "args": {}}
        for counter, key in (("counted memory, bytes", "counted_bytes"), ("resident memory, bytes", "resident_bytes")):
            if point.get(key) is not None:
                yield _counter(counter, _MEMORY, time, {"bytes": point[key]})


def _slice(row: Mapping[str, Any], begin: float, end: float, track: int) -> dict[str, Any]:
    kept = (
        "kind",
        "place",
        "method",
        "index",
        "calls",
        "p50_us",
        "share",
        "flops",
        "bytes",
        "gflops",
        "gb_per_s",
        "bound",
    )
    return {
        "ph": "X",
        "name": row["name"],
        "cat": row.get("place") or "operator",
        "pid": _CALLS,
        "tid": track,
        "ts": begin,
        "dur": _microseconds(end - begin),  # of rounded times: slices that touch go on touching
        "args": {key: row[key] for key in kept if row.get(key) is not None},
    }


def _planned(arena: Mapping[str, Any] | None) -> dict[str, list[Mapping[str, Any]]]:
    """Steps of each method's run, without those of its loading."""
    steps: dict[str, list[Mapping[str, Any]]] = {}
    for step in (arena or {}).get("steps", ()):
        if step["operator"] != "open" and not step["operator"].startswith("load "):
            steps.setdefault(step["method"], []).append(step)
    return steps


def _planned_memory(
    rows: Sequence[Mapping[str, Any]],
    spans: Sequence[tuple[float, float]],
    steps: Sequence[Mapping[str, Any]],
    parts: Sequence[str],
    start: float,
) -> Iterator[dict[str, Any]]:
    """A counter per step of the program that an operator of the call belongs to, by its index."""
    outer = [(row, span) for row, span, above in zip(rows, spans, parents(rows), strict=True) if above is None]
    for row, (begin, _) in outer:
        if isinstance(row.get("index"), int) and 0 <= row["index"] < len(steps):
            values = dict(zip(parts, steps[row["index"]]["bytes"], strict=True))
            yield _counter("planned memory, bytes", _CALLS, _microseconds(start + begin), values)


def _counter(name: str, process: int, time: float, values: Mapping[str, int]) -> dict[str, Any]:
    return {"ph": "C", "name": name, "cat": "memory", "pid": process, "tid": 0, "ts": time, "args": dict(values)}


def _microseconds(value: float) -> float:
    """To a nanosecond, which is what viewers keep."""
    return round(value, 3)
