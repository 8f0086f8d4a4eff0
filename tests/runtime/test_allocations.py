"""What a session allocates in a run, counted by the library that asks for the memory."""

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
