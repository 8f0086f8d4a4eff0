"""Places that cannot be written: a full disk, a read-only one, a temporary folder that is gone, no cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.devices import sweep as sweep_module
from edgekit.errors import EdgekitError
from edgekit.export import native_files

from .cases import Export, Profile, Sweep, Train
from .commands import Commands

pytestmark = pytest.mark.slow


@pytest.fixture
def full(small_disk: Path) -> Path:
    """A folder on a disk without room."""
    (small_disk / "out").mkdir()
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(bytes(1 << 20))
    return small_disk / "out"


@pytest.fixture
def read_only(small_disk: Path) -> Path:
    """A folder on a disk that nothing can be written to."""
    (small_disk / "out").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    return small_disk / "out"


def run(commands: Commands, words: list[object]) -> tuple[int, str]:
    running = commands.start(words)
    return commands.wait(running), running.said()


def refused(commands: Commands, words: list[object], place: Path, says: str) -> None:
    """One sentence, nothing left."""
    code, said = run(commands, words)
    assert code in (1, 2), said
    assert said.count("\n") == 1, said
    assert says in said
    assert os.listdir(place) == []


def test_a_full_disk(commands: Commands, inputs: Path, full: Path) -> None:
    says = "the disk is full; free some space"
    refused(commands, Export(inputs).words(full), full, says)
    refused(commands, Train(inputs).words(full), full, says)
    refused(commands, Profile(inputs, commands.folder).words(full), full, says)
    rows = inputs / "rows.npy"
    np.save(rows, np.load(inputs / "pump.npz")["train"])
    refused(commands, ["run", inputs / "native", "--input", rows, "--output", full / "a.csv", "-q"], full, says)
    runner = subprocess.run(
        [str(inputs / "native" / "edgekit-run"), "--input", str(rows), "--output", str(full / "a.csv")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (runner.returncode, runner.stderr.count("\n")) == (1, 1), runner.stderr
    assert says in runner.stderr
    assert os.listdir(full) == []


def test_a_sweep_on_a_full_disk(full: Path, inputs: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    said = "edgekit: error: cannot write it: the disk is full; free some space.\n"
    monkeypatch.setattr(sweep_module, "run_program", lambda command: subprocess.CompletedProcess(command, 1, "", said))
    result = cli(*Sweep(inputs).words(full))
    assert result.code == 1
    assert "the disk is full" in result.err
    assert result.err.count("\n") == 1
    assert [path for path in full.rglob("*") if not path.is_dir()] == []


def test_a_read_only_disk(commands: Commands, inputs: Path, read_only: Path) -> None:
    says = "no permission to write there"
    for words in (
        Export(inputs).words(read_only),
        Train(inputs).words(read_only),
        Profile(inputs, commands.folder).words(read_only),
        Sweep(inputs).words(read_only),
    ):
        refused(commands, words, read_only, says)


def test_a_temporary_folder_that_does_not_exist(commands: Commands, inputs: Path, tmp_path: Path) -> None:
    """Another one is taken, as Python does; the device's lock has no place and says so."""
    nowhere = Commands(tmp_path / "places")
    shutil.rmtree(tmp_path / "places" / "tmp")
    before, commands.environment = commands.environment, nowhere.environment
    try:
        commands.run(Export(inputs).words(tmp_path / "out"))
        code, said = run(commands, Profile(inputs, tmp_path).words(tmp_path / "results"))
        assert code == 0 or (code == 1 and said.count("\n") == 1), said
    finally:
        commands.environment = before


def test_native_files_without_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(native_files, "cached", lambda architecture: tmp_path / "file" / "native" / architecture)
    with pytest.raises(EdgekitError, match=r"cannot write .*aarch64"):
        native_files.native_files("riscv64" if os.uname().machine == "aarch64" else "aarch64")
