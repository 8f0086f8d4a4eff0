"""Operators of a run beside those of the program: who is who, shares, and nothing twice."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from edgekit.bundle import Bundle
from edgekit.devices.alignment import align, align_events
from edgekit.devices.calibration import calibrate
from edgekit.devices.estimate import estimate
from edgekit.devices.operator_kinds import event_kind, family, onnx_kind, tflite_kind, xnnpack_kind
from edgekit.devices.operators import leaves, match_events, operator_rows
from edgekit.devices.profile import load_profile
from edgekit.devices.roofline import Roofline
from edgekit.devices.workload import KINDS, OWN_KINDS, Case, Operation
from edgekit.errors import EdgekitError
from edgekit.export.measured import machine_of, measured_cases
from edgekit.export.workload import read_workload


def node(name: str, kind: str, index: int, call: int | None = None, **fields: object) -> Operation:
    given = {"form": "", "place": "runtime", "precision": "fp32", "weight_bytes": 0, "read_bytes": 50}
    return Operation(name, kind, index=index, call=call, flops=100, written_bytes=50, **given | fields)  # type: ignore[arg-type]


def event(identity: int, kind: str, name: str, index: int, us: float, parent: int | None = None, **more: object):
    return {"id": identity, "parent": parent, "kind": kind, "name": name, "index": index, "p50_us": us, **more}


def test_the_longest_common_sequence_by_hand():
    first, second = "abcde", "xbdye"
    pairs = align(len(first), len(second), lambda i, j: int(first[i] == second[j]))
    assert [(first[i], second[j]) for i, j in pairs] == [("b", "b"), ("d", "d"), ("e", "e")]
    for (i, j), (k, n) in pairwise(pairs):
        assert i < k
        assert j < n


def test_a_better_pair_beats_two_worse_ones():
    scores = {(0, 0): 1, (1, 1): 1, (0, 1): 4}
    assert align(2, 2, lambda i, j: scores.get((i, j), 0)) == [(0, 1)]


def test_xnnpack_renames_merges_and_adds():
    # The clamp is merged into the convolution, the 1 x 1 convolution is a product, a transposition is XNNPACK's own.
    graph = [
        node("Conv2d", "convolution", 0, form="3x3"),
        node("Clamp", "elementwise", 1),
        node("Conv2d", "convolution", 2, form="1x1"),
        node("Sigmoid", "elementwise", 3),
        node("Multiply", "elementwise", 4),
    ]
    names = [
        "Transpose (ND, X32)",
        "Convolution (NHWC, F32) IGEMM",
        "Fully Connected (NC, F32) GEMM",
        "Sigmoid (NC)",
        "Multiply (ND)",
    ]
    found = align_events([(name, None, True) for name in names], graph)
    assert {place: operation.index for place, operation in found.items()} == {1: 0, 2: 2, 3: 3, 4: 4}


def test_names_of_operators():
    assert family("CONV_2D") == family("Conv2d") == family("Convolution (NHWC, F32) IGEMM") == "convolution"
    assert family("LOGISTIC") == family("Sigmoid (NC)") == "sigmoid"
    assert xnnpack_kind("Fully Connected (NC, QDU8, F32, QC8W) GEMM") == xnnpack_kind("FullyConnected") == "linear"
    assert xnnpack_kind("Mean (ND) Reduce2") == "pooling"
    assert tflite_kind("edgekit.sparse_topk?k=8") == "sparse_topk"
    assert onnx_kind("QLinearConv") == "convolution"
    assert event_kind("edgekit::kv_append.out", False) == "kv_append"
    assert event_kind("FULLY_CONNECTED", False) == "linear"


def test_shares_are_those_of_leaves():
    graph = (
        node("FullyConnected", "linear", 0, 0, place="delegate XnnpackBackend"),
        node("Add", "elementwise", 1, 0, place="delegate XnnpackBackend"),
        node("aten::select_copy.int_out", "movement", 1),
    )
    events = [
        event(0, "delegate", "XnnpackBackend", 0, 70),
        event(1, "inside", "Fully Connected (NC, F32) GEMM", 0, 40, 0),
        event(2, "inside", "Add (ND)", 1, 20, 0),
        event(3, "operator", "aten::select_copy.int_out", 1, 30),
    ]
    case = Case("forward", "forward", None, 1, "call", graph)
    rows = operator_rows({"operators": {"events": events}}, case, None)
    alone = leaves(rows)
    # The delegate's 70 us are 40 and 20 of its operators, and 10 of its own.
    assert [(row["name"], row["p50_us"]) for row in alone] == [
        ("Fully Connected (NC, F32) GEMM", 40),
        ("Add (ND)", 20),
        ("aten::select_copy.int_out", 30),
        ("XnnpackBackend (itself)", 10),
    ]
    assert sum(row["share"] for row in alone) == pytest.approx(1)
    assert rows[0]["share"] == pytest.approx(0.7)
    assert [row["parent"] for row in rows] == [None, 0, 0, None, 0]
    # 100 operations and 100 bytes in 40 us.
    assert alone[0]["gflops"] == pytest.approx(100 / 40e3)
    assert alone[0]["gb_per_s"] == pytest.approx(100 / 40e3)
    assert alone[0]["place"] == "delegate XnnpackBackend"
    assert alone[3]["flops"] is None


def test_onnx_runtime_runs_branches_in_another_order():
    graph = (
        node("Conv", "convolution", 0, node="node_conv2d", aliases=("conv2d", "relu")),
        node("Relu", "elementwise", 1, node="node_relu", aliases=("relu",)),
        node("Sigmoid", "elementwise", 2, node="node_sigmoid"),
        node("Sigmoid", "elementwise", 3, node="node_sigmoid_1"),
    )
    events = [
        event(0, "operator", "Conv", 9, 40, node="relu_nchwc"),
        event(1, "operator", "ReorderOutput", 10, 5, node="ReorderOutput"),
        event(2, "operator", "Sigmoid", 3, 6, node="node_sigmoid_1"),
        event(3, "operator", "Sigmoid", 2, 7, node="node_sigmoid"),
    ]
    found = match_events(events, Case("forward", "forward", None, 1, "call", graph))
    assert {identity: operation.index for identity, operation in found.items()} == {0: 0, 2: 3, 3: 2}


@pytest.mark.slow
def test_a_bundles_own_run(edgekit_run, int8_bundle):
    """Every operator of StackVAE-G is found in its run, with XNNPACK's names for them."""
    done = edgekit_run(int8_bundle, "--bench", 5, "--operators", "--json")
    assert done.returncode == 0, done.stderr
    (measured,) = json.loads(done.stdout)["cases"]
    case = read_workload(Bundle.open(int8_bundle)).cases["forward"]
    rows = operator_rows(measured, case, None)
    found = match_events(measured["operators"]["events"], case)
    assert sorted(map(id, found.values())) == sorted(map(id, case.operations))
    assert sum(row["flops"] or 0 for row in rows) == case.flops
    assert sum(row["share"] for row in leaves(rows)) == pytest.approx(1)
    assert {row["kind"] for row in rows} <= {*KINDS, *OWN_KINDS}
    linear = [row for row in rows if row["kind"] == "linear"]
    assert all("Fully Connected" in row["name"] for row in linear)
    # The products are what takes time: seven of them, 8.28 million operations.
    assert sum(row["flops"] for row in linear) == 8_280_960


