"""`edgekit compare`: ratios for people, exit codes for CI."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.devices.results import append_results

CASE = {
    "name": "forward",
    "method": "forward",
    "items": 1,
    "unit": "frame",
    "first_ms": 9.0,
    "times_ms": [4.0],
    "p50_ms": 4.0,
    "p90_ms": 5.0,
    "p99_ms": 6.0,
}


def result(p50: float, size: int = 1000) -> dict[str, Any]:
    text = {"name": "s1-int8", "sha256": "0" * 64, "model": "rpcanet", "variant": "s1", "device": "my-board"}
    return {
        "schema": 1,
        "bundle": {
            **text,
            "recipe": "int8",
            "format": "pte",
            "kv": None,
            "task": "segment",
            "bytes": size,
            "memory": {},
            "accuracy": {"metrics": [{"name": "IoU", "better": "higher", "eager": 0.6, "program": 0.6}]},
        },
        "target": {"kind": "local", "address": None, "emulated": False},
        "machine": {"title": "a board", "cpu": "a core", "cores": 4},
        "settings": {"runs": 1, "warmup": 0, "threads": 2, "cpu_mask": None},
        "measured": {"load_ms": 3.0, "peak_memory_bytes": 5_000_000, "cases": [copy.deepcopy(CASE) | {"p50_ms": p50}]},
        **dict.fromkeys(("operators", "roofline", "estimated", "arena")),
        "versions": {},
        "command": "",
        "date": "2026-01-01T00:00:00+00:00",
    }


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Files of results: the second is 10 % slower and half as large."""
    append_results(tmp_path / "a.jsonl", [result(4.0)])
    append_results(tmp_path / "b.jsonl", [result(4.4, 500)])
    return tmp_path / "a.jsonl", tmp_path / "b.jsonl"


def test_ratios_are_shown(two: tuple[Path, Path], cli: Callable[..., Any]) -> None:
    done = cli("compare", *two)
    assert done.code == 0
    line = next(line for line in done.out.splitlines() if " p50 " in line)
    assert "4 ms" in line
    assert "4.4 ms" in line
    assert "1.100x" in line
    assert "worse" in line
    assert done.out.splitlines()[-1].startswith("Next: edgekit compare")


@pytest.mark.parametrize(
    ("limits", "code"), [(("5%",), 3), (("15%",), 0), (("p50=5%",), 3), (("size=1%", "peak=1%"), 0), (("0.05",), 3)]
)
def test_a_limit_is_a_gate(limits: tuple[str, ...], code: int, two: tuple[Path, Path], cli: Callable[..., Any]) -> None:
    done = cli("compare", *two, *(word for limit in limits for word in ("--max-regression", limit)))
    assert done.code == code
    if code:
        assert done.err == "edgekit: gate not met: s1-int8: p50 is 10.0% worse, 5.0% is allowed.\n"


def test_json_is_whole_with_a_gate_too(two: tuple[Path, Path], cli: Callable[..., Any]) -> None:
    done = cli("compare", *two, "--max-regression", "5%", "--json")
    assert done.code == 3
    (comparison,) = json.loads(done.out)["comparisons"]
    found = {figure["name"]: figure for figure in comparison["figures"]}
    assert found["p50"]["ratio"] == pytest.approx(1.1)
    assert found["p50"]["limit"] == 0.05
    assert found["p90"]["limit"] is None


def test_wrong_requests_are_said(two: tuple[Path, Path], tmp_path: Path, cli: Callable[..., Any]) -> None:
    assert cli("compare", two[0], tmp_path / "none.jsonl").code == 2
    assert "write a share" in cli("compare", *two, "--max-regression", "slow").err
    (tmp_path / "c.jsonl").write_text('{"schema": 9}\n')
    other = cli("compare", two[0], tmp_path / "c.jsonl")
    assert other.code == 1
    assert "has schema 9, this edgekit reads 1" in other.err
    assert "measured already" in cli("compare", *two, "--threads", 2).err
