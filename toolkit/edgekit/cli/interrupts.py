"""Ctrl-C at any moment: the first ends the work in order, the next one at once; either leaves nothing half-written.

Imports nothing that takes time: it is in place before everything else is loaded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

#: The exit code of what was interrupted.
EXIT_CODE = 130
_STDERR = 2
#: Seconds until a lost interrupt is raised again.
_PAUSE = 0.05

_count = 0
_said = False


def interrupted() -> bool:
    """Whether Ctrl-C was pressed, whatever became of the exception."""
    return _count > 0


def catch() -> None:
    """Takes Ctrl-C from now on; not where a shell lets its background jobs ignore it, nor in another's program."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_interrupt)
        sys.unraisablehook = _again


def say(kept: str = "") -> None:
    """The one line, once."""
    global _said
    if not _said:
        _said = interrupted()
        below = "\n" if os.isatty(_STDERR) else ""  # the terminal's ^C
        text = f"{below}edgekit: interrupted; nothing half-written was left.{kept}\n"
        try:
            sys.stderr.flush()
            os.write(_STDERR, text.encode())
        except (OSError, ValueError, RuntimeError):  # nobody is there to read it
            pass


def _on_interrupt(number: int, frame: FrameType | None) -> None:
    global _count
    _count += 1
    if _count == 1:
        raise KeyboardInterrupt
    files = sys.modules.get("edgekit.files")
    if files is not None and hasattr(files, "remove_unfinished"):
        files.remove_unfinished()
    if os.isatty(_STDERR):
        os.write(_STDERR, b"\x1b[?25h")  # the cursor, which a progress bar hides
    say()
    os._exit(EXIT_CODE)


def _again(error: Any) -> None:
    """Where the exception was raised it could not go on, in a destructor: it is raised once more, after this returned.

    What is raised in here would be lost too.
    """
    global _count
    if isinstance(error.exc_value, KeyboardInterrupt):
        _count = 0
        # A signal, which ends a wait too.
        again = threading.Timer(_PAUSE, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        again.daemon = True
        with contextlib.suppress(RuntimeError):  # the interpreter is ending
            again.start()
    elif not interrupted():
        sys.__unraisablehook__(error)
