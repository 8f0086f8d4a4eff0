"""A session with a device: facts, the board's lock, bundles copied by hash, programs run, everything left as it was.

All of it is said to the device by one script, `device.sh`. A keeper runs there over one long-lived connection; when
that ends, however it ends, the keeper ends what runs and removes what was copied.
"""

from __future__ import annotations

import getpass
import json
import platform
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from types import TracebackType
from typing import Any

from edgekit.bundle import RUNNER, Bundle
from edgekit.devices.results import target_name
from edgekit.devices.targets import keeper
from edgekit.devices.targets.connection import Connection
from edgekit.devices.targets.facts import Facts, read_facts
from edgekit.devices.targets.keeper import ANSWER, HEARTBEAT, Keeper, PowerLines, finish
from edgekit.elf import program_architecture, version_of_files
from edgekit.errors import EdgekitError, UsageError
from edgekit.manifest import FILE_NAME

#: Seconds between looks at a lock, and for a board to start.
PATIENCE, RESTART = 2.0, 60.0
#: What a file takes on a device's disk beyond its bytes, at most.
BLOCK = 4096
_SIGN = "edgekit-device: "
_BOOTSTRAP = 'eval "$(dd bs=1 count={} 2>/dev/null)"'


class LostConnection(EdgekitError):  # noqa: N818 - it says what happened
    """The device went away in the middle: "the connection to pi@board broke", for a sentence that goes on."""


@dataclass(frozen=True)
class Ended:
    """A program that ran on a device to its end.

    Attributes:
        out: its output.
        began, ended: on the device's clock, in seconds since it started.
    """

    out: str
    began: float
    ended: float


