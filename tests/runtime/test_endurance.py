"""Memory does not grow with runs, nor with sessions that are opened and closed: the short version of
`python -m tests.benchmarks.endurance`."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..benchmarks.endurance import SLACK, endure, measure

BUNDLES = Path(__file__).parents[1] / "fuzz" / "bundles"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["anomalies", "segment", "text"])
def test_no_growth(name: str):
    for growth in endure(BUNDLES / name, 1000, 50):
        assert growth.malloc_bytes <= SLACK, growth


def test_growth_is_seen():
    kept: list[bytearray] = []
    assert measure(BUNDLES, "kept", 50, lambda: kept.append(bytearray(4096))).malloc_bytes > SLACK
