"""What a session allocates in a run, a text in a step and a stream of rows, counted by the library that asks for it."""

from __future__ import annotations

import pytest

from edgekit_runtime import Session

pytestmark = pytest.mark.slow

RUNS = 40


@pytest.mark.parametrize(
    ("bundle", "method"),
    [("pump_bundle", "forward_b1"), ("pump_bundle", "forward_b8"), ("int8_bundle", None), ("local_bundle", None)],
)
def test_a_run_allocates_nothing(built, request, bundle, method):
    path = request.getfixturevalue(bundle)
    method = method or Session(path).methods[0].name
    found = built("host").compare_module(path, method, RUNS)
    # ExecuTorch's Module makes a vector of outputs in every run: what is allocated is counted.
    assert found["module"]["allocations"]["libexecutorch.so"] >= RUNS
    ours = {name: count for name, count in found["session"]["allocations"].items() if "edgekit" in name}
    assert ours == {}


@pytest.mark.parametrize("feature", [(), ("1:2",)])
def test_a_step_allocates_nothing(built, explained_bundle, feature):
    """Once a text has gone on as far: neither what is steered and explained."""
    found = built("host").count_steps(explained_bundle, "the red cat sees the old house", 40, *feature)
    assert {name: count for name, count in found.items() if "edgekit" in name} == {}


@pytest.mark.parametrize("together", [1, 8, 20])
def test_a_stream_of_rows_allocates_nothing(built, pump_bundle, together):
    found = built("host").count_rows(pump_bundle, together)
    assert {name: count for name, count in found.items() if "edgekit" in name or "count_rows" in name} == {}
