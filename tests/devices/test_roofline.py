"""Rooflines and estimates of machines that are made up, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.devices.calibration import Measured, calibrate, load_calibration
from edgekit.devices.estimate import estimate
from edgekit.devices.operators import operator_rows
from edgekit.devices.profile import CacheProfile, PeaksProfile, load_profile
from edgekit.devices.roofline import Level, Roofline, held_bytes, with_reference
from edgekit.devices.workload import Case, Operation, Workload
from edgekit.errors import EdgekitError

#: 100 GFLOP/s; a cache of 1 MB with 50 GB/s, then 10 GB/s; 2 us to begin.
MACHINE = Roofline({"fp32": 100.0, "fp16": 200.0, "int8": 400.0}, (Level(1_000_000, 50.0),), 10.0, 2.0, "measured")


def operation(flops: int, weights: int = 0, read: int = 0, written: int = 0, **fields: object) -> Operation:
    given = {"name": "Add", "kind": "elementwise", "form": "", "place": "edgekit", "precision": "fp32", "index": 0}
    return Operation(**given | fields, flops=flops, weight_bytes=weights, read_bytes=read, written_bytes=written)  # type: ignore[arg-type]


def workload(*operations: Operation, format: str = "pte") -> Workload:
    case = Case("forward", "forward", None, 1, "call", operations)
    return Workload("bundle", format, {"forward": case})


def test_time_by_arithmetic_and_by_memory():
    # 10^9 operations at 10^11 a second are 10 ms; 40 KB from the cache at 50 GB/s are 0.8 us.
    product = operation(10**9, read=20_000, written=20_000)
    assert MACHINE.least_us(product, 0) == pytest.approx(10_000)
    assert MACHINE.bound(product, 0) == "compute"
    # In bytes it is four times as fast.
    assert MACHINE.least_us(replace(product, precision="int8"), 0) == pytest.approx(2_500)
    # 2 MB are in no cache: at 10 GB/s 200 us.
    copy = operation(1000, read=1_000_000, written=1_000_000)
    assert MACHINE.least_us(copy, 0) == pytest.approx(200)
    assert MACHINE.bound(copy, 0) == "memory"
    # 100 numbers: less than it takes to begin.
    assert MACHINE.bound(operation(100, read=400, written=400), 0) == "overhead"


def test_weights_come_from_where_the_whole_call_fits():
    # 100 KB of weights; the activations are in the cache, the weights are not where a call touches 5 MB.
    layer = operation(0, weights=100_000, read=5_000)
    assert MACHINE.least_us(layer, 500_000) == pytest.approx(105_000 / 50e3)
    assert MACHINE.least_us(layer, 5_000_000) == pytest.approx(5_000 / 50e3 + 100_000 / 10e3)


def test_what_a_call_holds():
    case = workload(operation(0, 100, 10, 20), operation(0, 200, 40, 50)).cases["forward"]
    assert held_bytes(case) == 300 + 90


def test_a_profile_without_a_figure_names_the_key():
    profile = load_profile("linux-x86_64")
    with pytest.raises(EdgekitError, match=r"linux-x86_64 has no peaks\.fp32_gflops: run `edgekit devices measure`"):
        Roofline.of(profile)
    board = load_profile("raspberry-pi-5")
    unknown = replace(board, memory=replace(board.memory, bandwidth_gb_per_s=None))
    with pytest.raises(EdgekitError, match=r"memory\.bandwidth_gb_per_s"):
        Roofline.of(unknown)


def test_a_boards_roofline():
    roofline = Roofline.of(load_profile("raspberry-pi-5"))
    assert roofline.gflops == {"fp32": 153.6, "fp16": 307.2, "int8": 614.4}
    # Four cores have 64 KB and 512 KB each, and share 2 MB.
    assert [level.capacity for level in roofline.levels] == [4 * 64 * 1024, 4 * 512 * 1024, 2048 * 1024]
    assert roofline.source == "profile raspberry-pi-5"
    assert roofline.bandwidth(1000) == roofline.memory_gb_per_s == 17
    # What is not published is as fast, for what the board computes, as on another machine.
    borrowed = with_reference(roofline, MACHINE)
    assert borrowed.bandwidth(1000) == pytest.approx(50 * 1.536)
    assert borrowed.bandwidth(10**9) == 17


def test_peaks_as_the_runner_measures_them():
    level = {"read_gb_per_s": 80.0, "triad_gb_per_s": 100.0}
    peaks = {
        "threads": 4,
        "peaks": {"fp32": {"giga_per_s": 50.0}, "fp16": None, "int8": {"giga_per_s": 90.0}},
        "caches": [{"kb": 32, "cores": 2, "level": 1, **level}],
        "memory": {"read_gb_per_s": 9.0, "triad_gb_per_s": 8.0},
        "handover_us": 3.0,
        "call_us": 0.5,
    }
    found = Roofline.of_peaks(peaks)
    assert found.gflops == {"fp32": 50.0, "fp16": 50.0, "int8": 90.0}
    assert found.levels == (Level(2 * 32 * 1024, 100.0),)
    assert (found.memory_gb_per_s, found.launch_us) == (9.0, 3.5)


def timed(flops: int, microseconds: float, index: int) -> tuple[Operation, dict[str, object]]:
    """An operator, and the event of its run."""
    event = {"id": index, "parent": None, "kind": "operator", "name": "edgekit::conv2d.out", "index": index}
    ours = operation(flops, name="edgekit::conv2d.out", kind="conv2d", form="3x3", index=index)
    return ours, event | {"p50_us": microseconds, "start_us": 0.0, "calls": 1}


def test_calibration_finds_efficiency_and_overhead():
    # At half of the peak, and 3 us for each: 10^6 operations are 10 us at least, 23 us in fact.
    sizes = [10**5, 10**6, 3 * 10**6, 10**7, 4 * 10**7]
    pairs = [timed(size, 2 * size / 1e5 + 3, index) for index, size in enumerate(sizes)]
    load = workload(*(pair[0] for pair in pairs))
    case, events = load.cases["forward"], [pair[1] for pair in pairs]
    rows = operator_rows({"operators": {"events": events}}, case, MACHINE)
    total = sum(float(str(event["p50_us"])) for event in events)
    profile = measured_profile()
    machine = {"title": "made up", "cpu": profile.cpu.model, "cores": profile.cpu.cores, "clock_ghz": 2.0}
    made = calibrate([Measured("bundle", "pte", case, total, rows)], MACHINE, machine, "2026-01-01", "none")
    fit, step = made.fit("pte", case.operations[0])
    assert step == 0
    assert fit.efficiency == pytest.approx(0.5, rel=0.02)
    assert fit.overhead_us == pytest.approx(3, rel=0.15)
    # Another size is then known: 2 * 10^7 operations take 403 us.
    other = workload(operation(2 * 10**7, name="edgekit::conv2d.out", kind="conv2d", form="3x3"))
    (guess,) = estimate(other, profile, made)["cases"]
    assert guess["p50_ms"] == pytest.approx(0.403, rel=0.02)
    assert guess["low_ms"] < guess["p50_ms"] < guess["high_ms"]
    assert guess["kinds"]["conv2d"] == pytest.approx(guess["p50_ms"], rel=0.02)
    # The same for a machine of half the speed, with a wider range.
    slow = replace(profile, cpu=replace(profile.cpu, model="another"), peaks=replace(profile.peaks, fp32_gflops=50.0))
    (slower,) = estimate(other, slow, made)["cases"]
    assert slower["p50_ms"] == pytest.approx(0.803, rel=0.02)
    assert slower["high_ms"] / slower["low_ms"] > 1.5 * guess["high_ms"] / guess["low_ms"]
    assert "another CPU" in estimate(other, slow, made)["calibration"]


def test_a_calibration_is_the_same_after_it_was_written(tmp_path):
    ours, event = timed(10**6, 40.0, 0)
    case = workload(ours).cases["forward"]
    rows = operator_rows({"operators": {"events": [event]}}, case, MACHINE)
    made = calibrate([Measured("one", "pte", case, 40.0, rows)], MACHINE, {"cpu": "x", "cores": 2}, "today", "do it")
    path = tmp_path / "calibration.json"
    path.write_text(made.to_json(), encoding="utf-8")
    again = load_calibration(path)
    assert again.to_json() == made.to_json()
    path.write_text('{"schema": 99}', encoding="utf-8")
    with pytest.raises(EdgekitError, match="no calibration of schema 1"):
        load_calibration(path)


def test_operators_that_a_runtime_merges_take_no_time():
    ours, event = timed(10**6, 40.0, 0)
    merged = operation(10**6, read=8_000_000, kind="quantize", name="Convert", index=1)
    case = workload(ours, merged).cases["forward"]
    rows = operator_rows({"operators": {"events": [event]}}, case, MACHINE)
    made = calibrate([Measured("one", "pte", case, 40.0, rows)], MACHINE, {"cpu": "x", "cores": 2}, "", "")
    fit, _ = made.fit("pte", merged)
    assert fit.ran == 0
    (guess,) = estimate(workload(ours, merged), measured_profile(), made)["cases"]
    assert guess["p50_ms"] == pytest.approx(0.04, rel=0.02)


def test_a_program_for_a_gpu_is_estimated_on_the_cpu_and_says_so():
    ours, event = timed(10**6, 40.0, 0)
    load = workload(ours)
    rows = operator_rows({"operators": {"events": [event]}}, load.cases["forward"], MACHINE)
    measured = Measured("one", "pte", load.cases["forward"], 40.0, rows)
    made = calibrate([measured], MACHINE, {"cpu": "x", "cores": 2}, "", "")
    text = estimate(replace(load, gpu=True), load_profile("jetson-orin-nano"), made)["calibration"]
    assert "of the CPU alone" in text
    assert "theoretical" in text


def test_what_runs_on_one_core_is_not_faster_on_more():
    ours, event = timed(10**6, 40.0, 0)
    alone = replace(ours, name="aten::conv2d.out", kind="convolution", place="runtime")
    load = workload(alone)
    rows = operator_rows(
        {"operators": {"events": [event | {"name": "aten::conv2d.out"}]}}, load.cases["forward"], MACHINE
    )
    profile = measured_profile()
    machine = {"cpu": profile.cpu.model, "cores": 4}
    made = calibrate([Measured("one", "pte", load.cases["forward"], 40.0, rows)], MACHINE, machine, "", "")
    # Twice the cores, and the same peaks: each of them is half as fast.
    wide = replace(profile, cpu=replace(profile.cpu, cores=8))
    (here,), (there,) = estimate(load, profile, made)["cases"], estimate(load, wide, made)["cases"]
    assert there["p50_ms"] == pytest.approx(2 * here["p50_ms"], rel=0.01)


def measured_profile():
    """A machine of MACHINE's peaks, as a profile."""
    board = load_profile("raspberry-pi-5")
    return replace(
        board,
        memory=replace(board.memory, bandwidth_gb_per_s=10.0),
        peaks=PeaksProfile("measured", 100.0, 200.0, 400.0, 2.0),
        caches=(CacheProfile(1, 1000 * 1000 // 1024, board.cpu.cores or 1, 50.0),),
    )
