"""Two results side by side: every figure that has a better and a worse, its ratio, and which ratios pass a limit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.errors import EdgekitError, UsageError, unknown_name

#: Groups of figures that a limit may name, and what they are.
GROUPS: Mapping[str, str] = {
    "p50": "median latency, measured",
    "p90": "90th percentile of the latency, measured",
    "first": "first run, measured",
    "load": "loading, measured",
    "peak": "peak memory, measured",
    "predicted-peak": "peak memory, predicted at export",
    "size": "bytes of the bundle",
    "metric": "task metrics",
    "estimated-p50": "median latency, estimated",
}
#: What a limit without a name is for: figures that repeat. First runs and loading depend on what the system has cached.
DEFAULT_GROUPS = ("p50", "peak", "predicted-peak", "size", "metric")
#: Of these a comparison across machines says nothing about the bundles.
_OF_THE_MACHINE = ("p50", "p90", "first", "load", "peak")


@dataclass(frozen=True)
class Figure:
    """One figure of two results.

    Attributes:
        group: one of GROUPS.
        name: such as "p50, token".
        unit: "ms", "bytes" or "".
        first, second: the figure in either.
        better: "lower" or "higher".
    """

    group: str
    name: str
    unit: str
    first: float
    second: float
    better: str = "lower"

    @property
    def ratio(self) -> float | None:
        """The second by the first; None where the first is 0."""
        return self.second / self.first if self.first else None

    @property
    def regression(self) -> float:
        """How much worse the second is, as a share of the first; negative where it is better."""
        change = self.second - self.first if self.better == "lower" else self.first - self.second
        if self.first:
            return change / abs(self.first)
        return 0.0 if change <= 0 else float("inf")


@dataclass(frozen=True)
class Comparison:
    """Two results of one thing.

    Attributes:
        first, second: the results.
        figures: what both have.
    """

    first: Mapping[str, Any]
    second: Mapping[str, Any]
    figures: tuple[Figure, ...]

    @property
    def title(self) -> str:
        names = [result["bundle"]["name"] for result in (self.first, self.second)]
        return names[0] if names[0] == names[1] else " against ".join(names)

    @property
    def machines_differ(self) -> bool:
        """Whether both were measured, on machines that are not alike."""
        one, other = (_machine(result) for result in (self.first, self.second))
        return one is not None and other is not None and one != other


def parse_limits(texts: Iterable[str]) -> dict[str, float]:
    """Limits by group, from "5%", "p50=5%" or "peak=0.02".

    Raises:
        UsageError: no such group, or no share.
    """
    limits: dict[str, float] = {}
    for text in texts:
        name, sign, value = text.rpartition("=")
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", value.strip())
        if match is None:
            raise UsageError(f"--max-regression {text}: write a share such as 5%, or one for a figure such as p50=5%.")
        if sign and name not in GROUPS:
            raise unknown_name("figure", name, GROUPS, "edgekit compare --help")
        share = float(match[1]) / (100 if match[2] else 1)
        limits |= {name: share} if sign else {group: share for group in DEFAULT_GROUPS if group not in limits}
    return limits


def compare(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]
) -> tuple[list[Comparison], list[str]]:
    """Pairs of results, and the names of those that have no partner.

    One result on either side is a pair, whatever it is of. Otherwise results are paired that are of bundles of one name
    on one kind of target.

    Raises:
        UsageError: nothing can be paired.
    """
    if len(first) == len(second) == 1:
        pairs = [(first[0], second[0])]
        alone: list[str] = []
    else:
        mine, others = ({_key(result): result for result in results} for results in (first, second))
        pairs = [(result, others[key]) for key, result in mine.items() if key in others]
        alone = sorted(key[0] for key in mine.keys() ^ others.keys())
    if not pairs:
        raise UsageError(
            "the two have no bundle in common: give results of bundles with the same names, or one bundle each."
        )
    return [Comparison(one, other, tuple(_figures(one, other))) for one, other in pairs], alone


def regressions(comparisons: Iterable[Comparison], limits: Mapping[str, float]) -> list[tuple[Comparison, Figure]]:
    """The figures that got worse by more than their limit.

    Raises:
        EdgekitError: a limit is on times of different machines, or on a figure that no pair has.
    """
    comparisons = list(comparisons)
    for comparison in comparisons:
        if comparison.machines_differ and any(group in limits for group in _OF_THE_MACHINE):
            one, other = (_machine(result) for result in (comparison.first, comparison.second))
            raise EdgekitError(
                f"{comparison.title} was measured on {one} and on {other}: measure both on one machine, or limit only "
                f"what does not depend on it, such as --max-regression size=5%."
            )
    present = {figure.group for comparison in comparisons for figure in comparison.figures}
    if not present & limits.keys():
        raise EdgekitError(
            f"neither has {', '.join(sorted(limits))}: measure them (`edgekit profile`), or limit one of "
            f"{', '.join(sorted(present)) or 'no figure'}."
        )
    return [
        (comparison, figure)
        for comparison in comparisons
        for figure in comparison.figures
        # Ratios of times are exact to a few digits: 5 % is not missed by 5.0000001 %.
        if figure.group in limits and figure.regression > limits[figure.group] + 1e-9
    ]


def _key(result: Mapping[str, Any]) -> tuple[str, str, str | None]:
    estimated = (result["estimated"] or {}).get("device") if result["measured"] is None else None
    return result["bundle"]["name"], result["target"]["kind"], estimated


def _machine(result: Mapping[str, Any]) -> str | None:
    if result["measured"] is None or result["machine"] is None:
        return None
    machine = result["machine"]
    emulated = ", emulated" if result["target"].get("emulated") else ""
    return f"{machine.get('title')} ({machine.get('cpu')}, {machine.get('cores')} cores{emulated})"


def _figures(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterable[Figure]:
    yield from _times(first["measured"], second["measured"], "")
    yield from _times(first["estimated"], second["estimated"], "estimated-")
    if first["measured"] is not None and second["measured"] is not None:
        yield from _pair("load", "load", "ms", first["measured"].get("load_ms"), second["measured"].get("load_ms"))
        peaks = (result["measured"].get("peak_memory_bytes") for result in (first, second))
        yield from _pair("peak", "peak memory", "bytes", *peaks)
    memories = (result["bundle"]["memory"].get("peak") for result in (first, second))
    yield from _pair("predicted-peak", "peak memory, predicted", "bytes", *memories)
    yield from _pair("size", "size", "bytes", first["bundle"]["bytes"], second["bundle"]["bytes"])
    ours = {metric["name"]: metric for metric in second["bundle"]["accuracy"].get("metrics") or ()}
    for metric in first["bundle"]["accuracy"].get("metrics") or ():
        if (other := ours.get(metric["name"])) is not None:
            yield from _pair("metric", metric["name"], "", metric["program"], other["program"], metric["better"])


def _times(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None, prefix: str) -> Iterable[Figure]:
    if first is None or second is None:
        return
    others = {case["name"]: case for case in second["cases"]}
    shared = [(case, others[case["name"]]) for case in first["cases"] if case["name"] in others]
    if not shared and len(first["cases"]) == len(others) == 1:  # methods of other names
        shared = [(first["cases"][0], second["cases"][0])]
    for one, other in shared:
        where = "" if len(shared) == 1 else f", {one['name']}"
        for group in ("p50", "p90", "first"):
            if prefix + group in GROUPS:
                name = f"{prefix.replace('-', ' ')}{group}{where}"
                yield from _pair(prefix + group, name, "ms", one.get(f"{group}_ms"), other.get(f"{group}_ms"))


def _pair(group: str, name: str, unit: str, first: Any, second: Any, better: str = "lower") -> Iterable[Figure]:
    """The figure, if both have it."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (first, second)):
        yield Figure(group, name, unit, first, second, better)
