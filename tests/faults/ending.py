"""Ends a case's command at random moments, again and again, and checks what is left."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .cases import Case, leftovers
from .commands import Commands, Running

#: What Ctrl-C ends with.
INTERRUPTED = 130
#: Seconds between two Ctrl-Cs, at most.
SECOND = 0.2


@dataclass
class Tally:
    """What came of a case.

    Attributes:
        case: its name.
        asked: ends that were asked for.
        ended: commands that were ended by them.
        finished: commands that were done before.
        seconds: of one that is left alone.
    """

    case: str
    asked: int
    ended: int = 0
    finished: int = 0
    seconds: float = 0.0


def end_again_and_again(
    commands: Commands,
    case: Case,
    count: int,
    seed: int,
    interrupt: bool = False,
    on_end: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Ends a command so many times, at moments uniform over the time that it takes when it is left alone.

    Args:
        interrupt: by Ctrl-C, and sometimes by two of them, in place of kill -9. Either goes to the whole process group
            or to the process alone, by chance.
        on_end: told after each.

    Raises:
        AssertionError: with what does not hold, and after which end of which seed.
    """
    chance = random.Random(f"{seed} {case.name} {interrupt}")
    tally = Tally(case.name, count)
    reference, work = (commands.folder / f"{case.name} {kind}" for kind in ("reference", "work"))
    for folder in (reference, work):
        shutil.rmtree(folder, ignore_errors=True)
    commands.run(case.words(reference), learn=True)
    shutil.rmtree(reference)
    tally.seconds = commands.run(case.words(reference))
    case.check_done(reference, reference)
    while tally.ended < count:
        running = commands.start(case.words(work))
        moment = chance.uniform(0, tally.seconds)
        time.sleep(moment)
        send = os.killpg if chance.random() < 0.5 else os.kill
        with suppress(ProcessLookupError):
            send(running.process, signal.SIGINT if interrupt else signal.SIGKILL)
            if interrupt and chance.random() < 0.5:
                time.sleep(chance.uniform(0, SECOND))
                send(running.process, signal.SIGINT)
        code = commands.wait(running)
        try:
            _check(case, work, reference, code, running, interrupt)
        except Exception as error:
            raise AssertionError(
                f"{case.name}: end {tally.ended} of seed {seed}, {moment:.3f} s of {tally.seconds:.3f} s: "
                f"{type(error).__name__}: {error}\nIt said:\n{running.said()}"
            ) from error
        with suppress(ProcessLookupError):  # what the process alone has left of its group
            os.killpg(running.process, signal.SIGKILL)
        if code == 0:
            tally.finished += 1
            case.clear(work)
        else:
            tally.ended += 1
            on_end(tally)
    commands.run(case.words(work))
    case.check_done(work, reference)
    return tally


def _check(case: Case, work: Path, reference: Path, code: int, running: Running, interrupt: bool) -> None:
    if code == 0:
        case.check_done(work, reference)
        return
    case.check(work, reference)
    if not interrupt:
        assert code == -signal.SIGKILL, f"exit code {code}"
        return
    # Outside of a command click begins with an empty line.
    lines = running.said().lstrip("\n").splitlines()
    assert code == INTERRUPTED, f"exit code {code}"
    assert len(lines) <= 1
    assert all("interrupted" in line for line in lines)
    left = leftovers(work) if work.exists() else []
    assert left == [], f"left: {left}"
