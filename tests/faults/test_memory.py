"""A runner under a hard limit of what was predicted; `python -m tests.faults --kills 0 --memory BUNDLES` takes many."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .memory import bench, limited

pytestmark = pytest.mark.slow


def test_a_small_bundle(inputs: Path) -> None:
    if shutil.which("prlimit") is None:
        pytest.skip("needs prlimit: apt install util-linux")
    found = limited(inputs / "native")
    assert found.runs, found.said
    assert found.short_is_said, found.short_said
    tight = bench(inputs / "native", found.predicted // 10, 1)
    assert (tight.returncode, tight.stderr.count("\n")) == (1, 1), tight.stderr
    assert "memory" in tight.stderr
