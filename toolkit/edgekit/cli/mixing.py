"""What `edgekit quantize` and `edgekit export --max-drop` share: sensitivity and mixtures, with a progress display."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.errors import UsageError

if TYPE_CHECKING:
    from edgekit.cli.progress import Display
    from edgekit.export.max_drop import Try
    from edgekit.export.recipes import Recipe
    from edgekit.export.sensitivity import Measuring, Sensitivity
    from edgekit.models.metrics import Drop


def drop(text: str) -> Drop:
    """ "0.5%" or "0.005"."""
    from edgekit.models.metrics import Drop

    try:
        return Drop.parse(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from error


max_drop_option = click.option(
    "--max-drop",
    type=drop,
    metavar="D",
    help="Keep the most sensitive blocks in fp32 until the first task metric is at most D worse than eager: 0.5% is a "
    "share of the eager value, 0.005 is in the metric's unit.",
)


@dataclass(frozen=True)
class Mixture:
    """What holds a drop, and every try on the way."""

    chosen: Try
    tries: Sequence[Try]

    def to_dict(self) -> dict[str, Any]:
        rows = [{"kept": list(item.kept), "holds": item.holds} | item.accuracy.to_dict() for item in self.tries]
        return {"kept": list(self.chosen.kept), "recipe": self.chosen.recipe.label, "tries": rows}

    def text(self) -> str:
        """One line: what is kept, and what each try gave."""
        from edgekit.export.max_drop import tries_text

        return f"kept in fp32: {', '.join(self.chosen.kept) or 'nothing'} (tried: {tries_text(self.tries)})"


def find_sensitivity(
    measuring: Measuring, recipe: Recipe, blocks: Sequence[str], checkpoint: Path | None, progress: Display
) -> Sensitivity:
    """Kept from before, or measured."""
    from edgekit.export.sensitivity_file import kept_sensitivity, place_of

    place = place_of(measuring, recipe, checkpoint)
    done = -1

    def on_block(block: str) -> None:
        nonlocal done
        if done < 0:
            progress.start(f"sensitivity of {measuring.model.name}", len(blocks) + 1, "blocks")
        done += 1
        progress.step(block, min(done, 1))

    found = kept_sensitivity(measuring, recipe, blocks, place, on_block, progress.say)
    if done >= 0:
        progress.done()
    return found


def find_mixture(
    measuring: Measuring, recipe: Recipe, blocks: Sequence[str], checkpoint: Path | None, progress: Display
) -> Mixture:
    """The fewest blocks in fp32 that hold the drop.

    Raises:
        UsageError: there is no task metric, or nothing is rounded.
        GateError: not even all blocks hold it.
    """
    from edgekit.export.max_drop import hold_drop

    known: list[Sensitivity] = []

    def sensitivity() -> Sensitivity:
        if not known:
            known.append(find_sensitivity(measuring, recipe, blocks, checkpoint, progress))
        return known[0]

    def on_try(count: int) -> None:
        progress.say(f"{measuring.model.name}: measuring with {count} block{'' if count == 1 else 's'} in fp32")

    return Mixture(*hold_drop(measuring, recipe, sensitivity, on_try))
