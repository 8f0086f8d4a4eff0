"""`edgekit profile` on a board by ssh, against a real sshd on this machine: what is measured, what is left there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.devices import profiling
from edgekit.devices.targets import target

from ..cli.refusals import refuse
from .loopback import Board, new_board, waited
from .stand_ins import MEASURED, stand_in

HANGS = "echo $$ > $HOME/running; exec sleep 1000\n"


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    board = new_board(tmp_path / "board", monkeypatch)
    try:
        yield board
    finally:
        board.stop()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return stand_in(tmp_path)


def profile_in_background(bundle: Path, *arguments: object) -> subprocess.Popen[str]:
    words = [
        "-c",
        "from edgekit.cli.main import main; main()",
        "profile",
        bundle,
        "--target",
        "ssh://board",
        *arguments,
    ]
    command = [sys.executable, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def hanging(board: Board, bundle: Path, *arguments: object) -> tuple[subprocess.Popen[str], int]:
    """A session whose runner hangs on the board, and that runner's process."""
    process = profile_in_background(bundle, *arguments)
    assert waited(lambda: (board.home / "running").exists() and (board.home / "running").read_text().strip(), 30)
    return process, int((board.home / "running").read_text())


def is_running(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def test_measures_and_leaves_the_board_as_it_was(board: Board, bundle: Path, cli: Callable[..., Any], tmp_path: Path):
    results = tmp_path / "results" / "results.jsonl"
    done = cli("profile", bundle, "--target", "ssh://board", "-o", results)
    assert done.code == 0, done.err
    assert "stand-in   2 ms" in done.out
    assert "4,000 windows/s" in done.out
    assert done.out.splitlines()[-1] == f"Next: edgekit report {results.parent} -o report.html"
    (line,) = results.read_text().splitlines()
    result = json.loads(line)
    assert result["target"] == {"kind": "ssh", "address": "board", "emulated": False}
    assert result["machine"]["architecture"] == os.uname().machine
    assert result["machine"]["cores"] == os.cpu_count()
    assert result["measured"] == MEASURED | {"power": None}
    assert result["command"] == f"edgekit profile {bundle} --target ssh://board"
    assert board.becomes_clean()


def test_a_bundle_that_is_kept_is_not_copied_again(board: Board, bundle: Path, cli: Callable[..., Any]):
    command = ("profile", bundle, "--target", "ssh://board")
    first = cli(*command, "--keep")
    assert first.code == 0, first.err
    assert "copying stand-in to board" in first.err
    (kept,) = (board.root / "bundles").iterdir()
    assert (kept / "folder of its own" / "it's a $HOME.txt").read_text() == "hello"
    second = cli(*command)
    assert second.code == 0
    assert "copying" not in second.err
    # It was there before this session, so it stays.
    assert kept.is_dir()
    (kept / "program.pte").write_bytes(b"cut off")
    third = cli(*command)
    assert third.code == 0
    assert "copying" in third.err
    assert board.becomes_clean()


def test_several_bundles_of_one_session(board: Board, tmp_path: Path, cli: Callable[..., Any]):
    bundles = [stand_in(tmp_path, name="one"), stand_in(tmp_path, "echo no memory >&2; exit 1\n", name="two")]
    bundles.append(stand_in(tmp_path, name="three", ballast=3))
    done = cli("profile", *bundles, "--target", "ssh://board", "--json")
    assert [result["bundle"]["name"] for result in json.loads(done.out)["results"]] == ["one", "three"]
    assert done.code == 1
    assert "edgekit: error: board: no memory.\n" in done.err
    assert board.becomes_clean()


@pytest.mark.parametrize(
    ("hosts", "says"),
    [
        ("", "your ssh does not know the host key of board: log in once with `ssh board`"),
        ("wrong", "the host key of board is not the one that your ssh knows"),
    ],
)
def test_host_keys_are_checked(board: Board, bundle: Path, cli: Callable[..., Any], hosts: str, says: str):
    if hosts:
        other = " ".join((board.folder / "key.pub").read_text().split()[:2])
        hosts = f"[127.0.0.1]:{board.port} {other}\n"
    (board.folder / "known_hosts").write_text(hosts)
    refuse(cli("profile", bundle, "--target", "ssh://board", "-q"), 1, says)
    assert (board.folder / "known_hosts").read_text() == hosts


def test_a_wrong_key(board: Board, bundle: Path, cli: Callable[..., Any]):
    shutil.copyfile(board.folder / "host_key", board.folder / "key")
    (board.folder / "key.pub").write_text("")
    done = cli("profile", bundle, "--target", "ssh://somebody@board", "-q")
    refuse(done, 1, "somebody@board refuses your key: `ssh somebody@board` must log in without a question")


def test_an_unreachable_port(board: Board, bundle: Path, cli: Callable[..., Any]):
    board.stop()
    refuse(cli("profile", bundle, "--target", "ssh://board", "-q"), 1, "board refuses connections")
    refuse(cli("profile", bundle, "--target", "ssh://nobody.invalid", "-q"), 1, "there is no host 'nobody.invalid'")


@pytest.mark.parametrize(
    ("program", "script", "code", "says"),
    [
        ("uname", "[ $1 = -m ] && echo riscv64", 2, "is for {machine}, board is riscv64"),
        ("getconf", "[ $1 = LONG_BIT ] && echo 32", 2, "the system of board has 32 bits"),
        ("getconf", "[ $1 = GNU_LIBC_VERSION ] && echo glibc 2.17", 1, "board has 2.17: export it on"),
        ("df", "echo Filesystem; echo /dev/root 9 8 1 89% /", 1, "has no room for native: it takes "),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_copied(
    board: Board, native_bundle: Path, cli: Callable[..., Any], program: str, script: str, code: int, says: str
):
    board.program(program, script)
    done = cli("profile", native_bundle, "--target", "ssh://board", "-q")
    refuse(done, code, says.format(machine=os.uname().machine))
    assert board.becomes_clean()


def test_musl(board: Board, native_bundle: Path, cli: Callable[..., Any]):
    board.program("getconf", "[ $1 = LONG_BIT ] && echo 64")
    board.program("ldd", "echo 'musl libc (x86_64)' >&2")
    refuse(cli("profile", native_bundle, "--target", "ssh://board", "-q"), 2, "needs glibc 2.")


def test_a_bundle_without_a_runner(board: Board, fp32_bundle: Path, cli: Callable[..., Any]):
    done = cli("profile", fp32_bundle, "--target", "ssh://board", "-q")
    refuse(done, 2, "carries no runner: export it without --no-native")


def test_a_disk_that_becomes_full(board: Board, small_disk: Path, tmp_path: Path, cli: Callable[..., Any]):
    (board.home / ".cache").symlink_to(small_disk)
    # It was free when it was asked the first two times.
    claim = "echo Filesystem; echo /dev/root 9 8 99999999 1% /"
    board.program("df", f'echo >> $HOME/asked; [ $(wc -l < $HOME/asked) -gt 2 ] && exec /bin/df "$@"\n{claim}')
    bundle = stand_in(tmp_path, ballast=1 << 20)
    done = cli("profile", bundle, "--target", "ssh://board", "-q")
    refuse(done, 1, "board became full while stand-in was copied: free some space there")
    assert waited(lambda: not any(small_disk.iterdir()), 20)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("kill -KILL $$\n", "runner was ended by SIGKILL on board: it ran out of memory"),
        ("kill -ILL $$\n", "runner was ended by SIGILL on board: its CPU lacks an instruction"),
        ("echo edgekit-run: error: there is no case. >&2; exit 1\n", "board: there is no case."),
        ("echo not found >&2; exit 127\n", "runner does not start on board: not found."),
        ("echo fine\n", "printed no JSON"),
    ],
)
def test_a_runner_that_fails(board: Board, tmp_path: Path, cli: Callable[..., Any], script: str, says: str):
    refuse(cli("profile", stand_in(tmp_path, script), "--target", "ssh://board", "-q"), 1, says)
    assert board.becomes_clean()


def test_a_hung_run(board: Board, tmp_path: Path, cli: Callable[..., Any]):
    bundle = stand_in(tmp_path, HANGS)
    done = cli("profile", bundle, "--target", "ssh://board", "--timeout", 1, "-q")
    refuse(done, 1, "stand-in did not finish its runs on board in 1 s")
    assert not is_running(int((board.home / "running").read_text()))
    assert board.becomes_clean()


def test_a_lost_connection(board: Board, tmp_path: Path):
    process, runner = hanging(board, stand_in(tmp_path, HANGS))
    board.drop_connections()
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "the connection to board broke while stand-in was measured: the connection broke; nothing of this" in error
    assert not is_running(runner)
    assert board.becomes_clean()


def test_a_copy_that_is_not_whole(board: Board, bundle: Path, cli: Callable[..., Any]):
    board.program("tar", '/bin/tar "$@"; : > "$5/program.pte"')
    refuse(cli("profile", bundle, "--target", "ssh://board", "-q"), 1, "stand-in did not arrive whole on board")
    assert board.becomes_clean()


def test_a_connection_that_is_lost_while_a_bundle_is_copied(board: Board, bundle: Path):
    board.program("tar", 'head -c 100 > "$5/half"; touch $HOME/copying; exec sleep 1000')
    process = profile_in_background(bundle)
    assert waited((board.home / "copying").exists, 30)
    (half,) = (board.root / "bundles").glob("*.partial/half")
    assert half.stat().st_size == 100
    board.drop_connections()
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "the connection to board broke while stand-in was measured: the connection broke; nothing of this" in error
    assert board.becomes_clean()


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("starts anew", "it has started anew; nothing of this session is left there"),
        ("stays away", "it does not answer; what is left there goes with the next session"),
    ],
)
def test_a_board_that_goes(
    board: Board, tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, what: str, says: str
):
    bundle = stand_in(tmp_path, HANGS)
    monkeypatch.setattr(target, "RESTART", 20.0 if what == "starts anew" else 0.1)
    entered: list[target.Target] = []
    enter = target.Target.__enter__

    def remember(self: target.Target) -> target.Target:
        entered.append(self)
        return enter(self)

    monkeypatch.setattr(target.Target, "__enter__", remember)

    def go() -> None:
        assert waited((board.home / "running").exists, 30)
        if what == "starts anew":  # the kernel says another number by then
            entered[0]._facts = replace(entered[0].facts, boot="another")
            board.drop_connections()
        else:
            board.stop()

    thread = threading.Thread(target=go)
    thread.start()
    done = cli("profile", bundle, "--target", "ssh://board", "-q")
    thread.join()
    refuse(done, 1, f"the connection to board broke while stand-in was measured: {says}.")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_session_that_is_ended(board: Board, tmp_path: Path, how: signal.Signals):
    process, runner = hanging(board, stand_in(tmp_path, HANGS), "--keep" if how == signal.SIGINT else "-q")
    process.send_signal(how)
    process.communicate(timeout=30)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    assert waited(lambda: not is_running(runner), 20)
    assert waited(lambda: not os.path.lexists(board.lock), 20)
    assert board.root.exists() == (how == signal.SIGINT)
    assert waited(lambda: not board.connections(), 20)


