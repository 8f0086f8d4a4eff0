"""What the page shows of one bundle when it is opened: operators, arena, the run's memory; packed in little room.

Columns in place of rows, each name once, numbers of four digits, then deflate (RFC 1950) and base64: browsers undo that
themselves (`DecompressionStream`). A language model's bundle takes about 15 kB so, in place of 300 kB.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgekit.devices.trace import parents
from edgekit.html_report.figures import figure, figures, roofline, text

#: Of an operator's row: words, and numbers.
_WORDS = ("name", "kind", "place", "method", "precision", "bound")
_NUMBERS = ("index", "calls", "p50_us", "share", "flops", "bytes", "gflops", "gb_per_s", "start_us")


class Details:
    """One bundle's: gathered result by result, then packed."""

    def __init__(self) -> None:
        self._words = _Words()
        self._arena: dict[str, Any] | None = None
        self._runs: dict[str, dict[str, Any]] = {}

    def add_arena(self, arena: Mapping[str, Any]) -> None:
        """A result's `arena`; the last one counts."""
        self._arena = _arena(arena, self._words)

    def add_run(self, number: int, result: Mapping[str, Any]) -> None:
        """A result with `measured`, by the number of its run in the page."""
        self._runs[str(number)] = _run(result, self._words)

    def packed(self) -> str:
        """Base64 of all of them."""
        return packed({"arena": self._arena, "runs": self._runs, "words": self._words.all})


def packed(value: Any) -> str:
    """What JSON can say, in little room: the page's `unpacked` undoes it."""
    plain = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(plain.encode(), 9)).decode()


class _Words:
    """A table of texts; rows hold numbers of it."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._number: dict[str, int] = {}

    def number(self, value: Any) -> int | None:
        if value is None:
            return None
        word = text(value)
        if word not in self._number:
            self._number[word] = len(self.all)
            self.all.append(word)
        return self._number[word]

    def column(self, values: Iterable[Any]) -> list[int | None]:
        return [self.number(value) for value in values]


def _arena(arena: Mapping[str, Any], words: _Words) -> dict[str, Any]:
    steps = arena["steps"]
    return {
        "parts": [text(part) for part in arena["parts"]],
        "method": words.column(step["method"] for step in steps),
        "operator": words.column(step["operator"] for step in steps),
        # By part, and less the step before: most steps change little.
        "bytes": [
            _changes([figure(step["bytes"][part]) or 0 for step in steps]) for part in range(len(arena["parts"]))
        ],
    }


def _changes(values: Sequence[int | float]) -> list[int | float]:
    return [value - before for value, before in zip(values, [0, *values], strict=False)]


def _run(result: Mapping[str, Any], words: _Words) -> dict[str, Any]:
    measured = result["measured"]
    telemetry = measured.get("telemetry") or {}
    power = measured.get("power") or {}
    timeline = measured.get("memory_timeline") or []
    return {
        "operators": {
            text(case): _operators(rows, words) for case, rows in (result["operators"] or {}).items() if rows
        },
        "timeline": {
            "at_ms": [figure(point["at_ms"], 6) or 0 for point in timeline],
            "label": words.column(point["label"] for point in timeline),
            "counted": [figure(point.get("counted_bytes")) for point in timeline],
            "resident": [figure(point.get("resident_bytes")) for point in timeline],
        },
        "roofline": roofline(result["roofline"]),
        "telemetry": {when: _sample(telemetry[when]) for when in ("before", "after") if telemetry.get(when)},
        "rails": {text(name): figures(rail, 4) for name, rail in (power.get("rails") or {}).items()},
    }


def _sample(sample: Mapping[str, Any]) -> dict[str, dict[str, int | float]]:
    return {text(name): figures(values, 4) for name, values in sample.items() if isinstance(values, Mapping)}


def _operators(rows: Sequence[Mapping[str, Any]], words: _Words) -> dict[str, Any]:
    columns: dict[str, Any] = {name: words.column(row.get(name) for row in rows) for name in _WORDS}
    columns |= {name: [figure(row.get(name), 4) for row in rows] for name in _NUMBERS}
    return columns | {"parent": parents(rows)}
