"""The native runtimes log to stderr, most of them past Python: this keeps their words for our own messages."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


class NativeLog:
    """What was written to stderr meanwhile; filled when the block ends."""

    text = ""

    def errors(self) -> str:
        """The last lines that look like errors, in one line; empty if there are none."""
        lines = [line.strip() for line in self.text.splitlines() if "rror" in line or "issing" in line]
        return "; ".join(lines[-3:])


@contextmanager
def captured_stderr() -> Iterator[NativeLog]:
    """Takes what is written to the process's stderr inside the block off the terminal, and keeps it."""
    log = NativeLog()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as sink:
        saved, shown = os.dup(2), sys.stderr
        os.dup2(sink.fileno(), 2)
        # Some of them write by way of sys.stderr, which in a notebook is not file descriptor 2.
        sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
        try:
            yield log
        finally:
            sys.stderr.close()
            sys.stderr = shown
            os.dup2(saved, 2)
            os.close(saved)
            sink.seek(0)
            log.text = sink.read(1 << 20).decode("utf-8", "replace")