def test_a_busy_board_is_waited_for(board: Board, bundle: Path, tmp_path: Path, cli: Callable[..., Any]):
    other, runner = hanging(board, stand_in(tmp_path, HANGS, "other"))
    done = cli("profile", bundle, "--target", "ssh://board", "--timeout", 0.5, "-q")
    refuse(done, 1, "board is in use by ")
    assert is_running(runner)
    end = threading.Timer(3, os.kill, (runner, signal.SIGKILL))
    end.start()
    done = cli("profile", bundle, "--target", "ssh://board")
    end.join()
    assert done.code == 0, done.err
    assert re.search(r"board is in use by \S+@\S+ since 20.*: waiting", done.err)
    assert "ended by SIGKILL" in other.communicate(timeout=30)[1]
    assert board.becomes_clean()


@pytest.mark.parametrize("boot", ["another", "this"])
def test_a_lock_of_a_dead_session_is_taken_over(board: Board, bundle: Path, cli: Callable[..., Any], boot: str):
    if boot == "this":
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    board.lock.symlink_to(f"{boot} {os.getpid()} 1 somebody@laptop since yesterday")
    owner = os.readlink(board.lock)
    for name in ("one", "two.partial", "kept", "living"):
        (board.root / "bundles" / name).mkdir(parents=True)
    for name in ("one", "two"):
        (board.root / "bundles" / f"{name}.temporary").write_text(f"{owner}\n")
    # Of a session that goes on, with the lock of another TMPDIR.
    words = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()
    this = f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.getpid()} {words[19]}"
    (board.root / "bundles" / "living.temporary").write_text(f"{this} somebody\n")
    living = board.root / f"session.{this.replace(' ', '.')}"
    for folder in (living, board.root / f"session.{'.'.join(owner.split()[:3])}"):
        folder.mkdir()
    done = cli("profile", bundle, "--target", "ssh://board")
    assert done.code == 0, done.err
    assert waited(lambda: not os.path.lexists(board.lock), 20)
    assert sorted(path.name for path in (board.root / "bundles").iterdir()) == ["kept", "living", "living.temporary"]
    assert sorted(board.root.iterdir()) == sorted([board.root / "bundles", living])


