"""From which work on an operator goes to a GPU: the formula against times that are added up here, and its edges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.devices.gpu_work import COSTS, FOLLOWERS, UNITS, gpu_text, least_work
from edgekit.devices.profile import GPU_OPERATORS, DeviceProfile, list_profiles, load_profile

BOARDS = [profile for profile in list_profiles() if profile.gpu is not None]


def cpu(profile: DeviceProfile, name: str, work: float) -> float:
    """Seconds on the CPU at its peaks."""
    assert profile.peaks is not None
    assert profile.peaks.fp32_gflops is not None
    assert profile.memory.bandwidth_gb_per_s is not None
    cost = COSTS[name]
    arithmetic = work * cost.operations / (1e9 * profile.peaks.fp32_gflops)
    return max(arithmetic, work * cost.bytes / (1e9 * profile.memory.bandwidth_gb_per_s))


def gpu(profile: DeviceProfile, name: str, work: float) -> float:
    """Seconds on the GPU: a quarter of its arithmetic, two fifths of its bandwidth, 10 us a launch, 50 us to wait."""
    assert profile.gpu is not None
    assert profile.gpu.fp32_gflops is not None
    assert profile.memory.bandwidth_gb_per_s is not None
    cost = COSTS[name]
    arithmetic = work * cost.operations / (0.25e9 * profile.gpu.fp32_gflops)
    memory = work * cost.bytes / (0.4e9 * profile.memory.bandwidth_gb_per_s)
    return max(arithmetic, memory) + 1e-5 * cost.launches + 5e-5


@pytest.mark.parametrize("profile", BOARDS, ids=lambda profile: profile.name)
@pytest.mark.parametrize("name", COSTS)
def test_at_twice_the_crossover(profile: DeviceProfile, name: str) -> None:
    work = least_work(profile).values.get(name)
    if work is None:  # then it is slower there at any size
        assert gpu(profile, name, 1e15) > cpu(profile, name, 1e15)
        return
    assert gpu(profile, name, work / 2) <= cpu(profile, name, work / 2) * (1 + 1e-9)
    assert gpu(profile, name, work / 2.3) > cpu(profile, name, work / 2.3)  # two digits, rounded up
    assert gpu(profile, name, work) < cpu(profile, name, work)


@pytest.mark.parametrize("profile", BOARDS, ids=lambda profile: profile.name)
def test_boards_say_that_nothing_was_measured(profile: DeviceProfile) -> None:
    found = least_work(profile)
    assert found.source == "computed from the profile, not measured"
    assert set(found.values) <= set(GPU_OPERATORS) == set(UNITS)
    assert {"sea_estimate", "sparse_topk", "sparse_topk_attention", "kv_append"} <= set(found.values)
    # A step of one token stays where a synchronization costs more than the step.
    assert found.values["sea_estimate"] > 1
    for name, (neighbour, units) in FOLLOWERS.items():
        assert found.values[name] == units * found.values[neighbour]


def test_what_a_profile_gives_is_taken() -> None:
    jetson = load_profile("jetson")
    assert jetson.gpu is not None
    measured = replace(jetson, gpu=replace(jetson.gpu, least_work={"sparse_topk": 7}))
    assert least_work(measured).values == {"sparse_topk": 7}
    assert least_work(measured).source == "from the profile"
    assert least_work(replace(jetson, gpu=replace(jetson.gpu, least_work=None))).values == {}
    assert least_work(replace(jetson, gpu=None)).source == "no GPU"


def test_what_is_unknown_gives_no_threshold_and_is_named() -> None:
    jetson = load_profile("jetson")
    assert jetson.gpu is not None
    for changed, key in (
        (replace(jetson, peaks=None), "peaks.fp32_gflops"),
        (replace(jetson, memory=replace(jetson.memory, bandwidth_gb_per_s=None)), "memory.bandwidth_gb_per_s"),
        (replace(jetson, gpu=replace(jetson.gpu, fp32_gflops=None)), "gpu.fp32_gflops"),
    ):
        found = least_work(changed)
        assert (found.values, found.source) == ({}, f"not computed: the profile knows no {key}")


def test_a_slow_gpu_takes_nothing() -> None:
    jetson = load_profile("jetson")
    assert jetson.gpu is not None
    assert least_work(replace(jetson, gpu=replace(jetson.gpu, fp32_gflops=1.0))).values == {}


def test_the_page_has_these_figures() -> None:
    page = (Path(__file__).parents[2] / "docs" / "devices.md").read_text(encoding="utf-8")
    boards = [load_profile(name) for name in ("jetson-orin-nano", "jetson-agx-orin", "jetson-thor")]
    thresholds = [least_work(board).values for board in boards]
    for name in GPU_OPERATORS:
        cells = [f"{values[name]:,}" if name in values else "never" for values in thresholds]
        assert f"| `{name}` | {' | '.join(cells)} |" in page
    for board in boards:
        gpu = board.gpu
        assert gpu is not None
        line = (
            f"| {board.name} | {gpu.compute_capability} | {gpu.jetpack}, {gpu.cuda} | {gpu.multiprocessors} | "
            f"{gpu.shared_kb_per_multiprocessor} KB, {gpu.shared_kb_per_block} KB | "
            f"{board.memory.bandwidth_gb_per_s:g} GB/s |"
        )
        assert line in page


def test_in_a_sentence() -> None:
    part = {"compute_capability": "8.7", "cuda": "12.6", "least_work": {"sea_estimate": 62}, "source": "computed"}
    assert gpu_text("a-board", part) == (
        "GPU of a-board: sea_estimate from 62 rows of heads on (computed); "
        "the device needs its driver only (CUDA 12.6)."
    )
    assert "only where EDGEKIT_GPU=1 is set" in gpu_text("a-board", part | {"least_work": {}})
