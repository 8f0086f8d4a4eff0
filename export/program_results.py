"""Results with what a bundle's program says: the arena step by step, rates reached, operators; or an estimate alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgekit.bundle import Bundle
from edgekit.devices.calibration import load_calibration
from edgekit.devices.estimate import estimate
from edgekit.devices.operators import operator_rows
from edgekit.devices.profile import DeviceProfile, load_profile
from edgekit.devices.results import new_result
from edgekit.devices.roofline import Roofline, missing_key
from edgekit.devices.workload import Workload
from edgekit.errors import EdgekitError
from edgekit.export.timeline import bundle_timeline, compact
from edgekit.export.workload import read_workload


def complete(result: Mapping[str, Any], bundle: Bundle) -> dict[str, Any]:
    """What `edgekit.devices.profiling` gave, with what follows from the bundle's program file.

    Each measured case gets `gflops` and `gb_per_s`: what the program computes and moves in a call, by the median time;
    null where a GPU may have done it. The runner's own `operators` become the result's `operators`.

    Raises:
        EdgekitError: the program file is damaged.
    """
    workload = read_workload(bundle)
    roofline = _roofline(result, bundle)
    cases, operators = [], {}
    for case in result["measured"]["cases"]:
        work = workload.cases.get(case["name"])
        traced = case.get("operators")
        kept = {name: value for name, value in case.items() if name != "operators"}
        if traced is not None and work is not None:
            operators[case["name"]] = operator_rows(case, work, roofline)
            kept |= {"traced_p50_ms": traced["p50_ms"], "untraced_p50_ms": traced["untraced_p50_ms"]}
        cases.append(kept | _reached(case, workload))
    return {
        **result,
        "measured": result["measured"] | {"cases": cases},
        "operators": operators or None,
        "roofline": None if roofline is None else roofline.to_dict(),
        "arena": _arena(bundle),
    }


def estimated(bundle: Bundle, device: str | None) -> dict[str, Any]:
    """A result of a bundle that was not run: its times on a device, from the device's profile alone.

    Args:
        bundle: of any device.
        device: name or file of a profile; None for the bundle's own.

    Raises:
        UsageError: there is no such profile.
        EdgekitError: it does not say what is needed, or the program file is damaged.
    """
    profile = load_profile(device or bundle.manifest["device"])
    command = f"edgekit profile {bundle.path} --estimate{f' --device {device}' if device else ''}"
    return {
        **new_result(bundle, command, {"kind": "none"}),
        "roofline": Roofline.of(profile).to_dict(),
        "estimated": estimate(read_workload(bundle), profile, load_calibration()),
        "arena": _arena(bundle),
    }


def estimate_of(bundle: Bundle, profile: DeviceProfile) -> dict[str, Any] | None:
    """A result's `estimated`; None where the profile does not say what is needed."""
    if profile.peaks is None or missing_key(profile) is not None:
        return None
    return estimate(read_workload(bundle), profile, load_calibration())


def _roofline(result: Mapping[str, Any], bundle: Bundle) -> Roofline | None:
    """Of the machine: as its runner measured it, else its profile's; None in an emulator, or where that is unknown."""
    if result["target"]["emulated"]:
        return None
    if peaks := result["measured"].get("peaks"):
        return Roofline.of_peaks(peaks)
    try:
        profile = load_profile(bundle.manifest["device"])
    except EdgekitError:
        return None
    # A bundle may run on another device than the one that it was made for.
    is_this = str(result["machine"]["cpu"]) in profile.cpu.model
    return Roofline.of(profile) if is_this and missing_key(profile) is None else None


def _reached(case: Mapping[str, Any], workload: Workload) -> dict[str, float | None]:
    work = workload.cases.get(case["name"])
    if work is None or workload.gpu:
        return {"gflops": None, "gb_per_s": None}
    seconds = 1e-3 * case["p50_ms"]
    counts = {"gflops": work.flops, "gb_per_s": sum(operation.bytes for operation in work.operations)}
    return {name: float(f"{1e-9 * count / seconds:.4g}") for name, count in counts.items()}


def _arena(bundle: Bundle) -> dict[str, Any] | None:
    if bundle.program.format != "pte":
        return None
    try:
        return compact(bundle_timeline(bundle, load_profile(bundle.manifest["device"])))
    except EdgekitError:  # made for a profile of the user's own, which is not at hand
        return None
