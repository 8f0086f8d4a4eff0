"""Task metrics: what a model's answers are worth, and how much of that a recipe may cost."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.errors import UsageError
from edgekit_runtime.tensors import Array

#: Runs one method: its name and its inputs in, its outputs out.
Predict = Callable[[str, tuple[Array, ...]], Sequence[Array]]
#: How much of an evaluation set is taken: the model's quick choice, all of it, or so many samples.
Extent = int | Literal["quick", "all"]


@dataclass(frozen=True)
class Metric:
    """One task metric.

    Attributes:
        name: its standard name.
        value: measured.
        higher_is_better: its direction.
    """

    name: str
    value: float
    higher_is_better: bool = True

    def loss(self, other: float) -> float:
        """By how much another value of the same metric is worse than this one; negative where it is better."""
        return self.value - other if self.higher_is_better else other - self.value


@dataclass(frozen=True)
class TaskMetrics:
    """What answers are worth on an evaluation set.

    Attributes:
        metrics: the gate looks at the first.
        data: what they were measured on.
        samples: how many samples that were.
        unit: what a sample is, in the plural: "images", "rows", "tokens".
    """

    metrics: tuple[Metric, ...]
    data: str
    samples: int
    unit: str

    @property
    def gated(self) -> Metric:
        return self.metrics[0]


@dataclass(frozen=True)
class Drop:
    """How much worse than the eager model's a task metric may be.

    Attributes:
        amount: in the metric's unit, or as a share of the eager value where `relative`.
        relative: which of the two.
    """

    amount: float
    relative: bool = False

    @classmethod
    def parse(cls, text: str) -> Drop:
        """ "0.5%" of the eager value, or "0.005" in the metric's unit.

        Raises:
            UsageError: not a number, negative, or not finite.
        """
        number = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(%?)\s*", text)
        try:
            amount = float(number[1]) if number else math.nan
        except ValueError:
            amount = math.nan
        if number is None or not 0 <= amount < math.inf:
            raise UsageError(
                f"{text!r} is no drop: write a percentage of the eager model's metric, such as 0.5%, or a plain number "
                f"in the metric's unit, such as 0.005."
            )
        return cls(amount / 100, True) if number[2] else cls(amount)

    def allowed(self, eager: float) -> float:
        """In the metric's unit."""
        return self.amount * abs(eager) if self.relative else self.amount

    def __str__(self) -> str:
        return f"{100 * self.amount:g}%" if self.relative else f"{self.amount:g}"


def samples_of(extent: Extent, quick: int | None) -> int | None:
    """How many samples an extent asks for; None for all.

    Args:
        extent: what the user wants.
        quick: the model's quick choice.
    """
    return {"quick": quick, "all": None}[extent] if isinstance(extent, str) else extent
