"""Targets: where a bundle is measured. This machine, an emulator on it, a board by ssh, a device by adb."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgekit.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from edgekit.devices.targets.target import Target

KINDS = ("local", "qemu", "ssh", "adb")


def find_target(name: str) -> Target:
    """A target by what `--target` takes; nothing is connected yet.

    Args:
        name: "local", "qemu", "ssh://[user@]host[:port]", "adb" or "adb:SERIAL".

    Raises:
        UsageError: it is none of these.
    """
    from edgekit.devices.targets import adb, local, qemu, ssh
    from edgekit.devices.targets.target import Target

    kind, separator, rest = name.partition(":")
    if kind == "local" and not separator:
        return local.LocalTarget()
    if kind == "qemu" and not separator:
        return qemu.QemuTarget()
    if kind == "adb" and (rest or not separator):
        return Target(adb.AdbConnection(rest or None))
    if kind == "ssh":
        address = re.fullmatch(
            r"//(?:(?P<user>[^@/\s-][^@/\s]*)@)?(?P<host>\[[0-9a-fA-F:.%\w]+\]|[^@:/\s-][^@:/\s]*)(?::(?P<port>\d{1,5}))?/?",
            rest,
        )
        if address is None or not 0 < int(address["port"] or 22) < 65536:
            raise UsageError(f"{name!r} is no address: write ssh://user@host or ssh://user@host:port.")
        port = None if address["port"] is None else int(address["port"])
        return Target(ssh.SshConnection(address["host"].strip("[]"), address["user"], port))
    if kind in KINDS:
        raise UsageError(f"{name!r} is no target: write local, qemu, ssh://user@host[:port] or adb[:SERIAL].")
    raise unknown_name("target", kind, KINDS)
