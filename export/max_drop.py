"""The fewest blocks that must stay in fp32 for a task metric to hold, the most sensitive ones first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgekit.errors import GateError, UsageError
from edgekit.export.accuracy import Accuracy
from edgekit.export.recipes import Recipe
from edgekit.export.sensitivity import Measuring, Sensitivity, check_rounds


@dataclass(frozen=True)
class Try:
    """A mixture that was measured.

    Attributes:
        kept: blocks in fp32.
        recipe: which keeps them.
        accuracy: what it gave.
    """

    kept: tuple[str, ...]
    recipe: Recipe
    accuracy: Accuracy

    @property
    def holds(self) -> bool:
        return not self.accuracy.failures


def hold_drop(
    measuring: Measuring,
    recipe: Recipe,
    sensitivity: Callable[[], Sensitivity],
    on_try: Callable[[int], None] = lambda count: None,
) -> tuple[Try, list[Try]]:
    """Keeps 0, 1, 2, 4, ... of the dearest blocks until the gate holds, then searches between the last two.

    Args:
        measuring: of the model, with the drop that is allowed.
        recipe: which is mixed.
        sensitivity: gives its costs; not asked where the recipe holds as it is.
        on_try: told how many blocks are kept, before they are measured.

    Returns:
        The mixture that keeps the fewest blocks, and all that were measured, in order.

    Raises:
        UsageError: the model has no task metric, or the recipe rounds nothing.
        GateError: not even all blocks in fp32 hold it; the message has what each try gave.
    """
    if measuring.eager is None:
        raise UsageError(
            f"{measuring.model.name} has no labelled data to measure a drop on: give some with --data, or leave out "
            f"--data for generated data."
        )
    check_rounds(recipe)
    tries: list[Try] = []

    def measured(count: int) -> Try:
        on_try(count)
        kept = tuple(cost.block for cost in sensitivity().blocks[:count]) if count else ()
        mixed = replace(recipe, keep_fp32=(*recipe.keep_fp32, *kept))
        tries.append(Try(kept, mixed, measuring.accuracy(mixed)))
        return tries[-1]

    fails, count = -1, 0
    while not (found := measured(count)).holds:
        total = len(sensitivity().blocks)
        if count == total:
            raise GateError(
                f"{measuring.model.name} in {recipe.name} does not hold its accuracy even with all {count} blocks in "
                f"fp32: {'; '.join(found.accuracy.failures)} ({tries_text(tries)}). Choose another recipe, calibrate "
                f"on real data with --data, or allow more with --max-drop."
            )
        fails, count = count, min(max(1, 2 * count), total)
    while count - fails > 1:
        middle = (fails + count) // 2
        candidate = measured(middle)
        if candidate.holds:
            found, count = candidate, middle
        else:
            fails = middle
    return found, tries


def tries_text(tries: Sequence[Try]) -> str:
    """ "kept 0: IoU 0.59; kept 1: IoU 0.602"."""
    parts = []
    for item in tries:
        assert item.accuracy.found is not None
        metric = item.accuracy.found.gated
        parts.append(f"kept {len(item.kept)}: {metric.name} {metric.value:.5g}")
    return "; ".join(parts)
