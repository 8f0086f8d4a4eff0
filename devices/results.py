"""Results: what was measured of a bundle on a target, what was estimated, and which features explain a text that it
wrote, as JSON with a versioned schema.

A result is one JSON object; many of them are a JSON-lines file, to which commands append and which reports read. They
lie outside bundles: a bundle's bytes say nothing that a clock or a device said.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgekit.bundle import Bundle
from edgekit.errors import EdgekitError, UsageError
from edgekit.files import explained, locked, replacing

SCHEMA = 1
#: Where a folder of results has them.
FILE_NAME = "results.jsonl"
#: Of one file; 100 bundles with all their operators take a hundredth of it.
MAX_BYTES = 256 << 20

_TARGETS = ("local", "qemu", "ssh", "adb", "none")
#: Fields, the kinds of their values, and whether they may be null.
_FIELDS: Mapping[str, tuple[type, bool]] = {
    "bundle": (dict, False),
    "target": (dict, False),
    "machine": (dict, True),
    "settings": (dict, True),
    "measured": (dict, True),
    "operators": (dict, True),
    "roofline": (dict, True),
    "estimated": (dict, True),
    "arena": (dict, True),
    "explanation": (dict, True),
    "versions": (dict, False),
    "command": (str, False),
    "date": (str, False),
}
#: Fields that results of before do not have.
_LATER = ("explanation",)
_BUNDLE: Mapping[str, type] = {
    **dict.fromkeys(("name", "sha256", "model", "variant", "device", "recipe", "format", "task"), str),
    "bytes": int,
    "memory": dict,
    "accuracy": dict,
}
#: Times of a case, in milliseconds: of those measured, and of those estimated.
_MEASURED, _ESTIMATED = ("first_ms", "p50_ms", "p90_ms", "p99_ms"), ("low_ms", "p50_ms", "high_ms")


def new_result(bundle: Bundle, command: str, target: Mapping[str, Any]) -> dict[str, Any]:
    """A result with what is known before anything was measured or estimated: those fields are null.

    Args:
        bundle: what it is about.
        command: that gives the same result again.
        target: `kind` ("local", "qemu", "ssh", "adb"; "none" where nothing is run), `address` and `emulated`.
    """
    return {
        "schema": SCHEMA,
        "bundle": describe(bundle),
        "target": {"address": None, "emulated": False, **target},
        **{name: None for name, (_, optional) in _FIELDS.items() if optional},
        "versions": dict(bundle.manifest["tools"]),
        "command": command,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def describe(bundle: Bundle) -> dict[str, Any]:
    """What a result says of its bundle: from the manifest, and its size in bytes."""
    fields = bundle.manifest
    return {
        "name": bundle.name,
        "sha256": fields["sha256"],
        "model": str(fields["model"]["name"]),
        "variant": str(fields["model"]["variant"]),
        "device": fields["device"],
        "recipe": fields["recipe"],
        "format": fields["programs"][0]["format"],
        "kv": fields.get("kv"),
        "task": str(fields["pipeline"]["name"]),
        "bytes": bundle.size,
        "memory": fields["memory"],
        "accuracy": fields["accuracy"],
    }


def target_name(kind: str, address: str | None) -> str:
    """What `--target` takes for a target: "local", "ssh://pi@board", "adb:SERIAL"."""
    prefix = {"ssh": "ssh://", "adb": "adb:"}.get(kind, kind)
    return f"{prefix}{address}" if address else kind


def case_title(result: Mapping[str, Any], case: Mapping[str, Any]) -> str:
    """What people call a case of a result: its bundle, and the case where a bundle has several."""
    measured = (result["measured"] or result["estimated"])["cases"]
    return result["bundle"]["name"] if len(measured) == 1 else f"{result['bundle']['name']}, {case['name']}"


def rate(case: Mapping[str, Any]) -> tuple[float, str]:
    """Items per second at the median, and what they are: (12.5, "frame/s")."""
    return case["items"] / (1e-3 * case["p50_ms"]), f"{case['unit']}/s"


def pooled(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Results of one bundle, measured several times in the same way, as one: of the times of all calls.

    Args:
        results: one at least; first runs and loading are the median of theirs, memory is that of the largest.
    """
    largest = max(results, key=lambda result: result["measured"]["peak_memory_bytes"])
    cases = []
    for index, case in enumerate(results[0]["measured"]["cases"]):
        same = [result["measured"]["cases"][index] for result in results]
        times = [time for one in same for time in one["times_ms"]]
        shares = {f"p{share}_ms": nearest_rank(times, share / 100) for share in (50, 90, 99)}
        first = statistics.median(one["first_ms"] for one in same)
        cases.append({**case, **shares, "first_ms": first, "times_ms": times})
    load = statistics.median(result["measured"]["load_ms"] for result in results)
    settings = {**results[0]["settings"], "runs": sum(result["settings"]["runs"] for result in results)}
    return {**largest, "settings": settings, "measured": {**largest["measured"], "cases": cases, "load_ms": load}}


def nearest_rank(times: Iterable[float], share: float) -> float:
    """The time that a share of the times do not pass, one of them; as the runner counts."""
    ordered = sorted(times)
    return ordered[int(share * (len(ordered) - 1) + 0.5)]


