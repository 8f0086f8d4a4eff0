"""The progress display, on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

#: Where stderr is no terminal: seconds after which a stage that goes on says again how far it is.
REMINDER = 30.0


class Display:
    """A bar for one job at a time; where stderr is no terminal, a line per stage and per finished job instead."""

    def __init__(self, progress: Progress | None, console: Console) -> None:
        self._progress = progress
        self._console = console
        self._task: TaskID | None = None
        self._label = ""
        self._begin = self._said = 0.0
        self._note = self._units = ""
        self._done = self._total = 0

    def start(self, label: str, total: int, units: str = "steps") -> None:
        """Begins a job of so many `units`."""
        self._label, self._begin = label, time.monotonic()
        self._said = self._begin
        self._note, self._units, self._done, self._total = "", units, 0, total
        if self._progress is not None:
            self._task = self._progress.add_task(label, total=total, note="")

    def step(self, note: str, advance: int = 1) -> None:
        """So many units more are done; the note says what is at hand."""
        self._done += advance
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=advance, note=note)
        elif self._label and ((note and note != self._note) or time.monotonic() - self._said > REMINDER):
            self._note, self._said = note or self._note, time.monotonic()
            parts = (f"{self._done} of {self._total} {self._units} done", f"{self._said - self._begin:.1f} s")
            self._console.print(f"{self._label}: {self._note} ({', '.join(parts)})")

    def done(self, note: str = "done") -> None:
        if self._progress is not None and self._task is not None:
            total = self._progress.tasks[self._task].total
            self._progress.update(self._task, completed=total, note=note)
        elif not self._console.quiet:
            self._console.print(f"{self._label}: {note} in {time.monotonic() - self._begin:.1f} s")

    def say(self, text: str) -> None:
        """A line that stays, above the bar."""
        self._console.print(text)


def follow_stages(progress: Display, label: str, count: int) -> Callable[[str], None]:
    """Begins a job of stages; what it gives is told of each stage that begins."""
    progress.start(label, count, "stages")
    begun = 0

    def on_stage(stage: str) -> None:
        nonlocal begun
        progress.step(stage, min(begun, 1))
        begun += 1

    return on_stage


@contextmanager
def display(quiet: bool) -> Iterator[Display]:
    """A progress display for the duration of the block."""
    console = Console(stderr=True, highlight=False, markup=False, quiet=quiet, soft_wrap=True)
    if quiet or not console.is_terminal:
        yield Display(None, console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield Display(progress, progress.console)
