"""The script that runs on devices, in the shells that devices have: dash, busybox, and mksh with toybox (Android)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgekit.bundle import Bundle
from edgekit.devices.targets import keeper
from edgekit.devices.targets.connection import Connection
from edgekit.devices.targets.facts import read_facts
from edgekit.devices.targets.target import Target
from edgekit.errors import EdgekitError

from .loopback import waited
from .stand_ins import SUCCEEDS, stand_in

#: By name: the shell, and the program that has its other commands; None for those of this machine.
SHELLS = {
    "dash": ("dash", None),
    "busybox": ("busybox", "busybox"),
    "android": ("mksh", "toybox"),
}
#: How they list their commands.
LISTING = {"busybox": ("--list",), "toybox": ()}
#: What the script and stand-in runners call.
COMMANDS = (
    *("cat", "dd", "df", "getconf", "grep", "head", "ldd", "ln", "mkdir", "mv", "readlink", "rm", "rmdir", "sed"),
    *("sleep", "sort", "tail", "tar", "tr", "uname", "uniq", "wc", "echo", "kill", "touch"),
)


class ShellConnection(Connection):
    """A device with one shell and its commands, nothing else."""

    kind = "adb"

    def __init__(self, folder: Path, shell: str, commands: str | None) -> None:
        self.root = str(folder / "edgekit")
        self.address = "shell"
        self._environment = {"PATH": str(folder / "bin"), "HOME": str(folder)}
        (folder / "bin").mkdir()
        (folder / "bin" / "sh").symlink_to(str(shutil.which(shell)))
        # Debian's toybox lacks some commands that Android's has.
        known = [] if commands is None else subprocess.check_output([commands, *LISTING[commands]], text=True).split()
        for name in COMMANDS:
            program = shutil.which(commands if commands is not None and name in known else name)
            if program is not None and not (commands == "toybox" and name in ("getconf", "ldd")):
                (folder / "bin" / name).symlink_to(program)

    def command(self, words: Sequence[str]) -> list[str]:
        # env sets the PATH in which the shell is looked for, and passes its name on: busybox goes by that.
        pairs = [f"{name}={value}" for name, value in self._environment.items()]
        return ["env", "-i", *pairs, *words]


@pytest.fixture(params=SHELLS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    shell, commands = SHELLS[request.param]
    for program in (shell, commands):
        if program is not None and shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt install dash busybox mksh toybox")
    folder = tmp_path / "device"
    folder.mkdir()
    return Target(ShellConnection(folder, shell, commands))


def opened(folder: Path, script: str = SUCCEEDS) -> Bundle:
    return Bundle.open(stand_in(folder, script))


def silent(line: str) -> None:
    pass


def test_a_session(target: Target, tmp_path: Path):
    bundle = opened(tmp_path)
    root = tmp_path / "device" / "edgekit"
    with target:
        machine = target.facts.machine
        assert (machine["architecture"], machine["cores"]) == (os.uname().machine, os.cpu_count())
        assert machine["memory_bytes"] > 1 << 28
        assert (target.facts.free_bytes or 0) > 1 << 20
        assert target.facts.root == str(root)
        assert len(target.facts.boot) == 36
        target.lock(0, silent)
        folder = target.put(bundle, False, silent)
        assert Path(folder, "folder of its own", "it's a $HOME.txt").read_text() == "hello"
        ended = target.run(bundle, folder, ["--json"], 20)
        assert ended.out == SUCCEEDS.split("\n", 1)[1].removesuffix("EOF\n")
        assert ended.began <= ended.ended
        assert target.put(bundle, False, silent) == folder
    assert not root.exists()
    assert not os.path.lexists(f"{root}.lock")


def test_one_at_a_time(target: Target, tmp_path: Path):
    other = Target(target._connection)
    with target, other:
        target.lock(0, silent)
        with pytest.raises(EdgekitError, match=r"shell is in use by \w+@\S+ since 20"):
            other.lock(0, silent)
        target.__exit__(None, None, None)
        other.lock(0, silent)
    assert not (tmp_path / "device" / "edgekit").exists()


@pytest.mark.parametrize("target", ["dash", "android"], indirect=True)
def test_a_run_that_hangs(target: Target, tmp_path: Path):
    bundle = opened(tmp_path, "echo $$ > $HOME/running; trap '' TERM; while :; do sleep 1; done\n")
    with target:
        target.lock(0, silent)
        folder = target.put(bundle, False, silent)
        with pytest.raises(EdgekitError, match=r"did not finish its runs on shell in 0\.5 s"):
            target.run(bundle, folder, [], 0.5)
        assert waited(lambda: not Path("/proc", (tmp_path / "device/running").read_text().strip()).exists(), 10)
    assert not (tmp_path / "device" / "edgekit").exists()


def test_signals_and_exit_codes(target: Target, tmp_path: Path):
    bundle = opened(tmp_path, "[ $1 = kill ] && kill -9 $$\necho edgekit-run: error: no $1. >&2; exit $2\n")
    with target:
        target.lock(0, silent)
        folder = target.put(bundle, False, silent)
        with pytest.raises(EdgekitError, match="runner was ended by SIGKILL"):
            target.run(bundle, folder, ["kill"], 20)
        with pytest.raises(EdgekitError, match=r"^shell: no room\.$"):
            target.run(bundle, folder, ["room", "1"], 20)


def test_a_keeper_that_dies_leaves_a_lock_for_the_next(target: Target, tmp_path: Path):
    """As when the device is short of memory: nothing can be cleaned then, so the next session does."""
    bundle = opened(tmp_path, "echo $$ > $HOME/running; exec sleep 1000\n")
    lock = tmp_path / "device" / "edgekit.lock"
    with target:
        target.lock(0, silent)
        folder = target.put(bundle, False, silent)
        runner = subprocess.Popen(target._connection.command(["sh", "-c", "exec sleep 1000"]))
        process = target._start(["run", target._token, folder, "./edgekit-run"])
        assert waited((tmp_path / "device" / "running").exists, 20)
        os.kill(int(os.readlink(lock).split()[1]), signal.SIGKILL)
        assert os.path.lexists(lock)
        number = int((tmp_path / "device" / "running").read_text())
        assert Path("/proc", str(number)).exists()
    with target:
        target.lock(0, silent)
        assert not Path("/proc", str(number)).exists()
        assert runner.poll() is None  # another's process is left alone
        assert not (tmp_path / "device" / "edgekit" / "bundles" / bundle.manifest["sha256"]).exists()
    runner.kill()
    runner.wait()
    process.communicate(timeout=20)
    assert not os.path.lexists(lock)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["dash"], indirect=True)
def test_a_connection_that_dies_without_a_word(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing says "alive" any more, and nothing closes the keeper's input either."""
    monkeypatch.setattr(keeper, "HEARTBEAT", 1.0)
    with target:
        target.lock(0, silent)
        target.put(opened(tmp_path), False, silent)
        time.sleep(8)
        assert os.path.lexists(tmp_path / "device" / "edgekit.lock")
        assert target._keeper is not None
        target._keeper._closed.set()  # which ends the signs of life
        assert waited(lambda: not os.path.lexists(tmp_path / "device" / "edgekit.lock"), 20)
        assert waited(lambda: not (tmp_path / "device" / "edgekit").exists(), 10)


