"""Command lines that can be killed: `Commands` starts them in forks of a warm process, `server.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

#: Seconds after which a command hangs for sure.
LIMIT = 300.0


@dataclass(frozen=True)
class Running:
    """A command line at work; its number is that of its process group too."""

    process: int
    log: Path

    def said(self) -> str:
        return self.log.read_text(errors="replace")


class Commands:
    """A warm process; used as a context.

    Args:
        folder: of logs, caches and temporary files.
        environment: what differs in the commands' environment.
        server: what differs in that of the warm process itself.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str] | None = None, server: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        places = {"XDG_CACHE_HOME": folder / "cache", "TMPDIR": folder / "tmp"}
        for place in places.values():
            place.mkdir(parents=True, exist_ok=True)
        self._own = {"OMP_NUM_THREADS": "1"} | dict(server or {})
        self.environment = {name: str(place) for name, place in places.items()} | dict(environment or {})

    def __enter__(self) -> Commands:
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "EDGEKIT_DATA"} | self._own,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer

    def start(self, words: Sequence[object], modules: Path | None = None, log: str = "log") -> Running:
        """Begins a command line; what it says goes to the file `log`."""
        file = self.folder / log
        request = {"start": [str(word) for word in words], "log": str(file), "environment": self.environment}
        return Running(self._ask(**request, modules=modules and str(modules))["process"], file)

    def wait(self, running: Running) -> int:
        """The exit code of a command line that ends; a signal's is negative."""
        code = self._ask(wait=running.process, limit=LIMIT)["code"]
        assert code is not None, f"it went on for more than {LIMIT:.0f} s; it said:\n{running.said()}"
        return int(code)

    def run(self, words: Sequence[object], learn: bool = False) -> float:
        """Runs a command line that must succeed; gives the seconds. With `learn` what it imports is warm afterwards."""
        modules = self.folder / "modules" if learn else None
        begin = time.monotonic()
        running = self.start(words, modules)
        code = self.wait(running)
        if code != 0:
            raise AssertionError(f"edgekit {' '.join(map(str, words))} ended with {code}:\n{running.said()}")
        took = time.monotonic() - begin
        if modules is not None:
            self._ask(**{"import": str(modules)})
        return took
