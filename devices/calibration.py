"""How near operators come to a machine's roofline: fitted to measured runs, kept in `calibration.json`.

An operator takes least / efficiency + overhead, where `least` is the roofline's time without a launch. Operators of a
class share both: those of one format, kind, precision and form. Where a class was not seen, wider ones stand in for it.
What no operator of the program accounts for (what a delegate takes beside its operators, copies that a runtime puts in)
is fitted by case: so much a call, so much an operator, and a share of all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgekit.devices.operators import leaves, match_events
from edgekit.devices.roofline import Level, Roofline, held_bytes
from edgekit.devices.workload import Case, Operation, Workload
from edgekit.errors import EdgekitError
from edgekit.files import read_json_object

SCHEMA = 1
SHIPPED = "calibration.json"
#: Ranges leave out this share of what was measured at either end.
_TAIL = 0.1
#: What a class is that has too few samples to tell its spread.
_LEAST_SAMPLES, _UNSEEN_SPREAD = 3, (0.7, 1.45)


@dataclass(frozen=True)
class Fit:
    """A class of operators.

    Attributes:
        efficiency: the roofline's time over what it takes beyond the overhead.
        overhead_us: microseconds that every one takes.
        ran: the share of such operators, by the roofline's time, that runtimes did not merge into others.
        low, high: measured over estimated time, at the ends of the range.
        count: operators that it was fitted to.
    """

    efficiency: float
    overhead_us: float
    ran: float
    low: float
    high: float
    count: int

    def microseconds(self, least: float) -> float:
        return self.ran * (least / self.efficiency + self.overhead_us)


@dataclass(frozen=True)
class Rest:
    """What is not an operator's, in a format's calls: microseconds a call and an operator, and a share of theirs."""

    call_us: float
    operator_us: float
    share: float

    def microseconds(self, count: int, operators: float) -> float:
        return self.call_us + self.operator_us * count + self.share * operators


@dataclass(frozen=True)
class Calibration:
    """Fits, and where they come from.

    Attributes:
        classes: by "format/kind/precision/form", and by wider keys.
        rests: by format.
        machine: title, CPU and cores of the machine.
        roofline: of it.
        bundles: that were measured.
        date, command: of the measurement.
    """

    classes: Mapping[str, Fit]
    rests: Mapping[str, Rest]
    machine: Mapping[str, Any]
    roofline: Roofline
    bundles: tuple[str, ...]
    date: str
    command: str

    def fit(self, format: str, operation: Operation) -> tuple[Fit, int]:
        """An operator's class, and how many steps wider than its own the one is that stands in for it."""
        for step, key in enumerate(class_keys(format, operation)):
            if key in self.classes:
                return self.classes[key], step
        raise EdgekitError("the calibration has no class at all: make it again with `edgekit devices calibrate`.")

    def rest(self, format: str) -> Rest:
        return self.rests.get(format, Rest(0.0, 0.0, 0.0))

    def to_json(self) -> str:
        return (
            json.dumps(
                {
                    "schema": SCHEMA,
                    "machine": dict(self.machine),
                    "date": self.date,
                    "command": self.command,
                    "bundles": list(self.bundles),
                    "roofline": asdict(self.roofline),
                    "rests": {format: _rounded(rest) for format, rest in sorted(self.rests.items())},
                    "classes": {key: _rounded(fit) for key, fit in sorted(self.classes.items())},
                },
                indent=1,
            )
            + "\n"
        )


@dataclass(frozen=True)
class Measured:
    """A case that was measured with its operators.

    Attributes:
        bundle: its name.
        format: of its program.
        case: of the workload.
        total_us: of a call, without tracing.
        rows: its operators (`devices.operators.operator_rows`).
        roofline: of the machine at that time, where it was measured along with the bundle: a virtual machine's cores
            are now whole ones, now halves.
    """

    bundle: str
    format: str
    case: Case
    total_us: float
    rows: Sequence[Mapping[str, Any]]
    roofline: Roofline | None = None


@dataclass(frozen=True)
class _Sample:
    operation: Operation
    format: str
    least: float
    measured: float | None
    weight: float


