"""A bundle that was exported for a memory budget runs under a hard limit of that size, and not under a third of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.bundle import Bundle

pytestmark = pytest.mark.slow

BUDGET = 40_000_000
CONTROLLER = Path("/sys/fs/cgroup")


@pytest.fixture(scope="module")
def bundle(plus_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small RPCANet of frames that take more than its libraries do, within the budget."""
    from edgekit.cli.main import run

    folder = tmp_path_factory.mktemp("budget")
    words = ["export", "rpcanet", "--checkpoint", plus_checkpoint, "--device", "linux-x86_64", "--size", "256x256"]
    assert run([str(word) for word in (*words, "--memory-budget", BUDGET, "--allow-drop", "-q", "-o", folder)]) == 0
    (made,) = folder.iterdir()
    return made


def bench(bundle: Path, *before: str) -> subprocess.CompletedProcess[str]:
    command = [*before, str(bundle / "edgekit-run"), "--bench", "2", "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_is_predicted_fits(bundle: Path) -> None:
    memory = Bundle.open(bundle).manifest["memory"]
    assert memory["budget"] == BUDGET
    assert memory["peak"] <= BUDGET
    done = bench(bundle)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["peak_memory_bytes"] <= BUDGET


def test_data_limit(bundle: Path) -> None:
    if shutil.which("prlimit") is None:
        pytest.skip("needs prlimit: apt install util-linux")
    assert bench(bundle, "prlimit", f"--data={BUDGET}").returncode == 0
    short = bench(bundle, "prlimit", f"--data={BUDGET // 10}")
    assert short.returncode == 1
    assert "memory" in short.stderr
    assert short.stderr.count("\n") == 1


@pytest.fixture
def limited() -> Iterator[Callable[[int], tuple[str, ...]]]:
    """What to put before a command so that it runs in a control group with so many bytes of memory."""
    version_1 = (CONTROLLER / "memory").is_dir()
    group = CONTROLLER / ("memory" if version_1 else "") / f"edgekit-test-{os.getpid()}"
    files = ("memory.limit_in_bytes",) if version_1 else ("memory.max",)
    try:
        group.mkdir()
        if not (group / files[0]).exists():
            raise OSError("no memory controller")
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"needs a memory control group that may be made here ({error})")

    def before(size: int) -> tuple[str, ...]:
        for name in files:
            (group / name).write_text(str(size))
        return "sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"

    yield before
    group.rmdir()


def test_control_group(bundle: Path, limited: Callable[[int], Any]) -> None:
    done = bench(bundle, *limited(BUDGET))
    assert done.returncode == 0, done.stderr
    assert bench(bundle, *limited(BUDGET // 10)).returncode != 0  # the kernel ends it
