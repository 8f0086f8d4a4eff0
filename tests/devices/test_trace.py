"""Traces against the rules of the Trace Event Format, and against the result that they tell of."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from edgekit.devices.trace import write_trace
from edgekit.errors import EdgekitError, UsageError

from .test_results import RESULT

#: A call of 100 us: an operator, a delegate's call with three operations inside, another operator. The medians of
#: Multiply and of Softmax are longer than the one call in which they began had room for.
XNNPACK = "delegate XnnpackBackend"
EVENTS: tuple[tuple[int, int | None, str, str, int, float, float], ...] = (
    (10, None, "edgekit::conv2d.out", "edgekit", 0, 1.0, 40.0),
    (11, None, "XnnpackBackend", XNNPACK, 1, 41.5, 30.0),
    (12, 11, "Convolution", XNNPACK, 0, 42.0, 9.0),
    (13, 11, "Multiply", XNNPACK, 1, 51.0, 25.0),
    (14, 11, "Softmax", XNNPACK, 2, 60.0, 20.0),
    (15, None, "aten::add.out", "runtime", 2, 71.0, 29.0),
)
NAMES = ("id", "parent", "name", "place", "index", "start_us", "p50_us")
OTHERS = {"kind": "other", "method": "forward", "calls": 1, "flops": 1000, "bytes": None}
ROWS: list[dict[str, Any]] = [dict(zip(NAMES, event, strict=True)) | OTHERS for event in EVENTS]
ARENA = {
    "parts": ["runtime", "arena"],
    "steps": [
        {"method": "", "operator": "open", "bytes": [100, 0]},
        {"method": "forward", "operator": "load XnnpackBackend", "bytes": [110, 0]},
        *({"method": "forward", "operator": f"step {step}", "bytes": [120, 1000 + step]} for step in range(3)),
    ],
}
TIMELINE = [
    {"at_ms": 0.0, "label": "opened", "counted_bytes": 100, "resident_bytes": None},
    {"at_ms": 2.5, "label": "ran", "counted_bytes": 1122, "resident_bytes": 2048},
]


def result(**fields: Any) -> dict[str, Any]:
    made = copy.deepcopy(RESULT)
    made["measured"]["memory_timeline"] = TIMELINE
    return made | {"operators": {"forward": ROWS, "again": ROWS}, "arena": ARENA, **copy.deepcopy(fields)}


def written(made: dict[str, Any], folder: Path) -> dict[str, Any]:
    write_trace(made, folder / "trace.json")
    trace: dict[str, Any] = json.loads((folder / "trace.json").read_text(), parse_constant=pytest.fail)
    check_format(trace)
    return trace


def check_format(trace: dict[str, Any]) -> None:
    """The format's rules for the kinds of events that are used here: M, X, C and i.

    Among them: slices of one thread are nested or apart (a viewer cuts or drops others), and counters are numbers.
    """
    assert set(trace) <= {"traceEvents", "displayTimeUnit", "otherData", "metadata", "stackFrames", "samples"}
    assert trace["displayTimeUnit"] in ("ms", "ns")
    slices: dict[tuple[int, int], list[tuple[float, float]]] = {}
    named = set()
    for event in trace["traceEvents"]:
        assert isinstance(event["name"], str)
        assert event["name"]
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert isinstance(event["ts"], (int, float))
        assert math.isfinite(event["ts"])
        assert event["ts"] >= 0
        assert isinstance(event.get("args", {}), dict)
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name", "process_sort_index", "thread_sort_index")
            key, kind = ("name", str) if event["name"].endswith("_name") else ("sort_index", int)
            assert isinstance(event["args"][key], kind)
            named.add((event["name"], event["pid"], event["tid"]))
            continue
        assert isinstance(event["cat"], str)
        if event["ph"] == "X":
            assert event["dur"] >= 0
            slices.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
        elif event["ph"] == "C":
            assert event["args"]
            assert all(isinstance(value, (int, float)) for value in event["args"].values())
        else:
            assert event["ph"] == "i"
            assert event["s"] in ("g", "p", "t")
    for (process, thread), spans in slices.items():
        assert ("process_name", process, 0) in named
        assert ("thread_name", process, thread) in named
        stack: list[float] = []
        for begin, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while stack and stack[-1] <= begin + 1e-6:
                stack.pop()
            assert not stack or end <= stack[-1] + 1e-6, "a slice reaches out of the one that it begins in"
            stack.append(end)


def test_operators_are_nested_as_they_ran(tmp_path: Path):
    events = written(result(), tmp_path)["traceEvents"]
    track = [event for event in events if event["ph"] == "X" and event["tid"] == 1]
    assert [event["name"] for event in track] == [row["name"] for row in ROWS]
    begin = track[0]["ts"] - ROWS[0]["start_us"]
    assert [round(event["ts"] - begin, 3) for event in track] == [row["start_us"] for row in ROWS]
    # Cut where the next one, or the end of the delegate's call, comes first; the median is told as it is.
    assert [event["dur"] for event in track] == pytest.approx([40.0, 29.5, 9.0, 9.0, 11.0, 29.0])
    assert [event["args"]["p50_us"] for event in track] == [row["p50_us"] for row in ROWS]
    assert track[1]["ts"] + track[1]["dur"] == pytest.approx(track[4]["ts"] + track[4]["dur"])
    assert "bytes" not in track[0]["args"]


def test_every_case_has_its_track_after_the_one_before_and_after_the_memory(tmp_path: Path):
    events = written(result(), tmp_path)["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert names == {1: "forward", 2: "again"}
    spans = {
        track: [
            (event["ts"], event["ts"] + event["dur"])
            for event in events
            if event["ph"] == "X" and event["tid"] == track
        ]
        for track in names
    }
    assert min(spans[1])[0] > 1e3 * TIMELINE[-1]["at_ms"]
    assert min(spans[2])[0] > max(end for _, end in spans[1])


def test_memory_is_counted_over_the_run_and_planned_over_the_call(tmp_path: Path):
    events = written(result(), tmp_path)["traceEvents"]
    counters = [(event["name"], event["ts"], event["args"]) for event in events if event["ph"] == "C"]
    assert counters[:3] == [
        ("counted memory, bytes", 0.0, {"bytes": 100}),
        ("counted memory, bytes", 2500.0, {"bytes": 1122}),
        ("resident memory, bytes", 2500.0, {"bytes": 2048}),
    ]
    assert [event["name"] for event in events if event["ph"] == "i"] == ["opened", "ran"]
    outer = [event["ts"] for event in events if event["ph"] == "X" and event["tid"] == 1]
    planned = [counter for counter in counters if counter[0] == "planned memory, bytes"][:3]
    assert [args for *_, args in planned] == [{"runtime": 120, "arena": 1000 + step} for step in range(3)]
    assert [time for _, time, _ in planned] == [outer[0], outer[1], outer[5]]


def test_a_slice_is_as_long_as_its_call_took_where_that_is_known(tmp_path: Path):
    times = [38.0, 29.0, 8.5, 9.0, 10.5, 20.0]
    rows = [row | {"us": time} for row, time in zip(ROWS, times, strict=True)]
    events = written(result(operators={"forward": rows}), tmp_path)["traceEvents"]
    assert [event["dur"] for event in events if event["ph"] == "X"] == pytest.approx(times)


def test_rows_without_ids_are_numbered_in_their_order(tmp_path: Path):
    rows = [{key: value for key, value in row.items() if key != "id"} for row in ROWS]
    for row in rows:
        row["parent"] = None if row["parent"] is None else row["parent"] - 10
    assert written(result(operators={"forward": rows}), tmp_path) == written(
        result(operators={"forward": ROWS}), tmp_path
    )


def test_a_result_without_operators_is_its_memory_and_one_with_neither_is_refused(tmp_path: Path):
    assert {event["ph"] for event in written(result(operators=None), tmp_path)["traceEvents"]} == {"M", "C", "i"}
    with pytest.raises(UsageError, match="neither operators nor memory"):
        write_trace(result(operators=None, measured=None), tmp_path / "none.json")
    assert not (tmp_path / "none.json").exists()


def test_slices_that_touch_still_do_when_they_are_rounded(tmp_path: Path):
    """Times of a nanosecond's thirds: begin and duration rounded apart would reach over the next begin."""
    third = 100.0 / 3
    rows = [
        row | {"start_us": 1000.1 + place * third, "p50_us": third, "parent": None}
        for place, row in enumerate(ROWS * 20)
    ]
    rows = [row | {"id": place} for place, row in enumerate(rows)]
    written(result(operators={"forward": rows}), tmp_path)


def test_a_trace_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgekitError, match="cannot write"):
        write_trace(result(), tmp_path / "file" / "trace.json")
