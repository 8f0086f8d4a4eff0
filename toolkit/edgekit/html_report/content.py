"""What a report shows, from results: bundles, runs (one bundle at one place), places, machines and versions.

Everything that goes into the page goes through here: numbers that are finite, texts that are text. What a table, a
filter or a chart of many bundles needs is plain; the rest, bundle by bundle, is packed (`details.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.html_report.details import Details
from edgekit.html_report.explained import explained_text, hierarchies
from edgekit.html_report.figures import figure, figures, roofline, text
from edgekit.html_report.words import summary

#: Of memory at the peak, the lowest first, as they are stacked.
PARTS = (
    "runtime",
    "weights",
    "state",
    "delegate_packed_weights",
    "delegate_buffers",
    "inputs_outputs",
    "planned_arena",
    "operator_scratch",
    "delegate_workspace",
)
_TIMES = ("first_ms", "p50_ms", "p90_ms", "p99_ms", "low_ms", "high_ms")
MEASURED, EMULATED, ESTIMATED = "measured", "emulated", "estimated"


def content(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the page is drawn from; JSON can say it.

    Args:
        results: as `devices.results.read_results` gives them. Those of one bundle (name and hash) belong together; of
            several estimates of a bundle for one device the last counts.

    Raises:
        EdgekitError: a result has a part that is not as its schema says.
    """
    page = _Page()
    for result in results:
        try:
            page.add(result)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            name = result["bundle"].get("name")
            explains = result.get("explanation") is not None
            remedy = "explain the text again with `edgekit run`" if explains else "measure again with `edgekit profile`"
            raise EdgekitError(
                f"the result of {name} of {result['date']} is not as its schema says "
                f"({type(error).__name__}: {error}): {remedy}."
            ) from error
    return page.finish()


class _Page:
    def __init__(self) -> None:
        self.bundles: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.details: list[Details] = []
        self.places = _Unique()
        self.machines = _Unique()
        self.versions = _Unique()
        self.explanations: list[dict[str, Any]] = []
        self.hierarchies: list[str] = []
        self._bundle_of: dict[tuple[str, str], int] = {}
        self._estimate_of: dict[tuple[int, str], int] = {}

    def add(self, result: Mapping[str, Any]) -> None:
        bundle = self._bundle(result)
        shared = {
            "bundle": bundle,
            "command": text(result["command"]),
            "date": text(result["date"]),
            "versions": self.versions.index({text(k): text(v) for k, v in sorted(result["versions"].items())}),
        }
        if result.get("explanation") is not None:
            self._explain(result["explanation"], shared)
        if result["arena"] is not None:
            self.details[bundle].add_arena(result["arena"])
        if result["measured"] is not None:
            self.details[bundle].add_run(len(self.runs), result)
            self.runs.append(shared | self._measured(result))
        if result["estimated"] is not None:
            device = text(result["estimated"]["device"])
            run = shared | self._estimated(result, device)
            known = self._estimate_of.setdefault((bundle, device), len(self.runs))
            if known == len(self.runs):
                self.runs.append(run)
            self.runs[known] = run

    def _explain(self, explanation: Mapping[str, Any], shared: Mapping[str, Any]) -> None:
        above = hierarchies(explanation)
        if above is not None and above not in self.hierarchies:
            self.hierarchies.append(above)
        place = None if above is None else self.hierarchies.index(above)
        self.explanations.append({**shared, **explained_text(explanation), "hierarchy": place})

    def _bundle(self, result: Mapping[str, Any]) -> int:
        bundle = result["bundle"]
        key = (text(bundle["name"]), text(bundle["sha256"]))
        if key not in self._bundle_of:
            self._bundle_of[key] = len(self.bundles)
            self.bundles.append(_described(bundle))
            self.details.append(Details())
        return self._bundle_of[key]

    def _measured(self, result: Mapping[str, Any]) -> dict[str, Any]:
        target, machine, measured = result["target"], result["machine"], result["measured"]
        telemetry = measured.get("telemetry") or {}
        emulated = bool(target.get("emulated"))
        place = {
            "basis": EMULATED if emulated else MEASURED,
            "kind": text(target["kind"]),
            "address": None if target.get("address") is None else text(target["address"]),
            "title": _place_title(target, machine),
        }
        return {
            "basis": place["basis"],
            "place": self.places.index(place),
            "machine": None if machine is None else self.machines.index(_machine(result)),
            "cases": [_case(case) for case in measured["cases"]],
            "peak": figure(measured.get("peak_memory_bytes")),
            "operators": any((result["operators"] or {}).values()),
            "open_ms": figure(measured.get("open_ms")),
            "load_ms": figure(measured.get("load_ms")),
            "throttled": telemetry.get("throttled") if isinstance(telemetry.get("throttled"), bool) else None,
            "settings": {k: text(v) for k, v in (result["settings"] or {}).items() if v is not None},
            "energy_mj": figure((measured.get("power") or {}).get("energy_mj_per_call")),
        }

    def _estimated(self, result: Mapping[str, Any], device: str) -> dict[str, Any]:
        estimated = result["estimated"]
        place = {"basis": ESTIMATED, "kind": "none", "address": None, "title": device}
        return {
            "basis": ESTIMATED,
            "place": self.places.index(place),
            "machine": None,
            "cases": [_case(case) | {"kinds": figures(case.get("kinds") or {}, 4)} for case in estimated["cases"]],
            "calibration": text(estimated.get("calibration") or ""),
            "settings": {},
        }

    def finish(self) -> dict[str, Any]:
        _tell_apart(self.bundles)
        parts = [part for part in PARTS if any(bundle["memory"]["at_peak"].get(part) for bundle in self.bundles)]
        data = {
            "bundles": self.bundles,
            "runs": self.runs,
            "places": self.places.values,
            "machines": self.machines.values,
            "versions": self.versions.values,
            "parts": parts,
            "explanations": self.explanations,
            "hierarchies": self.hierarchies,
        }
        data["summary"] = summary(data)
        data["details"] = [details.packed() for details in self.details]
        return data


