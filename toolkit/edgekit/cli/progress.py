"""The progress display, on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
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


class Display:
    """A bar for one job at a time; where stderr is no terminal, a line per finished job instead."""

    def __init__(self, progress: Progress | None, console: Console) -> None:
        self._progress = progress
        self._console = console
        self._task: TaskID | None = None
        self._label = ""
        self._begin = 0.0

    def start(self, label: str, total: int) -> None:
        self._label, self._begin = label, time.monotonic()
        if self._progress is not None:
            self._task = self._progress.add_task(label, total=total, note="")

    def step(self, note: str, advance: int = 1) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=advance, note=note)

    def done(self, note: str = "done") -> None:
        if self._progress is not None and self._task is not None:
            total = self._progress.tasks[self._task].total
            self._progress.update(self._task, completed=total, note=note)
        elif not self._console.quiet:
            self._console.print(f"{self._label}: {note} in {time.monotonic() - self._begin:.1f} s")

    def say(self, text: str) -> None:
        """A line that stays, above the bar."""
        self._console.print(text)


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