def test_power_on_a_jetson(board: Board, bundle: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    """A stand-in for tegrastats whose rail follows whether a runner is there, in lines as an Orin Nano writes them."""
    monkeypatch.setattr(profiling, "REST", 1.0)
    line = "RAM 2448/7620MB (lfb 4x4MB) SWAP 0/3810MB (cached 0MB) CPU [2%@729,off] cpu@46.5C"
    board.program(
        "tegrastats",
        f"while sleep 0.1; do if [ -e {board.home}/busy ]; then now=6000; else now=4000; fi; "
        f'echo "{line} VDD_IN ${{now}}mW/4587mW VDD_SOC 1446mW/1446mW"; done',
    )
    busy = json.dumps(MEASURED | {"cases": [MEASURED["cases"][0] | {"times_ms": [500.0, 500.0]}]})
    slow = stand_in(bundle.parent, f"touch $HOME/busy; sleep 1.5; rm $HOME/busy\ncat << 'EOF'\n{busy}\nEOF\n", "slow")
    done = cli("profile", slow, "--target", "ssh://board", "--json")
    assert done.code == 0, done.err
    power = json.loads(done.out)["results"][0]["measured"]["power"]
    assert power["rail"] == "VDD_IN"
    assert power["rails"]["VDD_IN"] == {"mean_mw": 6000.0, "idle_mw": 4000.0}
    assert power["rails"]["VDD_SOC"] == {"mean_mw": 1446.0, "idle_mw": 1446.0}
    assert power["energy_mj_per_call"] == 3000.0
    assert board.becomes_clean()