class _Unique:
    """Values, each once, in the order in which they came."""

    def __init__(self) -> None:
        self.values: list[dict[str, Any]] = []
        self._index_of: dict[str, int] = {}

    def index(self, value: dict[str, Any]) -> int:
        key = json.dumps(value, sort_keys=True)
        if key not in self._index_of:
            self._index_of[key] = len(self.values)
            self.values.append(value)
        return self._index_of[key]


def _described(bundle: Mapping[str, Any]) -> dict[str, Any]:
    memory, accuracy = bundle["memory"], bundle["accuracy"]
    outputs = accuracy.get("outputs") or []
    ratios = [ratio for ratio in (figure(output.get("snr_db")) for output in outputs) if ratio is not None]
    errors = [error for error in (figure(output.get("max_abs")) for output in outputs) if error is not None]
    gate = accuracy.get("gate") or {}
    return {
        **{name: text(bundle[name]) for name in ("name", "sha256", "model", "variant", "device", "recipe", "format")},
        "kv": None if bundle.get("kv") is None else text(bundle["kv"]),
        "task": text(bundle["task"]),
        "bytes": figure(bundle["bytes"]),
        "metric": _metric(accuracy.get("metric")),
        "metrics": [_metric(metric) for metric in accuracy.get("metrics") or []],
        "failures": [text(failure) for failure in gate.get("failures") or []],
        "passed": bool(gate.get("passed", True)),
        "snr_db": min(ratios, default=None),
        "max_abs": max(errors, default=None),
        "memory": {
            "peak": figure(memory.get("peak")),
            "peak_load": figure(memory.get("peak_load")),
            "threads": figure(memory.get("threads")),
            "at_peak": {part: figure((memory.get("at_peak") or {}).get(part)) or 0 for part in PARTS},
            "known": {part: figure(memory[part]) for part in PARTS if figure(memory.get(part)) is not None},
            "measured": [text(part) for part in memory.get("measured") or []],
        },
    }


def _metric(metric: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if metric is None:
        return None
    named = {name: text(metric[name]) for name in ("name", "better", "data", "unit") if metric.get(name) is not None}
    values = ("eager", "program", "max_drop", "samples")
    return named | {name: figure(metric[name]) for name in values if metric.get(name) is not None}


def _case(case: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": text(case["name"]), "unit": text(case["unit"]), "items": figure(case["items"])}
    return found | {name: figure(case[name], 4) for name in _TIMES if figure(case.get(name)) is not None}


def _place_title(target: Mapping[str, Any], machine: Mapping[str, Any] | None) -> str:
    kind = text(target["kind"])
    where = "this machine" if kind == "local" else " ".join([kind, text(target.get("address") or "")]).strip()
    name = None if machine is None else machine.get("title") or machine.get("cpu")
    return where if name is None else f"{text(name)} ({where})" if kind != "local" else text(name)


def _machine(result: Mapping[str, Any]) -> dict[str, Any]:
    machine = result["machine"]
    words = {
        name: text(machine[name])
        for name in ("title", "architecture", "cpu", "os", "kernel", "glibc")
        if machine.get(name) is not None
    }
    numbers = {name: figure(machine.get(name)) for name in ("cores", "memory_bytes")}
    return words | numbers | {"roofline": roofline(result["roofline"])}


def _tell_apart(bundles: Iterable[dict[str, Any]]) -> None:
    """Gives each bundle a short `label` among those of its model, and tells bundles of one name apart by their hash."""
    bundles = list(bundles)
    for bundle in bundles:
        same_name = [other for other in bundles if other["name"] == bundle["name"]]
        bundle["title"] = bundle["name"] if len(same_name) == 1 else f"{bundle['name']} ({bundle['sha256'][:8]})"
        peers = [other for other in bundles if other["model"] == bundle["model"]]
        differing = [key for key in ("variant", "kv", "format", "device") if len({other[key] for other in peers}) > 1]
        words = [bundle["variant"]] if "variant" in differing else []
        words.append(bundle["recipe"])
        words += [f"KV {bundle['kv']}"] if "kv" in differing and bundle["kv"] else []
        words += [bundle[key] for key in ("format", "device") if key in differing]
        bundle["label"] = " ".join(words)
    for bundle in bundles:
        same = [o for o in bundles if (o["model"], o["label"]) == (bundle["model"], bundle["label"])]
        if len(same) > 1:
            bundle["label"] = bundle["title"]
