"""A board on this machine: a real sshd, started on a port of its own with throw-away keys, and a folder as its disk."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@dataclass
class Board:
    """The device.

    Attributes:
        folder: everything that the test makes.
        launcher: the command line that starts its sshd, if it is not started as it is.
        variables: of the environment on the board.
        port: of its sshd.
        process: the sshd that listens.
    """

    folder: Path
    launcher: Sequence[str] = ()
    variables: Mapping[str, object] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """The home folder of who logs in."""
        return self.folder / "home"

    @property
    def programs(self) -> Path:
        """Comes first in the device's PATH: programs that stand in for the device's own."""
        return self.folder / "bin"

    @property
    def lock(self) -> Path:
        return self.folder / "tmp" / "edgekit.lock"

    @property
    def root(self) -> Path:
        """edgekit's folder on the device."""
        return self.home / ".cache" / "edgekit"

    def program(self, name: str, script: str) -> None:
        """Puts a shell script into the device's PATH."""
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def is_clean(self) -> bool:
        """Whether nothing of a session is left."""
        return not os.path.lexists(self.lock) and not self.root.exists()

    def becomes_clean(self, seconds: float = 20) -> bool:
        return waited(self.is_clean, seconds)

    def start(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._write_configuration()
        command = [
            *self.launcher,
            str(SSHD),
            "-D",
            "-f",
            str(self.folder / "sshd_config"),
            "-E",
            str(self.folder / "sshd.log"),
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        assert waited(self._listens, 10), (self.folder / "sshd.log").read_text()

    def _write_configuration(self) -> None:
        path = os.pathsep.join([str(self.programs), "/usr/local/bin", "/usr/bin", "/bin"])
        variables = {"HOME": self.home, "TMPDIR": self.folder / "tmp", "PATH": path, **self.variables}
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder / 'host_key'}",
            f"AuthorizedKeysFile {self.folder / 'key.pub'}",
            f"PidFile {self.folder / 'sshd.pid'}",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UsePAM no",
            "StrictModes no",
            "PermitRootLogin yes",
            "Subsystem sftp internal-sftp",
            "SetEnv " + " ".join(f"{name}={value}" for name, value in variables.items()),
        ]
        (self.folder / "sshd_config").write_text("\n".join(lines) + "\n")
        host_key = " ".join((self.folder / "host_key.pub").read_text().split()[:2])
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}\n")
        (self.folder / "ssh_config").write_text(
            f"Host board\n  HostName 127.0.0.1\n  Port {self.port}\n  IdentityFile {self.folder / 'key'}\n"
            f"Host *\n  IdentitiesOnly yes\n  IdentityAgent none\n  GlobalKnownHostsFile /dev/null\n"
            f"  UserKnownHostsFile {self.folder / 'known_hosts'}\n"
        )

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def connections(self) -> list[int]:
        """Processes of the sshd that serve a connection."""
        assert self.process is not None
        return [child for one in _children(self.process.pid) for child in (one, *_children(one)) if _is_sshd(child)]

    def drop_connections(self) -> None:
        """What a cut cable does, but at once."""
        for process in self.connections():
            os.kill(process, signal.SIGKILL)

    def stop(self) -> None:
        if self.process is not None:
            self.drop_connections()
            self.process.kill()
            self.process.wait()


def _children(process: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _is_sshd(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/comm").read_text().startswith("sshd")
    except FileNotFoundError:
        return False


def waited(condition: object, seconds: float) -> bool:
    """Whether a condition comes true in time."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def new_board(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    launcher: Sequence[str] = (),
    variables: Mapping[str, object] | None = None,
) -> Board:
    """A board that runs; its user's ssh configuration is found by an `ssh` and an `scp` in front of the real ones."""
    clients = {name: shutil.which(name) for name in ("ssh", "scp")}
    if SSHD is None or None in clients.values():
        pytest.skip("needs an ssh server and client: apt install openssh-server openssh-client")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd locks itself in, as root
    for name in ("home", "tmp", "bin", "client"):
        (folder / name).mkdir(parents=True)
    for name in ("host_key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    for name, client in clients.items():
        wrapper = folder / "client" / name
        wrapper.write_text(f'#!/bin/sh\nexec {client} -F {folder / "ssh_config"} "$@"\n')
        wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'client'}{os.pathsep}{os.environ['PATH']}")
    board = Board(folder, launcher, variables or {})
    board.start()
    return board
