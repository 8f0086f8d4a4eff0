"""Two commands into one folder at the same time: one does it, the other says so, or both one after the other."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edgekit.bundle import Bundle

from .cases import Export, Profile, Sweep, Train, tree
from .commands import Commands

pytestmark = pytest.mark.slow


def both(commands: Commands, first: list[object], second: list[object]) -> list[tuple[int, str]]:
    """Exit codes and what was said, of two that begin together."""
    running = [commands.start(first, log="first"), commands.start(second, log="second")]
    return [(commands.wait(one), one.said()) for one in running]


def test_exports(commands: Commands, inputs: Path, tmp_path: Path) -> None:
    words = [word for word in Export(inputs).words(tmp_path / "out") if word != "--force"]
    found = both(commands, words, words)
    (path,) = (tmp_path / "out").iterdir()
    Bundle.open(path)
    assert sorted(code for code, _ in found) in ([0, 0], [0, 1], [0, 2])
    for code, said in found:
        assert code == 0 or said.count("\n") == 1, said
    before = tree(path)
    forced = both(commands, [*words, "--force"], [*words, "--force"])
    assert [code for code, _ in forced] == [0, 0], forced
    assert os.listdir(tmp_path / "out") == [path.name]
    assert tree(path) == before


def test_trainings(commands: Commands, inputs: Path, tmp_path: Path) -> None:
    words = [*Train(inputs).words(tmp_path / "out"), "--epochs", 60]
    found = sorted(both(commands, [*words, "--seed", 1], [*words, "--seed", 2]))
    # 2 where one was done before the other looked.
    assert [code for code, _ in found] in ([0, 1], [0, 2]), found
    assert ("is being trained by another process" if found[1][0] == 1 else "exists: choose another") in found[1][1]
    assert sorted(os.listdir(tmp_path / "out")) == ["pump.graph.png", "pump.md", "pump.safetensors"]


def test_sweeps(commands: Commands, inputs: Path, tmp_path: Path) -> None:
    words = Sweep(inputs).words(tmp_path / "out")
    found = sorted(both(commands, words, words))
    # 0 where one was done before the other looked.
    assert [code for code, _ in found] in ([0, 0], [0, 1]), found
    assert found[1][0] == 0 or found[1][1].startswith("edgekit: error: another sweep is at work in ")
    assert sorted(os.listdir(tmp_path / "out")) == ["bundles", "jobs", "results.jsonl"]


def test_results_of_two_profiles_are_kept(commands: Commands, inputs: Path, tmp_path: Path) -> None:
    words = Profile(inputs, commands.folder).words(tmp_path)
    assert [code for code, _ in both(commands, [*words, "--warmup", 1], [*words, "--warmup", 2])] == [0, 0]
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["settings"]["warmup"] for line in lines) == [1, 2]
    assert os.listdir(tmp_path) == ["results.jsonl"]
