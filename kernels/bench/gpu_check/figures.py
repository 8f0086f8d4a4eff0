"""What was measured against what was wanted, as one table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        what: is measured.
        case: sizes.
        value: the median.
        low, high: its 10th and 90th percentile over the rounds; None where there was one reading.
        unit: "x" (a ratio of times, above 1 where edgekit is faster), "%", "MB" or "launches".
        target: what is wanted; None where the figure is only reported.
        at_most: whether less is better.
        milliseconds: edgekit's median; None where nothing was timed.
        against: what it is compared with, such as "torch.topk"; "" for nothing.
        against_milliseconds: its median.
    """

    what: str
    case: str
    value: float
    unit: str
    target: float | None
    low: float | None = None
    high: float | None = None
    at_most: bool = False
    milliseconds: float | None = None
    against: str = ""
    against_milliseconds: float | None = None

    @property
    def met(self) -> bool | None:
        """None where nothing is wanted."""
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def ratio(
    what: str, case: str, ours: Sequence[float], theirs: Sequence[float], against: str, target: float | None
) -> Figure:
    """How much faster edgekit is, from the milliseconds of rounds that were taken in turns."""
    ratios = sorted(other / own for own, other in zip(ours, theirs, strict=True))
    return Figure(
        *(what, case, statistics.median(ratios), "x", target),
        low=percentile(ratios, 0.1),
        high=percentile(ratios, 0.9),
        milliseconds=statistics.median(ours),
        against=against,
        against_milliseconds=statistics.median(theirs),
    )


def percentile(ascending: Sequence[float], share: float) -> float:
    """The nearest one of the values."""
    return ascending[round(share * (len(ascending) - 1))]


def markdown(figures: Iterable[Figure]) -> str:
    """The table."""
    lines = [
        "| what | case | edgekit | against | measured (p10 to p90) | wanted | |",
        "|---|---|--:|---|--:|--:|---|",
    ]
    for figure in figures:
        wanted = "reported"
        if figure.target is not None:
            wanted = f"{'at most' if figure.at_most else 'at least'} {_value(figure.target, figure.unit)}"
        spread = ""
        if figure.low is not None and figure.high is not None:
            spread = f" ({_value(figure.low, figure.unit)} to {_value(figure.high, figure.unit)})"
        theirs = f" {_milliseconds(figure.against_milliseconds)}" if figure.against_milliseconds is not None else ""
        verdict = {None: "", True: "met", False: "**missed**"}[figure.met]
        cells = (
            *(figure.what, figure.case, _milliseconds(figure.milliseconds), figure.against + theirs),
            *(_value(figure.value, figure.unit) + spread, wanted, verdict),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.4g} ms"


def _value(value: float, unit: str) -> str:
    return f"{value:.2f}x" if unit == "x" else f"{value:.3g} {unit}"