def check_result(result: Any, origin: str) -> dict[str, Any]:
    """The result itself, if it is one.

    Args:
        result: anything that JSON can say.
        origin: where it stands, for the sentence.

    Raises:
        EdgekitError: it has another schema, or a field that is missing or of the wrong kind.
    """

    if not isinstance(result, dict) or "schema" not in result:
        raise _wrong(origin, "it has no schema")
    if result["schema"] != SCHEMA:
        raise EdgekitError(
            f"{origin} has schema {result['schema']!r}, this edgekit reads {SCHEMA}: use the edgekit that wrote it, or "
            f"measure again with `edgekit profile`."
        )
    for name, (kind, optional) in _FIELDS.items():
        value = result.get(name)
        if not (isinstance(value, kind) or (optional and value is None and (name in result or name in _LATER))):
            raise _wrong(origin, f"field {name!r}")
    for name, kind in _BUNDLE.items():
        if not isinstance(result["bundle"].get(name), kind):
            raise _wrong(origin, f"field 'bundle.{name}'")
    if result["target"].get("kind") not in _TARGETS:
        raise _wrong(origin, "field 'target.kind'")
    for name, times in (("measured", _MEASURED), ("estimated", _ESTIMATED)):
        if result[name] is not None:
            _check_cases(result[name].get("cases"), times, origin, name)
    if result.get("explanation") is not None:
        _check_explanation(result["explanation"], origin)
    return result


def _wrong(origin: str, what: str) -> EdgekitError:
    return EdgekitError(f"{origin} is no result ({what}): measure again with `edgekit profile`.")


def _check_cases(cases: Any, times: Iterable[str], origin: str, field: str) -> None:
    if not isinstance(cases, list) or not cases or not all(isinstance(case, dict) for case in cases):
        raise _wrong(origin, f"field '{field}.cases'")
    for case in cases:
        for name in ("name", "unit"):
            if not isinstance(case.get(name), str):
                raise _wrong(origin, f"field '{field}.cases.{name}'")
        for name in ("items", *times):
            value = case.get(name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < math.inf:
                raise _wrong(origin, f"field '{field}.cases.{name}'")


def _check_explanation(explanation: Mapping[str, Any], origin: str) -> None:
    """What any reader relies on; the rest is looked at where it is drawn."""
    for name, kind in (("prompt", str), ("text", str), ("prompt_tokens", int)):
        if not isinstance(explanation.get(name), kind) or isinstance(explanation[name], bool):
            raise _wrong(origin, f"field 'explanation.{name}'")
    for name in ("layers", "tokens", "steering", "hierarchy"):
        if not isinstance(explanation.get(name), list):
            raise _wrong(origin, f"field 'explanation.{name}'")


def read_results(paths: Sequence[Path], explained: bool = False) -> list[dict[str, Any]]:
    """The results of files (`.jsonl`, or `.json` with one of them) and of folders, which have `.jsonl` files.

    A later result takes the place of an earlier one with the same `identity`.

    Args:
        paths: of files and folders.
        explained: whether texts that were explained are wanted too, which hold no figures.

    Raises:
        UsageError: there is no such file, or a folder without results.
        EdgekitError: a line is damaged or has another schema; the sentence says which.
    """
    files: list[Path] = []
    for path in paths:
        found = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not found:
            raise UsageError(
                f"{path} has no results (.jsonl): `edgekit profile BUNDLE -o {path / FILE_NAME}` makes them."
            )
        files += found
    results: dict[tuple[Any, ...], dict[str, Any]] = {}
    for file in files:
        for result in _read_file(file):
            if result.get("explanation") is not None and not explained:
                continue
            key = identity(result)
            results.pop(key, None)
            results[key] = result
    if not results:
        raise UsageError(
            f"{', '.join(map(str, paths))}: no results; `edgekit profile BUNDLE -o FILE.jsonl` makes them."
        )
    return list(results.values())


def identity(result: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a later result replaces: one of a bundle of that name, on the same target, asked for in the same way."""
    settings = result["settings"] or {}
    return (
        result["bundle"]["name"],
        result["target"]["kind"],
        result["target"].get("address"),
        (result["machine"] or {}).get("title"),
        settings.get("threads"),
        settings.get("cpu_mask"),
        (result["estimated"] or {}).get("device") if result["measured"] is None else None,
        _text_that_was_explained(result.get("explanation")),
    )


def _text_that_was_explained(explanation: Mapping[str, Any] | None) -> str | None:
    """Prompt, text and steering; None without an explanation."""
    return None if explanation is None else json.dumps([explanation[name] for name in ("prompt", "text", "steering")])


def _read_file(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise UsageError(f"there is no file of results {path}: `edgekit profile BUNDLE -o {path}` makes one.")
    with explained("read", path):
        if path.stat().st_size > MAX_BYTES:
            raise EdgekitError(f"{path} is larger than {MAX_BYTES >> 20} MiB: it is no file of results.")
        text = path.read_bytes()
    is_lines = path.suffix == ".jsonl"
    results = []
    for number, line in enumerate(text.splitlines() if is_lines else [text], 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}," if is_lines else str(path)
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise EdgekitError(f"{where} is no JSON: remove the line, or measure again.") from error
        results.append(check_result(value, where))
    return results


def append_results(path: Path, results: Iterable[Mapping[str, Any]]) -> None:
    """Adds results to a JSON-lines file, which is whole at any time; the file and its folder are made if needed.

    Raises:
        EdgekitError: the file cannot be written, or is none of results.
    """
    lines = [json.dumps(result, sort_keys=True, allow_nan=False) for result in results]
    with locked(path):  # two profiles may add to one file
        with explained("read", path):
            before = path.read_bytes() if os.path.lexists(path) else b""
        if before and not before.endswith(b"\n"):
            before += b"\n"
        with replacing(path) as temporary:
            temporary.write_bytes(before + "".join(f"{line}\n" for line in lines).encode())
