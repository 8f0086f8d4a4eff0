"""A session's other end: the keeper that runs on the device, and what runs beside it."""

from __future__ import annotations

import queue
import subprocess
import threading
from contextlib import suppress

from edgekit.devices.targets.connection import Connection
from edgekit.errors import EdgekitError

#: Seconds between signs of life, and after which a device does not answer.
HEARTBEAT, ANSWER = 5.0, 60.0


class Keeper:
    """The session's other end, on the device."""

    def __init__(self, process: subprocess.Popen[bytes], connection: Connection) -> None:
        self._process, self._connection = process, connection
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._errors = bytearray()
        self._speaking = threading.Lock()
        self._closed = threading.Event()
        threads = (self._read, self._read_errors, self._beat)
        self._threads = [threading.Thread(target=one, daemon=True) for one in threads]
        for thread in self._threads:
            thread.start()
        try:
            answer = self._next()
            # A login may greet before anything else.
            while answer != "connected":
                answer = self._next()
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line.decode(errors="replace").rstrip("\r\n"))
        self._answers.put(None)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors += line

    def _beat(self) -> None:
        while not self._closed.wait(HEARTBEAT):
            self.tell("alive")

    def tell(self, word: str) -> None:
        """Says a word, if the keeper is there still."""
        assert self._process.stdin is not None
        with self._speaking:
            try:
                self._process.stdin.write(f"{word}\n".encode())
                self._process.stdin.flush()
            except (BrokenPipeError, ValueError):
                pass

    def ask(self, word: str, end: str | None) -> list[str]:
        """The lines that answer a word: up to the line `end`, or one."""
        self.tell(word)
        lines = [self._next()]
        while end is not None and lines[-1] != end:
            lines.append(self._next())
        return lines if end is None else lines[:-1]

    def _next(self) -> str:
        try:
            answer = self._answers.get(timeout=ANSWER)
        except queue.Empty:
            raise EdgekitError(f"{self._connection.title} does not answer within {ANSWER:.0f} s: try again.") from None
        if answer is None:
            self._process.wait()
            self._threads[1].join(HEARTBEAT)
            raise EdgekitError(self._connection.explain(self._errors.decode(errors="replace")))
        return answer

    def is_alive(self) -> bool:
        """Whether the connection stands; one that has just broken may take a moment to show it."""
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            return True
        return False

    def close(self) -> None:
        """Ends the keeper's input, and waits until it has left the device clean."""
        self._closed.set()
        finish(self._process, b"", ANSWER / 2, killed=True, read=False)


class PowerLines:
    """tegrastats on the device: (seconds since it started, line) of each that has come so far."""

    def __init__(self, process: subprocess.Popen[bytes], keeper: Keeper) -> None:
        self._process, self._keeper = process, keeper
        self.lines: list[tuple[float, str]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            moment, _, text = line.decode(errors="replace").partition(" ")
            try:
                self.lines.append((float(moment), text.strip()))
            except ValueError:
                continue

    def close(self) -> None:
        self._keeper.tell("stop")
        self._thread.join(HEARTBEAT)
        finish(self._process, b"", HEARTBEAT, killed=True)


def finish(
    process: subprocess.Popen[bytes], data: bytes, timeout: float, killed: bool = False, read: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Gives a process the rest of its input and waits for its end.

    Args:
        killed: what does not end in time is ended by force, without an error.
        read: its output too.

    Raises:
        subprocess.TimeoutExpired: it goes on; not with `killed`.
    """
    out = error = b""
    try:
        if read:
            out, error = process.communicate(data or None, timeout)
        else:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait(timeout)
    except (subprocess.TimeoutExpired, ValueError):
        if not killed:
            raise
        process.kill()
        process.wait()
    return subprocess.CompletedProcess(process.args, process.returncode, out or b"", error or b"")