def test_facts_of_a_board():
    """Of a Raspberry Pi 5, as its shell says them."""
    facts = read_facts(
        [
            "machine aarch64",
            "kernel 6.6.31+rpt-rpi-2712",
            "bits 64",
            "libc glibc 2.36",
            "model Raspberry Pi 5 Model B Rev 1.0",
            "os Debian GNU/Linux 12 (bookworm)",
            "cpu ",
            "parts 0xd0b ",
            "implementer 0x41",
            "cores 4",
            "memory_kib 8245264",
            "free_kib 51200",
            "boot 0c6a",
            "root /home/pi/.cache/edgekit",
            "tegrastats yes",
        ]
    )
    assert facts.machine == {
        "title": "Raspberry Pi 5 Model B Rev 1.0",
        "architecture": "aarch64",
        "cpu": "Cortex-A76",
        "cores": 4,
        "memory_bytes": 8245264 * 1024,
        "os": "Debian GNU/Linux 12 (bookworm)",
        "kernel": "6.6.31+rpt-rpi-2712",
        "glibc": "2.36",
    }
    assert (facts.glibc, facts.libc, facts.bits, facts.free_bytes) == ((2, 36), "glibc", 64, 51200 * 1024)
    assert facts.has_tegrastats


@pytest.mark.parametrize(
    ("lines", "libc", "glibc"),
    [
        (["libc ldd (Debian GLIBC 2.36-9+deb12u10) 2.36"], "glibc", "2.36"),
        (["libc ldd (GNU libc) 2.28"], "glibc", "2.28"),
        (["libc musl libc (aarch64)"], "musl", None),
        (["libc sh: ldd: not found"], None, None),
        (["libc glibc 2.36", "android 14"], "bionic", None),
    ],
)
def test_the_c_library(lines: list[str], libc: str | None, glibc: str | None):
    facts = read_facts(lines)
    assert (facts.libc, facts.machine["glibc"]) == (libc, glibc)


def test_cores_of_several_kinds():
    facts = read_facts(["implementer 0x41", "parts 0xd46 0xd4d 0xfff ", "model "])
    assert facts.machine["cpu"] == "Cortex-A510, Cortex-A715, Arm core 0xfff"
