"""How long a bundle takes on a device that is not at hand: from the profile's roofline and a calibration elsewhere."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from edgekit.devices.calibration import Calibration
from edgekit.devices.profile import DeviceProfile
from edgekit.devices.roofline import Roofline, held_bytes, with_reference
from edgekit.devices.workload import Case, Operation, Workload

#: How much wider a range gets: for each step to a wider class, and for a CPU that nothing was measured on.
_WIDER_CLASS, _OTHER_CPU = 1.1, 1.6
#: Even where all was measured on this very machine: runs differ.
_LEAST_SPREAD = 1.15


def estimate(
    workload: Workload, profile: DeviceProfile, calibration: Calibration, measured: Roofline | None = None
) -> dict[str, Any]:
    """A result's field "estimated": milliseconds of each case as a range, and by kind of operator.

    Args:
        workload: of the bundle.
        profile: of the device; its CPU with all cores is what is estimated.
        calibration: how near operators come to a roofline.
        measured: the device's roofline where it is known better than by the profile.

    Raises:
        EdgekitError: the profile lacks a figure; names the key.
    """
    roofline = measured or with_reference(Roofline.of(profile), calibration.roofline)
    same = is_calibrated(profile, calibration)
    cases = [_case(case, workload.format, roofline, profile, calibration, same) for case in workload.cases.values()]
    return {"device": profile.name, "cases": cases, "calibration": _text(workload, profile, calibration, same)}


def is_calibrated(profile: DeviceProfile, calibration: Calibration) -> bool:
    """Whether a profile's CPU is the one that the calibration was measured on."""
    machine = calibration.machine
    return (machine.get("cpu"), machine.get("cores")) == (profile.cpu.model, profile.cpu.cores)


def is_alone(format: str, operation: Operation) -> bool:
    """Whether an operator runs on one core: ExecuTorch's own kernels do."""
    return format == "pte" and operation.place == "runtime"


def overhead_ratio(profile: DeviceProfile, calibration: Calibration) -> float:
    """How much longer it takes there to begin something: by measured launches, else by clocks."""
    reference, there = calibration.roofline.launch_us, profile.peaks.launch_us if profile.peaks else None
    if reference and there:
        return there / reference
    clock = calibration.machine.get("clock_ghz")
    return float(clock) / profile.cpu.clock_ghz if clock and profile.cpu.clock_ghz else 1.0


def _case(
    case: Case, format: str, roofline: Roofline, profile: DeviceProfile, calibration: Calibration, same: bool
) -> dict[str, Any]:
    held = held_bytes(case)
    ratio = 1.0 if same else overhead_ratio(profile, calibration)
    # What runs on one core is not faster where there are more; efficiencies are of all cores of the calibrated machine.
    cores = 1.0 if same else (profile.cpu.cores or 1) / (calibration.machine.get("cores") or 1)
    kinds: defaultdict[str, float] = defaultdict(float)
    low = middle = high = 0.0
    for operation in case.operations:
        fit, steps = calibration.fit(format, operation)
        least = roofline.least_us(operation, held) * (cores if is_alone(format, operation) else 1.0)
        time = fit.ran * (least / fit.efficiency + ratio * fit.overhead_us)
        wider = _WIDER_CLASS**steps * (1.0 if same else _OTHER_CPU)
        kinds[operation.kind] += time
        middle += time
        low += time * fit.low / wider
        high += time * fit.high * wider
    rest = calibration.rest(format)
    beside = ratio * (rest.call_us + rest.operator_us * len(case.operations)) + rest.share * middle
    total = middle + beside
    low = min(low + beside, total / _LEAST_SPREAD)
    high = max(high + beside, total * _LEAST_SPREAD)
    kinds["other"] += beside
    return {
        "name": case.name,
        "low_ms": low / 1e3,
        "p50_ms": total / 1e3,
        "high_ms": high / 1e3,
        "items": case.items,
        "unit": case.unit,
        "kinds": {kind: time / 1e3 for kind, time in sorted(kinds.items(), key=lambda pair: -pair[1])},
    }


def _text(workload: Workload, profile: DeviceProfile, calibration: Calibration, same: bool) -> str:
    machine = calibration.machine
    text = f"calibrated on {machine.get('title', 'a machine')} ({machine.get('cores')} cores), {calibration.date}"
    if not same:
        text += "; another CPU, so the range is wide"
    assert profile.peaks is not None
    if profile.peaks.source != "measured":
        text += "; peaks are theoretical, caches and launches as there for what it computes"
    if workload.gpu:
        text += "; of the CPU alone: the program is for the GPU, of which nothing is estimated"
    return text
