"""A board by ssh: the system's OpenSSH client, with the user's own configuration, keys and known hosts."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgekit.devices.targets.connection import Connection

#: Longest path of a socket that ssh makes: sun_path has 108 bytes on Linux and 104 elsewhere, and ssh adds a suffix.
MAX_SOCKET = 80
OPTIONS = {
    "BatchMode": "yes",  # nobody answers a prompt
    "ConnectTimeout": "15",
    "ServerAliveInterval": "5",  # a dead connection is noticed within 20 seconds
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",  # those of the user's configuration are for a terminal
    "RemoteCommand": "none",
    "RequestTTY": "no",
}


class SshConnection(Connection):
    """One login: its socket serves all calls, and ends with the call that made it.

    Args:
        host: a name, an address, or a Host of the user's configuration.
        user, port: None for what the configuration says.
    """

    kind = "ssh"
    remedy = "install the OpenSSH client (apt install openssh-client)"

    def __init__(self, host: str, user: str | None = None, port: int | None = None) -> None:
        self._host, self._user, self._port = host, user, port
        name = f"[{host}]" if ":" in host else host
        self.address = f"{user}@{name}" if user else name
        if port is not None:
            self.address += f":{port}"
        self._folder: Path | None = None
        self._first = True

    def command(self, words: Sequence[str]) -> list[str]:
        options = OPTIONS | {
            "ControlMaster": "yes" if self._first else "no",
            "ControlPath": str(self._socket()),
            "ControlPersist": "no",
        }
        self._first = False
        command = ["ssh", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
        command += ["-l", self._user] if self._user else []
        command += ["-p", str(self._port)] if self._port else []
        return [*command, "--", self._host, shlex.join(words)]

    def _socket(self) -> Path:
        if self._folder is None:
            folder = Path(tempfile.mkdtemp(prefix="edgekit-"))
            if len(str(folder)) > MAX_SOCKET:
                folder.rmdir()
                folder = Path(tempfile.mkdtemp(prefix="edgekit-", dir="/tmp"))
            self._folder = folder
        return self._folder / "ssh"

    def explain(self, said: str) -> str:
        host, login = self._host, f"ssh {self.address if self._port is None else self._login()}"
        for signs, sentence in (
            (
                ("REMOTE HOST IDENTIFICATION HAS CHANGED",),
                f"the host key of {host} is not the one that your ssh knows: find out why, then mend known_hosts",
            ),
            (
                ("Host key verification failed", "No matching host key", "host key is known"),
                f"your ssh does not know the host key of {host}: log in once with `{login}`, compare the fingerprint",
            ),
            (
                ("Permission denied",),
                f"{self.title} refuses your key: `{login}` must log in without a question (ssh-copy-id, ssh-agent)",
            ),
            (
                ("Could not resolve hostname",),
                f"there is no host {host!r}: mend the address, or give it a name in ~/.ssh/config",
            ),
            (
                ("Connection refused",),
                f"{self.title} refuses connections: start its ssh server, or mend the port",
            ),
            (
                ("timed out", "No route to host", "Network is unreachable"),
                f"{self.title} does not answer: switch it on, or mend the address",
            ),
        ):
            if any(sign in said for sign in signs):
                return f"{sentence}."
        return super().explain(said)

    def _login(self) -> str:
        return f"-p {self._port} {self._user}@{self._host}" if self._user else f"-p {self._port} {self._host}"

    def close(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        self._first = True
