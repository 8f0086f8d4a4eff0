"""What `edgekit-run --bench` counts of its memory, against shapes, file sizes and what the system says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edgekit
from edgekit import manifest
from edgekit_runtime import Session

MATRIX = 4 * 1024 * 1024
#: What a delegate keeps beside weights: graphs, operators, names.
SMALL = 200_000


@pytest.fixture
def measure(edgekit_run) -> Callable[..., dict[str, Any]]:
    """What a benchmark says of its memory."""

    def call(bundle: Path, *options: object) -> dict[str, Any]:
        done = edgekit_run(bundle, "--bench", 1, "--json", *options)
        assert (done.returncode, done.stderr) == (0, "")
        found: dict[str, Any] = json.loads(done.stdout)["memory"]
        return found

    return call


def check_peaks(found: dict[str, Any]) -> None:
    libraries = found["libraries"] or 0
    load, runs = (sum(found[name].values()) + libraries for name in ("after_load", "after_runs"))
    assert load <= found["peak_load"] <= found["peak"]
    # Methods' tensors are held one after the other.
    assert runs - found["after_runs"]["inputs_outputs"] <= found["peak_run"] <= found["peak"]
    assert found["peak"] == max(found["peak_load"], found["peak_run"])


def test_packed_weights_and_workspace(measure, wide_bundle):
    found = measure(wide_bundle)
    check_peaks(found)
    loaded, ran = found["after_load"], found["after_runs"]
    # Two methods, one packed copy; the pages of the file are given back.
    assert 2 * MATRIX <= loaded["delegate_packed_weights"] < 2 * MATRIX + SMALL
    assert loaded["weights"] < SMALL
    assert ran["delegate_packed_weights"] == loaded["delegate_packed_weights"]
    # While it is packed, the file's copy is there too.
    assert 4 * MATRIX <= found["peak_load"] - (found["libraries"] or 0) < 4 * MATRIX + 2_000_000
    # What goes from layer to layer.
    rows = 4 * 256 * 1024
    assert rows <= ran["delegate_workspace"] < rows + SMALL
    assert ran["inputs_outputs"] == 2 * rows
    assert (ran["state"], ran["operator_scratch"], loaded["delegate_workspace"]) == (0, 0, 0)


def test_one_method(measure, wide_bundle):
    small = Session(wide_bundle).methods[0]
    assert small.inputs[0].shape == (1, 1024)
    found = measure(wide_bundle, "--method", small.name)
    assert found["after_runs"]["inputs_outputs"] == 2 * 4 * 1024
    assert found["after_runs"]["delegate_workspace"] < 4 * 256 * 1024


@pytest.mark.parametrize("name", ["pump_bundle", "local_bundle", "text_bundle"])
def test_the_runtimes_own_parts(measure, request, name):
    """The arena, the state and the tensors are what the program plans; weights are mapped from it."""
    bundle = request.getfixturevalue(name)
    found, planned = measure(bundle), manifest.load(bundle)["memory"]
    check_peaks(found)
    for part, wanted in (("planned_arena", "planned_arena"), ("state", "state"), ("inputs_outputs", "inputs_outputs")):
        assert found["after_runs"][part] == planned[wanted], part
    program = (bundle / "program.pte").stat().st_size
    assert 0 < found["after_load"]["weights"] <= program + 65536
    assert found["after_runs"]["weights"] == found["after_load"]["weights"]


def test_what_is_resident(edgekit_run, request, wide_bundle, local_bundle, text_bundle):
    """The counted peak is the system's, but for pages of the file that were mapped and never read."""
    if "aarch64" in request.node.name:
        pytest.skip("the system of the emulated device is the emulator's")
    for bundle in (wide_bundle, local_bundle, text_bundle):
        done = edgekit_run(bundle, "--bench", 1, "--json")
        found = json.loads(done.stdout)["memory"]
        resident = found["resident"]
        untouched = found["after_runs"]["weights"] - resident["program"]
        assert untouched >= 0
        difference = found["peak"] - untouched - resident["peak"]
        assert abs(difference) < max(0.05 * resident["peak"], 2_000_000), (bundle.name, found)


def test_fixed_scales_are_not_shared(tmp_path):
    """Static int8: the same weights with other ranges of activations are packed for each method."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(64, 64, bias=False), torch.nn.ReLU()).eval()
    shapes = [(torch.rand(1, 64),), (torch.rand(2, 64),)]
    # The second method's answers are 30 times the first one's.
    inputs = [(torch.rand(1, 64),) for _ in range(20)] + [(30 * torch.rand(2, 64),) for _ in range(20)]
    bundle = edgekit.export_module(
        module, shapes, device="linux-x86_64", recipe="int8", calibration=inputs, output_dir=tmp_path, native=False
    )
    assert bundle.manifest["programs"][0]["share_packed_weights"] is False
    session = Session(bundle.path)
    for rows, scale in ((1, 1), (2, 30)):
        x = scale * torch.rand(rows, 64)
        (answer,) = session.run(x.numpy())
        with torch.no_grad():
            wanted = module(x).numpy()
        np.testing.assert_allclose(answer, wanted, atol=0.03 * np.abs(wanted).max())
