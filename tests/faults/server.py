"""A process that has imported everything, and forks for each command line: 100 kills cost the work, not 100 imports.

Started as a program of its own, which has no threads. It reads a JSON object a line and answers with one:

    {"start": WORDS, "log": FILE, "environment": {...}, "modules": FILE or null}  ->  {"process": NUMBER}
    {"wait": NUMBER, "limit": SECONDS}  ->  {"code": NUMBER as subprocess has it, null if it went on and was killed}
    {"import": FILE}                                                              ->  {"modules": COUNT}

Each fork leads a session and a process group of its own, as a command in a terminal does. The children of a sweep are
forks too.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn


def _command_line(words: Sequence[str]) -> None:
    """What the program `edgekit` does, from the moment on that it has loaded its files."""
    from edgekit.cli import interrupts
    from edgekit.cli.main import main

    if words[0] == "sweep":
        from edgekit.devices import sweep

        sweep.run_program = _run_program
    interrupts._count, interrupts._said = 0, False
    signal.signal(signal.SIGINT, signal.default_int_handler)  # until here it is ignored
    interrupts.catch()
    main(words)


def _leave(body: Callable[[], None]) -> NoReturn:
    """Runs a function in a fork, and ends it."""
    code = 1
    try:
        body()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _run_program(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """In place of `edgekit.processes.run_program`, for edgekit's own command lines."""
    words = list(command)[3:]  # after Python's, `-c` and the program
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as said:
        process = os.fork()
        if process == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(said.fileno(), 2)
            os.closerange(3, 4096)  # as exec does with them: a lock that the parent has is not handed down
            _leave(lambda: _command_line(words))
        try:
            status = os.waitpid(process, 0)[1]
        except BaseException:
            os.kill(process, signal.SIGINT)
            os.waitpid(process, 0)
            raise
        out.seek(0)
        said.seek(0)
        return subprocess.CompletedProcess(words, os.waitstatus_to_exitcode(status), out.read(), said.read())


def _start(request: dict[str, Any]) -> int:
    process = os.fork()
    if process:
        return process
    os.setsid()
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, handle in enumerate((nothing, log, log)):
        os.dup2(handle, number)
    os.environ.update(request["environment"])
    tempfile.tempdir = None

    def body() -> None:
        try:
            _command_line(request["start"])
        finally:
            if request.get("modules"):
                Path(request["modules"]).write_text("\n".join(sorted(sys.modules)))

    _leave(body)


def _wait(process: int, limit: float) -> int | None:
    until = time.monotonic() + limit
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return None
        time.sleep(0.002)


def _import(file: Path) -> int:
    count = 0
    for name in file.read_text().splitlines():
        if name != "__main__" and name not in sys.modules:
            try:
                importlib.import_module(name)
                count += 1
            except BaseException:  # a name that is no module's own
                continue
    gc.collect()
    gc.freeze()
    return count


def serve() -> None:
    """Answers requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            sys.stdout.flush()
            answer: dict[str, Any] = {"process": _start(request)}
        elif "wait" in request:
            answer = {"code": _wait(request["wait"], request["limit"])}
        else:
            answer = {"modules": _import(Path(request["import"]))}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
