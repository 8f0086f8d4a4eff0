"""From which size on an operator goes to a GPU that shares the CPU's memory: computed from a profile, not measured.

An operator of w units of work (`Cost.unit`) takes at least

    on the CPU   w * c,  c = max(operations / peak of the CPU, bytes / bandwidth)
    on the GPU   fixed + w * g,  g = max(operations / (ARITHMETIC_SHARE * peak of the GPU), bytes / (MEMORY_SHARE *
                 bandwidth)),  fixed = launches * LAUNCH_US + HAND_OVER_US

which are equal at w = fixed / (c - g). The threshold is `MARGIN` times that, and none where c <= g. The CPU is taken at
its peaks and the GPU at a part of them, so that what is uncertain makes the threshold too high, which loses speed but
never makes a program slower than on the CPU alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.devices.profile import COMPUTED, DeviceProfile
from edgekit.devices.roofline import missing_key

#: What a kernel is counted on to reach of a GPU's peak in arithmetic and of its bandwidth. Assumed; the latter is what
#: edgekit asks of sparse_topk on a large GPU.
ARITHMETIC_SHARE, MEMORY_SHARE = 0.25, 0.4
#: Microseconds to launch a kernel, and to wait for a GPU and go on. No data sheet has them: assumed, on the high side.
LAUNCH_US, HAND_OVER_US = 10.0, 50.0
#: How many times as large as where both take the same time.
MARGIN = 2.0
#: Significant digits of a threshold, which is rounded up.
DIGITS = 2


@dataclass(frozen=True)
class Cost:
    """What a unit of an operator's work costs.

    Attributes:
        unit: what is counted, in the plural.
        operations: as a peak counts them. Measured: the time of a unit on one core of an AMD EPYC (AVX2) times that
            core's rate in torch's product of matrices, of several shapes the cheapest.
        bytes: that a unit must move.
        launches: kernels of a call.
    """

    unit: str
    operations: float
    bytes: float
    launches: int


COSTS: Mapping[str, Cost] = {
    # (2048, 3072, 96): 0.79 ns at 98.8 GFLOP/s; shorter rows cost more.
    "sparse_topk": Cost("numbers", 77, 4, 1),
    # 128 rows of 4 heads: 0.121 ns. Neighbouring rows choose the same tokens: four are counted to a reading.
    "sparse_topk_attention": Cost("numbers of the cache", 12, 1, 2),
    # 4 heads of 64, 256 cells, 128 rows: 9.46 us a row. With more heads each costs more. It reads its weights once for
    # many rows.
    "sea_estimate": Cost("rows of heads", 234_000, 0, 6),
    # 2048 x 2048, 102 entries a row, 64 columns. An entry of 12 bytes is counted to 12 columns: with few of them both
    # sides only read memory. It pays on none of the boards that ship.
    "csr_matmul": Cost("multiplications", 4.5, 1, 1),
}
#: Operators that never pay by themselves, since both sides only move memory, and go where their neighbour goes: its
#: name, and the units of theirs to one of its. A row of a head has 64 numbers.
FOLLOWERS: Mapping[str, tuple[str, int]] = {"kv_append": ("sea_estimate", 64)}
#: What work counts, by operator.
UNITS: Mapping[str, str] = {name: cost.unit for name, cost in COSTS.items()} | {"kv_append": "numbers"}


@dataclass(frozen=True)
class LeastWork:
    """A device's thresholds.

    Attributes:
        values: by operator, the work from which it goes to the GPU; operators that are not in it stay on the CPU.
        source: "computed from the profile, not measured", "from the profile", or why there are none.
    """

    values: Mapping[str, int]
    source: str


def least_work(profile: DeviceProfile) -> LeastWork:
    """A profile's thresholds: those that it gives, or computed ones where it says `least_work = "computed"`."""
    gpu = profile.gpu
    if gpu is None:
        return LeastWork({}, "no GPU")
    if gpu.least_work is None:
        return LeastWork({}, "the profile gives no gpu.least_work")
    if gpu.least_work != COMPUTED:
        assert not isinstance(gpu.least_work, str)
        return LeastWork(dict(gpu.least_work), "from the profile")
    missing = missing_key(profile) or ("gpu.fp32_gflops" if gpu.fp32_gflops is None else None)
    if missing is not None:
        return LeastWork({}, f"not computed: the profile knows no {missing}")
    found = {name: work for name in COSTS if (work := _threshold(profile, COSTS[name])) is not None}
    for name, (neighbour, units) in FOLLOWERS.items():
        if neighbour in found:
            found[name] = units * found[neighbour]
    return LeastWork(dict(sorted(found.items())), "computed from the profile, not measured")


def gpu_text(device: str, part: Mapping[str, Any]) -> str:
    """A manifest's `gpu` in a sentence.

    Args:
        device: the profile's name.
        part: as `edgekit.export.gpu` makes it.
    """
    found = [f"{name} from {work:,} {UNITS[name]} on" for name, work in sorted(part["least_work"].items())]
    used = f"{', '.join(found)}" if found else "used only where EDGEKIT_GPU=1 is set"
    return f"GPU of {device}: {used} ({part['source']}); the device needs its driver only (CUDA {part['cuda']})."


def cpu_us(profile: DeviceProfile, cost: Cost) -> float:
    """The least that a unit can take on the CPU; the profile knows its peaks."""
    peaks, bandwidth = profile.peaks, profile.memory.bandwidth_gb_per_s
    assert peaks is not None
    assert peaks.fp32_gflops is not None
    assert bandwidth is not None
    return max(cost.operations / peaks.fp32_gflops, cost.bytes / bandwidth) / 1e3


def gpu_us(profile: DeviceProfile, cost: Cost) -> float:
    """What a unit is counted to take on the GPU at most, beside `fixed_us`."""
    gpu, bandwidth = profile.gpu, profile.memory.bandwidth_gb_per_s
    assert gpu is not None
    assert gpu.fp32_gflops is not None
    assert bandwidth is not None
    return max(cost.operations / (ARITHMETIC_SHARE * gpu.fp32_gflops), cost.bytes / (MEMORY_SHARE * bandwidth)) / 1e3


def fixed_us(cost: Cost) -> float:
    """What a call is counted to take on the GPU, whatever its size."""
    return cost.launches * LAUNCH_US + HAND_OVER_US


def _threshold(profile: DeviceProfile, cost: Cost) -> int | None:
    gain = cpu_us(profile, cost) - gpu_us(profile, cost)
    return None if gain <= 0 else _rounded_up(MARGIN * fixed_us(cost) / gain)


def _rounded_up(value: float) -> int:
    """The next number of `DIGITS` significant digits."""
    step = 10 ** max(0, math.ceil(math.log10(value)) - DIGITS)
    return math.ceil(value / step) * step
