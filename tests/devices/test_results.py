"""Results: what a reader takes and refuses, and what a later one replaces."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.devices.results import append_results, case_title, check_result, pooled, rate, read_results
from edgekit.errors import EdgekitError, UsageError

RESULT: dict[str, Any] = {
    "schema": 1,
    "bundle": {
        "name": "pump-int8",
        "sha256": "0" * 64,
        "model": "stackvae-g",
        "variant": "pump",
        "device": "my-board",
        "recipe": "int8",
        "format": "pte",
        "kv": None,
        "task": "detect_anomalies",
        "bytes": 1000,
        "memory": {},
        "accuracy": {},
    },
    "target": {"kind": "ssh", "address": "pi@board", "emulated": False},
    "machine": {"title": "a board"},
    "settings": {"runs": 3, "warmup": 1, "threads": 2, "cpu_mask": None},
    "measured": {
        "cases": [
            {
                "name": "forward",
                "method": "forward",
                "items": 8,
                "unit": "window",
                "first_ms": 5.0,
                "times_ms": [2.0, 2.0, 4.0],
                "p50_ms": 2.0,
                "p90_ms": 4.0,
                "p99_ms": 4.0,
            }
        ]
    },
    "operators": None,
    "roofline": None,
    "estimated": None,
    "arena": None,
    "versions": {},
    "command": "edgekit profile pump-int8 --target ssh://pi@board",
    "date": "2026-01-01T00:00:00+00:00",
}


def changed(**fields: Any) -> dict[str, Any]:
    return copy.deepcopy(RESULT) | fields


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    file = tmp_path / "new" / "results.jsonl"
    append_results(file, [RESULT])
    append_results(file, [changed(target={"kind": "local", "address": None})])
    assert [result["target"]["kind"] for result in read_results([file])] == ["ssh", "local"]
    assert read_results([file.parent]) == read_results([file])
    (single := tmp_path / "one.json").write_text(json.dumps(RESULT, indent=1))
    assert read_results([single]) == [RESULT]


def test_a_later_result_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    append_results(tmp_path / "r.jsonl", [RESULT, changed(date="2026-02-02T00:00:00+00:00")])
    (result,) = read_results([tmp_path])
    assert result["date"].startswith("2026-02")


def test_a_line_that_was_cut_off_is_mended_by_the_next(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(json.dumps(RESULT))  # without its end of line
    append_results(file, [changed(target={"kind": "local"})])
    assert len(read_results([file])) == 2


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ([], "no schema"),
        ({"schema": 2}, "has schema 2, this edgekit reads 1"),
        ({key: value for key, value in RESULT.items() if key != "roofline"}, "field 'roofline'"),
        (changed(measured=[]), "field 'measured'"),
        (changed(measured={"cases": []}), "field 'measured.cases'"),
        (
            changed(measured={"cases": [RESULT["measured"]["cases"][0] | {"p50_ms": 0}]}),
            "field 'measured.cases.p50_ms'",
        ),
        (changed(measured={"cases": [RESULT["measured"]["cases"][0] | {"items": True}]}), "measured.cases.items"),
        (changed(estimated={"cases": [{"name": "x", "unit": "call", "items": 1}]}), "field 'estimated.cases.low_ms'"),
        (changed(target={"kind": "telnet"}), "field 'target.kind'"),
        (changed(bundle=RESULT["bundle"] | {"bytes": "9"}), "field 'bundle.bytes'"),
    ],
)
def test_what_is_no_result_is_said(value: Any, wanted: str, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=wanted.replace(".", r"\.")):
        check_result(value, "this")
    (tmp_path / "r.jsonl").write_text(f"\n{json.dumps(value)}\n")
    with pytest.raises(EdgekitError, match="line 2"):
        read_results([tmp_path])


def test_missing_and_damaged_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no results"):
        read_results([tmp_path])
    with pytest.raises(UsageError, match="there is no file"):
        read_results([tmp_path / "none.jsonl"])
    (tmp_path / "r.jsonl").write_text('{"schema": ')
    with pytest.raises(EdgekitError, match="line 1, is no JSON"):
        read_results([tmp_path])
    (tmp_path / "r.jsonl").write_text("\n")
    with pytest.raises(UsageError, match="no results"):
        read_results([tmp_path])


def test_rates_and_titles() -> None:
    (case,) = RESULT["measured"]["cases"]
    assert rate(case) == (4000.0, "window/s")
    assert case_title(RESULT, case) == "pump-int8"
    two = changed(measured={"cases": [case | {"name": "prompt"}, case | {"name": "token"}]})
    assert case_title(two, two["measured"]["cases"][1]) == "pump-int8, token"


def test_results_of_several_rounds_are_one() -> None:
    rounds = [copy.deepcopy(RESULT) for _ in range(3)]
    for index, one in enumerate(rounds):
        one["measured"] |= {"peak_memory_bytes": 10 * (index % 2), "load_ms": float(index)}
        one["measured"]["cases"][0] |= {"times_ms": [1.0 + index, 4.0 + index], "first_ms": 9.0 - index}
    together = pooled(rounds)["measured"]
    (case,) = together["cases"]
    assert case["times_ms"] == [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
    assert (case["p50_ms"], case["p90_ms"], case["p99_ms"]) == (4.0, 6.0, 6.0)
    assert (case["first_ms"], together["load_ms"], together["peak_memory_bytes"]) == (8.0, 1.0, 10)
    assert pooled(rounds)["settings"]["runs"] == 9
