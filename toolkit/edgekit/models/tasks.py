"""What `edgekit train` and `edgekit evaluate` ask of a model's package.

A package of the zoo has a module `train` with `train_entities(TrainRequest)` and a module `evaluation` with
`evaluate(EvaluateRequest)`; both, and `model` for the export, say with `list_settings()` what `--set` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from edgekit.models.model import Model
    from edgekit_runtime import Session


class Progress(Protocol):
    """Where long work says how far it is."""

    def start(self, label: str, total: int, units: str = "steps") -> None: ...
    def step(self, note: str, advance: int = 1) -> None: ...
    def done(self, note: str = "done") -> None: ...
    def say(self, text: str) -> None: ...


@dataclass(frozen=True)
class TrainRequest:
    """What to train.

    Attributes:
        data: file or folder.
        output: where the checkpoint goes: a file for one, a folder for several.
        variant: None for the model's default.
        settings: the model's own settings by name, as text.
        epochs: None for the model's default.
        seed: for everything random.
        force: train again what is there.
        progress: told of every epoch.
    """

    data: Path
    output: Path
    variant: str | None
    settings: Mapping[str, str]
    epochs: int | None
    seed: int
    force: bool
    progress: Progress


@dataclass(frozen=True)
class EvaluateRequest:
    """What to evaluate.

    Attributes:
        data: labelled data.
        checkpoint: a file, a folder of them, or None for the one that ships.
        variant: None for the model's default.
        session: of a bundle, which is then evaluated instead of a checkpoint.
        sessions: makes sessions of freshly exported bundles of a model, by the name of the recipe.
        pictures: a folder for pictures, or None.
        seed: for everything random.
        progress: told of every step.
        settings: the model's own settings by name, as text.
    """

    data: Path
    checkpoint: Path | None
    variant: str | None
    session: Session | None
    sessions: Callable[[Model], Mapping[str, Session]]
    pictures: Path | None
    seed: int
    progress: Progress
    settings: Mapping[str, str]


@dataclass(frozen=True)
class ResultTable:
    """A table of results.

    Attributes:
        columns: the table's headings by the keys of the rows.
        rows: one mapping per line; numbers unrounded, None where there is no value.
    """

    columns: Mapping[str, str]
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        metrics: one row per data set and system.
        details: single findings of the first system (such as every labelled segment), if the data tells them.
        notes: what a reader must know, a sentence each.
    """

    metrics: ResultTable
    details: ResultTable | None = None
    notes: tuple[str, ...] = ()
