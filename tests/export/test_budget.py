"""The search for what fits a memory budget, on a model whose memory is a formula."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgekit.errors import GateError
from edgekit.export.budget import NothingFitsError, Search
from edgekit.export.pipeline import OverBudgetError
from edgekit.export.recipes import Recipe, find_recipe
from edgekit.models.metrics import Metric, TaskMetrics
from edgekit.models.model import ALL_PARTS, RUN_PARTS, Request, Variation

#: Bytes of weights by recipe, of the state by type of KV cache; metric of the eager model by frame size.
WEIGHTS = {"fp32": 400, "int8": 100, "int4": 60}
STATE = {"fp32": 200, "fp16": 100, "int8": 50}
METRIC = {"64x64": 0.9, "48x48": 0.8, "32x32": 0.85, "16x16": 0.1}
SIZES, CHUNKS = ("64x64", "48x48", "32x32", "16x16"), ("8", "4")


class FakeModel:
    """What the search asks of a model."""

    name = "fake"
    quick_samples = None

    def __init__(self, request: Request, has_kv: bool) -> None:
        self.request = request
        self.kv_types = tuple(STATE) if has_kv else ()
        self.size = f"{request.sizes[0][0]}x{request.sizes[0][1]}" if request.sizes else SIZES[0]
        self.chunk = request.settings.get("chunk", CHUNKS[0])

    def variations(self) -> tuple[Variation, ...]:
        return Variation("size", SIZES, RUN_PARTS), Variation("chunk", CHUNKS, ("planned_arena",), exact=True)

    def task_metrics(self, predict: None, samples: int | None) -> TaskMetrics:
        return TaskMetrics((Metric("share", METRIC[self.size]),), "numbers", 1, "numbers")

    def memory(self, recipe: Recipe) -> dict[str, Any]:
        side = int(self.size.split("x")[0])
        parts = dict.fromkeys((*ALL_PARTS, "state", "runtime"), 0) | {
            "weights": WEIGHTS[recipe.name],
            "state": STATE[recipe.kv] if self.kv_types else 0,
            "planned_arena": side * int(self.chunk) // 8,
            "inputs_outputs": side,
            "runtime": 10,
        }
        return parts | {"peak": sum(parts.values()), "at_peak": parts}


def search(budget: int, has_kv: bool = False, fails: tuple[str, ...] = (), **fixed: Any) -> tuple[Search, list[str]]:
    """A search among fp32, int8 and int4, and the exports that it did."""
    exported: list[str] = []

    def export(model: Any, recipe: Recipe, most_indirection: int | None) -> Any:
        exported.append(f"{recipe.name} {recipe.kv if has_kv else '-'} {model.size} {model.chunk}")
        memory: Mapping[str, Any] = model.memory(recipe)
        if memory["peak"] > budget:
            raise OverBudgetError("fake", memory, budget, 0)
        if recipe.name in fails:
            raise GateError("too far from eager")
        return SimpleNamespace(path=Path(exported[-1]), manifest={"memory": memory})

    recipes = [find_recipe(name) for name in WEIGHTS]
    found = Search(lambda request: FakeModel(request, has_kv), Request(**fixed), recipes, budget, export)  # type: ignore[arg-type, return-value]
    return found, exported


def test_the_most_exact_recipe_that_fits_is_taken() -> None:
    found, exported = search(300)
    assert str(found.run().path) == "int8 - 64x64 8"
    assert [attempt.verdict for attempt in found.attempts] == ["too large", "too large", "fits"]
    # fp32's weights are too much whatever the chunk: that was not lowered.
    assert exported == ["fp32 - 64x64 8", "int8 - 64x64 8"]
    assert [attempt.largest for attempt in found.attempts] == [("weights", 400), None, ("weights", 100)]


def test_convolutions_give_back_what_their_buffers_take_too_much() -> None:
    found, _ = search(300)
    asked: list[int | None] = []
    inner = found.export

    def export(model: Any, recipe: Recipe, most_indirection: int | None) -> Any:
        asked.append(most_indirection)
        if most_indirection is None:
            memory = model.memory(recipe) | {"peak": 350, "at_peak": {"delegate_buffers": 350}}
            raise OverBudgetError("fake", memory, 300, 120)
        return inner(model, find_recipe("int8"), None)

    found.export = export
    found.run()
    assert asked == [None, 120 - 50]
    assert [attempt.verdict for attempt in found.attempts] == ["too large", "fits"]


def test_what_only_changes_the_speed_comes_first() -> None:
    found, _ = search(510)
    assert str(found.run().path) == "fp32 - 64x64 4"


def test_the_state_of_a_cache_is_not_tried_with_every_recipe() -> None:
    found, exported = search(170, has_kv=True)
    assert str(found.run().path) == "int4 int8 32x32 4"
    assert not [text for text in exported[2:] if " fp32 " in text], exported


def test_variants_are_ranked_by_their_task_metric() -> None:
    found, _ = search(160)
    assert str(found.run().path) == "int8 - 32x32 4"  # 48x48 would fit in int4, and is worse
    assert ("size 16x16", "too far from the whole model") in [(one.text, one.verdict) for one in found.attempts]


def test_a_candidate_that_misses_its_gate_is_passed_over() -> None:
    found, _ = search(300, fails=("int8",))
    assert str(found.run().path) == "int4 - 64x64 8"
    assert "misses its accuracy gate" in [attempt.verdict for attempt in found.attempts]


def test_what_the_user_names_stays() -> None:
    found, exported = search(160, sizes=((64, 64),), settings={"chunk": "8"})
    with pytest.raises(NothingFitsError) as failure:
        found.run()
    assert {text.split(" ", 2)[2] for text in exported} == {"64x64 8"}
    assert "largest part is planned arena with 64 B" in str(failure.value)
    assert failure.value.exit_code == 3
    assert failure.value.attempts


def test_nothing_fits() -> None:
    found, _ = search(40)
    with pytest.raises(NothingFitsError, match=r"nothing of fake fits 40 B: the smallest tried .* takes"):
        found.run()
