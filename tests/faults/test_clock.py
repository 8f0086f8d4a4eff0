"""A clock that jumps, in both directions, while a command works: the same bytes, and no negative times."""

from __future__ import annotations

import glob
import json
import time
from pathlib import Path

import pytest

from .cases import Export, Profile, Train, tree
from .commands import Commands

pytestmark = pytest.mark.slow


def library() -> str:
    """libfaketime, for LD_PRELOAD."""
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        pytest.skip("needs a clock that can be set: apt install faketime")
    return found[0]


def test_a_clock_that_jumps(commands: Commands, inputs: Path, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    # The clock that only counts goes on as it did, as with a real clock that is set.
    jumping = {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    usual, odd = tmp_path / "usual", tmp_path / "odd"
    for case in (Export(inputs), Train(inputs)):
        commands.run(case.words(usual / case.name))
    with Commands(tmp_path / "places", jumping, server=jumping) as other:
        cases = (Export(inputs), Train(inputs), Profile(inputs, tmp_path / "places"))
        for case, jumps in zip(cases, (["-50y", "+10y"], ["-3d", "+1h"], ["+1h", "-1h"] * 20), strict=True):
            clock.write_text("+0")
            running = other.start(case.words(odd / case.name))
            for jump in jumps:
                time.sleep(0.1)
                clock.write_text(jump)
            code = other.wait(running)
            assert (code, running.said()) == (0, "")
    for name in ("export", "train"):
        assert tree(odd / name) == tree(usual / name)
    (line,) = (odd / "profile" / "results.jsonl").read_text().splitlines()
    measured = json.loads(line)["measured"]
    assert measured["load_ms"] >= 0
    assert all(taken >= 0 for case in measured["cases"] for taken in case["times_ms"])