@pytest.mark.slow
def test_a_bundle_is_estimated_by_its_own_run(edgekit_run, int8_bundle):
    """From a result to a calibration, and back to about the time that was measured."""
    done = edgekit_run(int8_bundle, "--bench", 20, "--operators", "--json")
    measured = json.loads(done.stdout)
    bundle = Bundle.open(int8_bundle)
    workload = read_workload(bundle)
    result = {
        "bundle": {"name": bundle.name, "sha256": bundle.manifest["sha256"]},
        "target": {"emulated": False},
        "measured": measured,
        "operators": {
            case["name"]: operator_rows(case, workload.cases[case["name"]], None) for case in measured["cases"]
        },
    }
    profile = load_profile("raspberry-pi-5")
    cases = list(measured_cases([result], int8_bundle.parent))
    made = calibrate(cases, Roofline.of(profile), machine_of(profile), "", "")
    assert made.classes["pte/linear/int8/rows"].count == 5
    (guess,) = estimate(workload, profile, made)["cases"]
    assert guess["p50_ms"] == pytest.approx(cases[0].total_us / 1e3, rel=0.5)
    assert not list(measured_cases([result | {"target": {"emulated": True}}], int8_bundle.parent))
    other = result | {"bundle": {"name": bundle.name, "sha256": "another"}}
    with pytest.raises(EdgekitError, match="is another bundle than was measured"):
        list(measured_cases([other], int8_bundle.parent))
