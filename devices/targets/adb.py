"""An Android device, or a board whose system has adbd: the `adb` client."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from edgekit.devices.targets.connection import Connection


class AdbConnection(Connection):
    """Calls by way of adb's own server, which holds the connection.

    Args:
        serial: which device; None where there is one alone.
    """

    kind = "adb"
    #: The one folder of an Android device in which its shell may make programs and run them.
    root = "/data/local/tmp/edgekit"
    remedy = "install adb (apt install adb)"

    def __init__(self, serial: str | None = None) -> None:
        self._serial = serial
        self.address = serial

    @property
    def title(self) -> str:
        return self._serial or "the device"

    def command(self, words: Sequence[str]) -> list[str]:
        which = ["-s", self._serial] if self._serial else []
        # Without a terminal, so that bytes come through unchanged.
        return ["adb", *which, "shell", "-T", shlex.join(words)]

    def explain(self, said: str) -> str:
        for signs, sentence in (
            (("unauthorized",), f"{self.title} has not allowed this machine: confirm the question on its screen"),
            (("more than one",), "adb sees several devices: name one, --target adb:SERIAL; `adb devices` lists them"),
            (
                ("no devices", "not found", "device offline"),
                f"adb sees no {'device ' + self._serial if self._serial else 'device'}: plug it in and allow USB "
                "debugging; `adb devices` lists what there is",
            ),
            (("cannot connect to daemon", "failed to start daemon"), "adb's server does not start: see `adb devices`"),
        ):
            if any(sign in said for sign in signs):
                return f"{sentence}."
        return super().explain(said)
