"""The most accurate export that fits a memory budget.

Tried are, in this order, what the user asked for with every recipe from the most exact on, then smaller variants of the
model (frame size, stages, context), the one whose eager model has the best task metric first. Of candidates that give
the same answers the fastest comes first. A candidate is lowered to know what it takes, unless the parts that it shares
with one that was lowered are too much already.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from edgekit.bundle import Bundle
from edgekit.errors import GateError
from edgekit.export.accuracy import eager_metrics
from edgekit.export.memory import largest_part
from edgekit.export.pipeline import OverBudgetError
from edgekit.export.recipes import Recipe
from edgekit.models.kv import KV
from edgekit.models.metrics import Extent
from edgekit.models.model import ALL_PARTS, Model, Request, Variation
from edgekit.report import bytes_text

#: Parts of the memory that a type of the KV cache changes.
KV_PARTS = ("state", "planned_arena", "operator_scratch")
#: A variant whose eager model loses more than this share of the whole model's task metric is of no use to anybody.
LARGEST_LOSS = 0.2

Verdict = Literal["fits", "too large", "misses its accuracy gate", "too far from the whole model"]
Values = Mapping[str, str]


@dataclass(frozen=True)
class Candidate:
    """One way to export a model.

    Attributes:
        recipe: with its type of KV cache.
        values: of the model's variations by name, where they are not what the request asks for.
    """

    recipe: Recipe
    values: Values

    def text(self, has_kv: bool) -> str:
        """Such as "int4, KV int8, context 512"."""
        kv = (f"KV {self.recipe.kv}",) if has_kv else ()
        return ", ".join((self.recipe.name, *kv, *(f"{name} {value}" for name, value in self.values.items())))


@dataclass(frozen=True)
class Attempt:
    """What came of a candidate.

    Attributes:
        text: the candidate, for people.
        verdict: why it was chosen or not.
        peak: predicted bytes; where it was not lowered, what it takes at least; None if that is not known either.
        largest: its largest part and that part's bytes; None where it was not lowered.
        detail: more about the verdict.
    """

    text: str
    verdict: Verdict
    peak: int | None = None
    largest: tuple[str, int] | None = None
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        part, size = self.largest or (None, None)
        return {
            "candidate": self.text,
            "verdict": self.verdict,
            "peak": self.peak,
            "lowered": self.largest is not None,
            "largest_part": part,
            "largest_part_bytes": size,
            "detail": self.detail,
        }


class NothingFitsError(GateError):
    """No candidate fits the budget; `attempts` says what was tried."""

    def __init__(self, model: str, budget: int, attempts: Sequence[Attempt]) -> None:
        lowered = [(attempt.peak, attempt) for attempt in attempts if attempt.peak is not None and attempt.largest]
        reason = "no candidate met its gate"
        if lowered:
            peak, attempt = min(lowered, key=lambda pair: pair[0])
            assert attempt.largest is not None
            part, size = attempt.largest
            name = part.replace("_", " ")
            reason = (
                f"the smallest tried ({attempt.text}) takes {bytes_text(peak)}, its largest part is {name} with "
                f"{bytes_text(size)}"
            )
        super().__init__(
            f"nothing of {model} fits {bytes_text(budget)}: {reason}; give more memory, or a smaller --size or --set."
        )
        self.attempts = tuple(attempts)


@dataclass
class Search:
    """Looks for a model's most accurate export that fits.

    Attributes:
        load: the model for a request.
        request: what the user asked for; what it fixes stays.
        recipes: those that may be chosen, the most exact first.
        budget: bytes.
        export: a model by a recipe, and with at most so many bytes of indirection buffers (None: as is fastest), to a
            bundle within the budget; raises OverBudgetError, or GateError where the accuracy gate is missed.
        kv: the type of KV cache that the user wants; None for any that the model takes.
        extent: how much of the evaluation set ranks variants.
        allow_drop: also variants whose eager task metric is far below the whole model's.
        say: told of each candidate before it is tried.
        attempts: what was tried so far, in order.
    """

    load: Callable[[Request], Model]
    request: Request
    recipes: Sequence[Recipe]
    budget: int
    export: Callable[[Model, Recipe, int | None], Bundle]
    kv: KV | None = None
    extent: Extent = "quick"
    allow_drop: bool = False
    say: Callable[[str], None] = lambda text: None
    attempts: list[Attempt] = field(default_factory=list)

    def run(self) -> Bundle:
        """The bundle of the first candidate that fits and meets its accuracy gate.

        Raises:
            NothingFitsError: there is none.
        """
        self._loaded: tuple[Request, Model] | None = None
        self._lowered: list[tuple[Candidate, Mapping[str, Any]]] = []
        whole = self._load({})
        self._variations = [one for one in whole.variations() if not self.request.fixes(one.name)]
        kvs = whole.kv_types if self.kv is None else (self.kv,)
        numbers = [recipe.with_kv(kv) for recipe in self.recipes for kv in kvs] if kvs else list(self.recipes)
        faster = _combinations(one for one in self._variations if one.exact)
        for values in self._variants(whole):
            for recipe, exact in itertools.product(numbers, faster):
                bundle = self._try(Candidate(recipe, {**values, **exact}), bool(kvs))
                if bundle is not None:
                    return bundle
        raise NothingFitsError(whole.name, self.budget, self.attempts)

    def _try(self, candidate: Candidate, has_kv: bool, most_indirection: int | None = None) -> Bundle | None:
        text = candidate.text(has_kv) + ("" if most_indirection is None else ", more of edgekit's convolutions")
        others = self._lowered if most_indirection is None else []  # the candidate itself is among them
        least = max((self._shared(candidate, *other) for other in others), default=0)
        if least > self.budget:
            self.attempts.append(Attempt(text, "too large", least))
            return None
        self.say(text)
        try:
            bundle = self.export(self._load(candidate.values), candidate.recipe, most_indirection)
        except OverBudgetError as error:
            self._lowered.append((candidate, error.memory))
            largest = largest_part(error.memory)
            peak = int(error.memory["peak"])
            self.attempts.append(Attempt(text, "too large", peak, largest))
            if most_indirection is None and error.indirection > 0:
                # What is saved there is not lost elsewhere; whether it is enough shows when it is lowered.
                return self._try(candidate, has_kv, max(0, error.indirection - (peak - self.budget)))
            return None
        except GateError as error:
            self.attempts.append(Attempt(text, "misses its accuracy gate", detail=str(error)))
            return None
        memory = bundle.manifest["memory"]
        self.attempts.append(Attempt(text, "fits", int(memory["peak"]), largest_part(memory)))
        return bundle

    def _shared(self, candidate: Candidate, other: Candidate, memory: Mapping[str, Any]) -> int:
        """Bytes of the parts that a candidate has in common with a lowered one, which it takes at least."""
        changed: set[str] = set()
        if candidate.recipe.name != other.recipe.name:
            changed.update(ALL_PARTS)
        if candidate.recipe.kv != other.recipe.kv:
            changed.update(KV_PARTS)
        for variation in self._variations:
            if candidate.values.get(variation.name) != other.values.get(variation.name):
                changed.update(variation.parts)
        return sum(size for part, size in memory["at_peak"].items() if part not in changed)

    def _variants(self, whole: Model) -> Iterator[Values]:
        """Values of the variations that change answers: those asked for, then the others, the best metric first."""
        others = _combinations(one for one in self._variations if not one.exact)[1:]
        yield {}
        if not others:
            return
        self.say("task metrics of smaller variants")
        base = eager_metrics(whole, self.extent)
        ranked = []
        for values in others:
            found = eager_metrics(self._load(values), self.extent)
            if base is None or found is None:
                ranked.append((0.0, values))
                continue
            metric, wanted = found.gated, base.gated
            loss = wanted.loss(metric.value)
            if loss > LARGEST_LOSS * abs(wanted.value) and not self.allow_drop:
                text = ", ".join(f"{name} {value}" for name, value in values.items())
                detail = f"eager {metric.name} {metric.value:.4g}, the whole model's {wanted.value:.4g}"
                self.attempts.append(Attempt(text, "too far from the whole model", detail=detail))
                continue
            ranked.append((loss, values))
        for _, values in sorted(ranked, key=lambda pair: pair[0]):
            yield values

    def _load(self, values: Values) -> Model:
        request = self.request
        for name, value in values.items():
            request = request.varied(name, value)
        if self._loaded is None or self._loaded[0] != request:
            self._loaded = (request, self.load(request))
        return self._loaded[1]


def _combinations(variations: Iterable[Variation]) -> list[Values]:
    """Every combination of values, what the request asks for left out of them: first none, then ever smaller ones."""
    choices = [[{}, *({one.name: value} for value in one.values[1:])] for one in variations]
    return [{name: value for part in parts for name, value in part.items()} for parts in itertools.product(*choices)]