def load_calibration(path: Path | None = None) -> Calibration:
    """The calibration of that file, or the one that ships with edgekit.

    Raises:
        EdgekitError: the file is none, or of another schema.
    """
    if path is None:
        text = files("edgekit.devices").joinpath(SHIPPED).read_text(encoding="utf-8")
        values, origin = json.loads(text), SHIPPED
    else:
        values, origin = read_json_object(path), str(path)
    if values.get("schema") != SCHEMA:
        raise EdgekitError(f"{origin} is no calibration of schema {SCHEMA}: make it with `edgekit devices calibrate`.")
    try:
        roofline = values["roofline"]
        levels = tuple(Level(**level) for level in roofline.pop("levels"))
        return Calibration(
            {key: Fit(**fit) for key, fit in values["classes"].items()},
            {format: Rest(**rest) for format, rest in values["rests"].items()},
            values["machine"],
            Roofline(levels=levels, **roofline),
            tuple(values["bundles"]),
            values["date"],
            values["command"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise EdgekitError(f"{origin} is damaged: make it again with `edgekit devices calibrate`.") from error


def calibrate(
    cases: Iterable[Measured], roofline: Roofline, machine: Mapping[str, Any], date: str, command: str
) -> Calibration:
    """Fits classes to measured cases.

    Args:
        cases: measured on one machine, with all of its cores.
        roofline: of that machine, for cases that have none of their own.
        machine: its title, CPU and cores.
        date, command: for whoever wants to repeat it.

    Raises:
        EdgekitError: there are none.
    """
    cases = list(cases)
    if not cases:
        raise EdgekitError("there is no result with operators: measure with `edgekit profile --operators`.")
    samples, rests = [], []
    for measured in cases:
        own = list(_samples(measured, measured.roofline or roofline))
        samples += own
        operators = sum(sample.measured or 0.0 for sample in own)
        rests.append((measured.format, len(own), operators, max(measured.total_us - operators, 0.0), measured.total_us))
    groups: dict[str, list[_Sample]] = {}
    for sample in samples:
        for key in class_keys(sample.format, sample.operation):
            groups.setdefault(key, []).append(sample)
    classes = {key: fit for key, group in groups.items() if (fit := _fit(group)) is not None}
    formats = sorted({entry[0] for entry in rests})
    return Calibration(
        classes,
        {format: _rest([entry[1:] for entry in rests if entry[0] == format]) for format in formats},
        machine,
        roofline,
        tuple(sorted({measured.bundle for measured in cases})),
        date,
        command,
    )


def cases_of(workload: Workload, result: Mapping[str, Any]) -> Iterator[Measured]:
    """The cases of a result that have operators."""
    peaks = (result["measured"] or {}).get("peaks")
    roofline = Roofline.of_peaks(peaks) if peaks else None
    for entry in (result["measured"] or {"cases": []})["cases"]:
        rows = (result.get("operators") or {}).get(entry["name"])
        if rows and entry["name"] in workload.cases:
            # Timed in turns with the runs that were traced.
            total = 1e3 * float(entry.get("untraced_p50_ms") or entry["p50_ms"])
            yield Measured(workload.bundle, workload.format, workload.cases[entry["name"]], total, rows, roofline)


def class_keys(format: str, operation: Operation) -> tuple[str, ...]:
    """An operator's classes, its own first, then wider ones."""
    kind = operation.kind
    # ExecuTorch's own kernels have nothing in common with XNNPACK's.
    if format == "pte" and operation.place == "runtime":
        kind += " by ExecuTorch"
    precision, form = operation.precision, operation.form
    return (
        f"{format}/{kind}/{precision}/{form}",
        f"{format}/{kind}/{form}",
        f"{format}/{kind}/{precision}",
        f"{format}/{kind}",
        f"*/{kind}/{precision}/{form}",
        f"*/{kind}/{form}",
        f"*/{kind}",
        f"{format}",
        "*",
    )


def _samples(measured: Measured, roofline: Roofline) -> Iterator[_Sample]:
    """Each of the program's operators with its part of an untraced call; None where no event was it."""
    events = list(_events(measured.rows))
    found = match_events(events, measured.case)
    total = sum(float(row["p50_us"]) for row in leaves([dict(row) for row in measured.rows]))
    scale = measured.total_us / total if total else 1.0
    times = {id(found[event["id"]]): scale * event["p50_us"] for event in events if event["id"] in found}
    held = held_bytes(measured.case)
    for operation in measured.case.operations:
        microseconds = times.get(id(operation))
        weight = (microseconds or 0.0) / measured.total_us
        yield _Sample(operation, measured.format, roofline.least_us(operation, held), microseconds, weight)


def _events(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The events that rows were made of."""
    for row in rows:
        if str(row["name"]).endswith("(itself)"):
            continue
        delegated = str(row["place"]).startswith("delegate")
        kind = "operator" if not delegated else "delegate" if row["parent"] is None else "inside"
        yield {**row, "kind": kind, "p50_us": float(row["p50_us"])}


def _fit(samples: Sequence[_Sample]) -> Fit | None:
    """The efficiency and overhead that are nearest to what was measured, by ratio; what costs more counts more.

    Distances count, not their squares: now and then a machine does something else meanwhile.
    """
    import numpy as np

    ran = [sample for sample in samples if sample.measured is not None and sample.measured > 0]
    if not ran:
        # A runtime merged all of them into others.
        return Fit(1.0, 0.0, 0.0, 1.0, 1.0, len(samples)) if samples else None
    least = np.array([sample.least for sample in ran])
    taken = np.array([sample.measured for sample in ran])
    weights = np.array([sample.weight + 1e-4 for sample in ran])
    weights /= weights.sum()
    everything = sum(sample.least for sample in samples)
    share = float(least.sum() / everything) if everything > 0 else len(ran) / len(samples)
    best = (float("inf"), 1.0, 0.0)
    fractions = np.linspace(0, 1, 25)
    for overhead in np.unique([*(taken.min() * fractions), *np.quantile(taken, 0.5 * fractions)]):
        slopes = _slopes(least, taken, overhead)
        expected = np.maximum(slopes[:, None] * least + overhead, 1e-9)
        errors = np.abs(np.log(taken / expected)) @ weights
        place = int(errors.argmin())
        if errors[place] < best[0] - 1e-9:
            best = (float(errors[place]), float(slopes[place]), float(overhead))
    _, slope, overhead = best
    ratios = taken / np.maximum(slope * least + overhead, 1e-9)
    # The middle of ratios is not that of times: together they take as long as was measured.
    together = float(weights.sum() / (weights / ratios).sum())
    slope, overhead, ratios = slope * together, overhead * together, ratios / together
    if len(ran) < _LEAST_SAMPLES:
        low, high = _UNSEEN_SPREAD
    else:
        order = np.argsort(ratios)
        reached = np.cumsum(weights[order])
        low, high = (float(ratios[order][np.searchsorted(reached, end)]) for end in (_TAIL, 1 - _TAIL - 1e-9))
    return Fit(1 / max(slope, 1e-6), overhead, share, min(low, 1.0), max(high, 1.0), len(ran))


def _slopes(least: Any, taken: Any, overhead: float) -> Any:
    """Candidates: what each sample alone would say."""
    import numpy as np

    beyond = taken - overhead
    usable = (beyond > 0) & (least > 0)
    if not usable.any():
        return np.array([0.0])
    return np.unique(np.quantile(beyond[usable] / least[usable], np.linspace(0, 1, 61)))


def _rest(entries: Sequence[tuple[int, float, float, float]]) -> Rest:
    """What fits best to what is left of calls, by their time; nothing of it is below 0."""
    import numpy as np

    columns = np.array([[1.0, count, operators] for count, operators, _, _ in entries])
    target = np.array([left for _, _, left, _ in entries])
    totals = np.array([total for _, _, _, total in entries])
    matrix, wanted = columns / totals[:, None], target / totals
    found = np.zeros(3)
    # Coordinate descent on least squares with bounds; three unknowns.
    for _ in range(2000):
        for place in range(3):
            column = matrix[:, place]
            rest = wanted - matrix @ found + column * found[place]
            found[place] = max(float(column @ rest) / max(float(column @ column), 1e-30), 0.0)
    return Rest(*(float(value) for value in found))


def _rounded(values: Fit | Rest) -> dict[str, Any]:
    return {key: float(f"{value:.5g}") if isinstance(value, float) else value for key, value in asdict(values).items()}