class Target:
    """A device, once it is entered (`with`).

    Attributes:
        kind, address: as in a result's target.
        emulated: whether times say nothing of a device.
        facts: of the device, once it is entered.
        peaks: what the device reaches at most, once that was measured.
    """

    emulated = False

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keeper: Keeper | None = None
        self._facts: Facts | None = None
        self._token = ""
        self.peaks: dict[str, Any] | None = None

    @property
    def kind(self) -> str:
        return self._connection.kind

    @property
    def address(self) -> str | None:
        return self._connection.address

    @property
    def title(self) -> str:
        return self._connection.title

    @property
    def entered(self) -> bool:
        """Whether there is a session."""
        return self._keeper is not None

    @property
    def facts(self) -> Facts:
        if self._facts is None:
            raise RuntimeError("the target is not entered")
        return self._facts

    @property
    def name(self) -> str:
        """What `--target` takes."""
        return target_name(self.kind, self.address)

    def machine(self, bundle: Bundle) -> dict[str, Any]:
        """A result's `machine`."""
        return self.facts.machine

    def describe(self) -> dict[str, Any]:
        """A result's `target`."""
        return {"kind": self.kind, "address": self.address, "emulated": self.emulated}

    def __enter__(self) -> Target:
        """Connects, and asks the device what it is.

        Raises:
            EdgekitError: it cannot be reached; the sentence says why, and what to do.
        """
        try:
            self._keeper = Keeper(self._start(["keep", _who(), f"{keeper.HEARTBEAT:.0f}"]), self._connection)
            self._facts = read_facts(self._keeper.ask("facts", "end"))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the session: the keeper removes what was copied for it, and the lock."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        self._connection.close()

    def check(self, bundle: Bundle) -> None:
        """Refuses a bundle that cannot run on the device, or for which it has no room.

        Raises:
            UsageError: it is for another machine, or has no runner.
            EdgekitError: the device has too old a C library, or too little room.
        """
        facts, name = self.facts, bundle.name
        check_runner(bundle)
        wanted = program_architecture(bundle.path / RUNNER)
        if wanted and wanted != facts.architecture:
            raise UsageError(
                f"{name} is for {wanted}, {self.title} is {facts.architecture}: export it with a --device of that kind."
            )
        if facts.bits == 32:
            raise UsageError(
                f"{name} is for {wanted}, and the system of {self.title} has 32 bits: install its 64-bit one."
            )
        needed = version_of_files([bundle.path / path for path in bundle.manifest["files"]], "GLIBC")
        needed_text = ".".join(map(str, needed))
        if needed and facts.libc in ("musl", "bionic"):
            raise UsageError(f"{name} needs glibc {needed_text}, {self.title} has {facts.libc}: use another board.")
        if facts.glibc is not None and needed > facts.glibc:
            raise EdgekitError(
                f"{name} needs glibc {needed_text}, {self.title} has {facts.machine['glibc']}: "
                "export it on a machine with an older system, or bring the board up to date."
            )

    def lock(self, wait: float, say: Callable[[str], None]) -> None:
        """Takes the board's lock, which others hold while they measure there.

        Args:
            wait: seconds that a busy board is waited for.
            say: told once whom it is waiting for.

        Raises:
            EdgekitError: still busy, or there is a lock that is not ours to remove.
        """
        begin, said = time.monotonic(), False
        while True:
            (answer,) = self._kept().ask("lock", None)
            word, _, rest = answer.partition(" ")
            if word == "locked":
                self._token = rest
                return
            if word == "busy":
                if time.monotonic() - begin >= wait:
                    raise EdgekitError(
                        f"{self.title} is in use by {rest}: try again later, or with a longer --timeout."
                    )
                if not said:
                    say(f"{self.title} is in use by {rest}: waiting")
                    said = True
                time.sleep(min(PATIENCE, wait))
            elif word == "stuck":
                raise EdgekitError(f"{self.title} has a lock of another user, {rest}: ask them, or remove it there.")
            else:
                raise EdgekitError(f"{self.title} lets nothing be written to {rest}: free some space there.")

    def put(self, bundle: Bundle, keep: bool, say: Callable[[str], None]) -> str:
        """The bundle's folder on the device; copies it, if it is not there already.

        Args:
            bundle: one that `check` takes.
            keep: it stays there after the session.
            say: told that it is copied.

        Raises:
            EdgekitError: there is no room, or the copy failed.
            LostConnection: in the middle.
        """
        name = bundle.manifest["sha256"]
        folder = f"{self.facts.root}/bundles/{name}"
        sizes = {FILE_NAME: (bundle.path / FILE_NAME).stat().st_size}
        sizes |= {path: entry["bytes"] for path, entry in bundle.manifest["files"].items()}
        listing = "".join(f"{size} {path}\n" for path, size in sizes.items()).encode()
        if self._call(["find_bundle", self._token, name], listing, ANSWER).returncode == 0:
            return folder
        needed = sum(sizes.values()) + BLOCK * len(sizes)
        free = self._free_bytes()
        if free is not None and needed > free:
            raise EdgekitError(
                f"{self.title} has no room for {bundle.name}: it takes {needed:,} bytes, {self.facts.root} has "
                f"{free:,} free; remove something there."
            )
        say(f"copying {bundle.name} to {self.title}")
        self._unpack(bundle, list(sizes), name)
        if self._call(["accept", self._token, name, "kept" if keep else "temporary"], listing, ANSWER).returncode != 0:
            raise EdgekitError(f"{bundle.name} did not arrive whole on {self.title}: try again.")
        return folder

    def _free_bytes(self) -> int | None:
        """What the device's disk has now."""
        return read_facts(self._kept().ask("facts", "end")).free_bytes

    def _unpack(self, bundle: Bundle, names: Sequence[str], name: str) -> None:
        process = self._start(["unpack", self._token, name])
        assert process.stdin is not None
        try:
            with tarfile.open(fileobj=process.stdin, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                for file in names:
                    info = archive.gettarinfo(bundle.path / file, file)
                    info.uid = info.gid = info.mtime = 0
                    info.uname = info.gname = ""
                    info.mode = 0o755 if file == RUNNER else 0o644
                    with (bundle.path / file).open("rb") as content:
                        archive.addfile(info, content)
            done = finish(process, b"", ANSWER)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            done = finish(process, b"", HEARTBEAT, killed=True)
        if done.returncode == 0:
            return
        said = done.stderr.decode(errors="replace")
        self._check_alive(done)
        # tar says it in its user's language, or as "wrote only 5 of 10 bytes".
        free = self._free_bytes()
        if "quota" in said or (free is not None and free < max((bundle.path / file).stat().st_size for file in names)):
            raise EdgekitError(f"{self.title} became full while {bundle.name} was copied: free some space there.")
        raise EdgekitError(f"{bundle.name} cannot be copied to {self.title} ({_last(said)}): look there.")

    def run(self, bundle: Bundle, folder: str, arguments: Sequence[str], timeout: float) -> Ended:
        """Runs the bundle's runner in its folder on the device.

        Args:
            bundle: for sentences.
            folder: what `put` gave.
            arguments: of the runner.
            timeout: seconds after which it hangs for sure.

        Raises:
            EdgekitError: it hung, was ended by a signal, or failed; the sentence says which.
            LostConnection: the device went away in the middle.
        """
        process = self._start(["run", self._token, folder, *self._program(bundle), *arguments])
        try:
            done = finish(process, b"", timeout)
        except subprocess.TimeoutExpired:
            self._kept().tell("stop")
            finish(process, b"", HEARTBEAT, killed=True)
            raise EdgekitError(
                f"{bundle.name} did not finish its runs on {self.title} in {timeout:g} s: give fewer with --runs, or "
                "more time with --timeout."
            ) from None
        except BaseException:  # Ctrl-C above all
            self._kept().tell("stop")
            finish(process, b"", HEARTBEAT, killed=True)
            raise
        said = done.stderr.decode(errors="replace").splitlines()
        ends = [line.removeprefix(_SIGN).split() for line in said if line.startswith(f"{_SIGN}ended ")]
        if not ends:
            self._check_alive(done)
            raise LostConnection(self._broke())
        code, began, ended = int(ends[-1][1]), float(ends[-1][2]), float(ends[-1][3])
        if code == 0:
            return Ended(done.stdout.decode(errors="replace"), began, ended)
        rest = "\n".join(line for line in said if not line.startswith(_SIGN))
        raise EdgekitError(self._why(bundle, code, rest))

    def _program(self, bundle: Bundle) -> list[str]:
        """The words that start the runner in its folder."""
        return [f"./{RUNNER}"]

    def _why(self, bundle: Bundle, code: int, said: str) -> str:
        """A sentence for a runner that failed."""
        if code > 128 and (code - 128) in {one.value for one in signal.Signals}:
            name = signal.Signals(code - 128).name
            hint = {
                "SIGKILL": "it ran out of memory, or somebody ended it: free some memory there, or export it smaller",
                "SIGILL": "its CPU lacks an instruction: export it with a --device that has this CPU",
            }.get(name, "run it there by hand to see more")
            return f"{bundle.name}'s runner was ended by {name} on {self.title}: {hint}."
        if code in (126, 127):
            return f"{bundle.name}'s runner does not start on {self.title}: {_last(said).rstrip('.')}."
        told = _last(said).removeprefix("edgekit-run: ").removeprefix("error: ").rstrip(".")
        older = "; is its runner of an older edgekit?" if code == UsageError.exit_code else "."
        return f"{self.title}: {told}{older}"

    def power_lines(self, milliseconds: int) -> PowerLines:
        """Starts the device's tegrastats, which runs until it is closed."""
        return PowerLines(self._start(["stats", self._token, str(milliseconds)]), self._kept())

    def recover(self, say: Callable[[str], None]) -> str:
        """After a lost connection: what happened, once the device answers again, is left clean, or does not answer.

        Returns:
            A sentence's end: "it has started anew; nothing of this session is left there".
        """
        boot = self.facts.boot
        self.__exit__(None, None, None)
        say(f"{self.title} is gone: waiting up to {RESTART:.0f} s for it")
        begin = time.monotonic()
        while True:
            try:
                with self:
                    again = self.facts.boot != boot
                    self.lock(RESTART / 2, lambda line: None)
                what = "it has started anew" if again else "the connection broke"
                return f"{what}; nothing of this session is left there"
            except EdgekitError:
                if time.monotonic() - begin > RESTART:
                    return "it does not answer; what is left there goes with the next session"
                time.sleep(PATIENCE)

    def _broke(self) -> str:
        return f"the connection to {self.title} broke"

    def _start(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        """Starts a verb of device.sh on the device; its own input follows the script."""
        script = files("edgekit.devices.targets").joinpath("device.sh").read_bytes()
        verb, *arguments = words
        command = ["sh", "-c", _BOOTSTRAP.format(len(script)), "edgekit", verb, self._connection.root, *arguments]
        process = self._connection.start(command)
        assert process.stdin is not None
        try:
            process.stdin.write(script)
            process.stdin.flush()
        except BrokenPipeError:  # its stderr says why
            pass
        return process

    def _call(self, words: Sequence[str], data: bytes, timeout: float) -> subprocess.CompletedProcess[bytes]:
        try:
            done = finish(self._start(words), data, timeout)
        except subprocess.TimeoutExpired:
            raise LostConnection(self._broke()) from None
        if done.returncode != 0:
            self._check_alive(done)
        return done

    def _check_alive(self, done: subprocess.CompletedProcess[bytes]) -> None:
        """Raises LostConnection if a call failed because the device or the keeper is gone."""
        lost = f"{_SIGN}lost" in done.stderr.decode(errors="replace")
        if lost or not self._kept().is_alive():
            raise LostConnection(self._broke())

    def _kept(self) -> Keeper:
        if self._keeper is None:
            raise RuntimeError("the target is not entered")
        return self._keeper


def check_runner(bundle: Bundle) -> None:
    """Refuses a bundle without a runner.

    Raises:
        UsageError: it has none.
    """
    if RUNNER not in bundle.manifest["files"]:
        raise UsageError(f"{bundle.name} carries no runner: export it without --no-native.")


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _who() -> str:
    """Who holds a lock, for others to read."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "somebody"
    return f"{user}@{platform.node() or 'unknown'} since {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"


def read_json(bundle: Bundle, text: str) -> dict[str, Any]:
    """The JSON that a runner printed.

    Raises:
        EdgekitError: it is none.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise EdgekitError(f"{bundle.name}'s runner printed no JSON: export it again with this edgekit.")
    return found
