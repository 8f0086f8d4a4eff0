"""The commands of the how-to pages, run as they stand there, one after the other, from a checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..devices.loopback import Board, new_board
from ..machines import missing
from .arm64_programs import UNAVAILABLE

ROOT = Path(__file__).parents[2]
LAUNCHER = Path(__file__).with_name("arm64_programs.py")
WRITTEN = ("build", "bundles", "dist", "results", "runs")
#: In docs/. Those of `ON_A_BOARD` log in to a host `board`.
PAGES = ("embed-in-cpp.md", "extending.md", "signing.md", "android.md")
ON_A_BOARD = ("jetson.md", "raspberry-pi.md")
#: What a page needs that not every machine has: a program, and its package.
NEEDED = {"android.md": ("javac", "openjdk-17-jdk-headless")}

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with everything of the checkout, to which commands may write."""
    folder = tmp_path / "edgekit"
    folder.mkdir()
    for entry in ROOT.iterdir():
        # What commands write lies elsewhere than a developer's own.
        if not entry.name.startswith(".") and entry.name not in WRITTEN:
            (folder / entry.name).symlink_to(entry)
    return folder


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """An arm64 board: programs for it run in an emulator, as if they were the system's own."""
    if reason := missing():
        pytest.skip(reason)
    tried = subprocess.run([sys.executable, LAUNCHER, tmp_path, "true"], capture_output=True, text=True, check=False)
    if tried.returncode == UNAVAILABLE:
        pytest.skip(tried.stderr.strip())
    launcher = (sys.executable, str(LAUNCHER), str(tmp_path / "board" / "home"))
    variables = {"QEMU_LD_PREFIX": "/usr/aarch64-linux-gnu", "QEMU_CPU": "cortex-a76"}
    board = new_board(tmp_path / "board", monkeypatch, launcher, variables)
    board.program("uname", 'if [ "$*" = -m ]; then echo aarch64; else exec /usr/bin/uname "$@"; fi')
    try:
        yield board
    finally:
        board.stop()


def follow(page: str, checkout: Path) -> str:
    """Runs the page's commands in one shell; gives what they printed."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {name: value for name, value in os.environ.items() if name != "EDGEKIT_DATA"} | {"PATH": tools}
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", "\n".join(blocks)],
        cwd=checkout,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{page}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page(page: str, checkout: Path):
    program, package = NEEDED.get(page, ("bash", "bash"))
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}: apt install {package}")
    follow(page, checkout)


@pytest.mark.parametrize("page", ON_A_BOARD)
def test_the_commands_of_a_page_about_a_board(page: str, checkout: Path, board: Board):
    follow(page, checkout)
    written = {"jetson.md": "scores.csv", "raspberry-pi.md": "objects.json"}[page]
    assert (checkout / written).read_bytes() == (board.home / written).read_bytes()
