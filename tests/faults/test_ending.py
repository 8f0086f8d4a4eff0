"""Commands ended at random moments: a few here; `python -m tests.faults` has the long version."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .cases import all_cases
from .commands import Commands
from .ending import end_again_and_again

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "count"), [("export", 2), ("train", 4), ("explain fit", 3), ("profile", 3), ("sweep", 2)]
)
def test_killed(name: str, count: int, commands: Commands, inputs: Path) -> None:
    tally = end_again_and_again(commands, all_cases(inputs, commands.folder)[name], count, seed=1)
    assert tally.ended == count


@pytest.mark.skipif(
    "EDGEKIT_FAULTS" not in os.environ, reason="not run for long enough to be in CI yet: EDGEKIT_FAULTS=1"
)
@pytest.mark.parametrize(("name", "count"), [("export", 2), ("train", 4), ("profile", 3)])
def test_interrupted(name: str, count: int, commands: Commands, inputs: Path) -> None:
    tally = end_again_and_again(commands, all_cases(inputs, commands.folder)[name], count, seed=2, interrupt=True)
    assert tally.ended == count
