"""What `--target` takes, and how a board is called by it."""

from __future__ import annotations

import pytest

from edgekit.devices.targets import find_target
from edgekit.errors import UsageError


@pytest.mark.parametrize(
    ("name", "kind", "address"),
    [
        ("local", "local", None),
        ("qemu", "qemu", None),
        ("adb", "adb", None),
        ("adb:8A2X", "adb", "8A2X"),
        ("adb:192.168.1.7:5555", "adb", "192.168.1.7:5555"),
        ("ssh://board", "ssh", "board"),
        ("ssh://pi@board.local:2222", "ssh", "pi@board.local:2222"),
        ("ssh://pi@[fe80::1%eth0]:22", "ssh", "pi@[fe80::1%eth0]:22"),
    ],
)
def test_a_target_has_one_name(name: str, kind: str, address: str | None):
    target = find_target(name)
    assert (target.kind, target.address, target.name) == (kind, address, name)
    assert target.emulated == (kind == "qemu")
    assert target.describe() == {"kind": kind, "address": address, "emulated": target.emulated}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ssh://", "is no address: write ssh://user@host"),
        ("ssh:board", "is no address"),
        ("ssh://-oProxyCommand=touch", "is no address"),
        ("ssh://-l@board", "is no address"),
        ("ssh://board:0", "is no address"),
        ("ssh://board:70000", "is no address"),
        ("ssh://board/home", "is no address"),
        ("adb:", "write local, qemu, ssh://"),
        ("local:1", "write local, qemu, ssh://"),
        ("sssh://board", "did you mean 'ssh'?"),
        ("", "unknown target ''"),
    ],
)
def test_others_are_refused(name: str, says: str):
    with pytest.raises(UsageError, match=says.replace("?", r"\?")):
        find_target(name)


def test_what_ssh_is_called_with():
    connection = find_target("ssh://pi@board:2222")._connection
    try:
        first, second = (connection.command(["sh", "-c", "echo $HOME"]) for _ in range(2))
    finally:
        connection.close()
    assert first[-7:] == ["-l", "pi", "-p", "2222", "--", "board", "sh -c 'echo $HOME'"]
    assert "ControlMaster=yes" in first
    assert "ControlMaster=no" in second
    assert [word for word in first if word.startswith("ControlPath=")] == [
        word for word in second if word.startswith("ControlPath=")
    ]
    # Nobody is asked, and what the user says of host keys stays as it is.
    assert "BatchMode=yes" in first
    assert not any("HostKey" in word or "KnownHosts" in word for word in first)
