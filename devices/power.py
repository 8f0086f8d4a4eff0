"""How much power a Jetson takes, from the lines of its own `tegrastats`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

#: A rail: its name, its power now and on average, in milliwatts; JetPack 4 writes no unit.
_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]+) (\d+)(?:mW)?/(\d+)(?:mW)?(?=\s|$)")
#: Rails that everything comes through: Orin Nano and NX, Xavier NX, TX2; Nano.
_TOTALS = ("VDD_IN", "POM_5V_IN")
#: Where there is none, those that add up to it: AGX Orin (the fourth, VDDQ_VDD2_1V8AO, is fed by VIN_SYS_5V0), and AGX
#: Xavier (NVIDIA Jetson Linux Developer Guide, Platform Power and Performance, "Software-Based Power Consumption
#: Modeling").
_SUMS = (
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
)


def rails_of(line: str) -> dict[str, int]:
    """Milliwatts by rail in one line; RAM, SWAP and others that are written alike are none.

    {"VDD_IN": 4587, "VDD_CPU_GPU_CV": 530} of "... VDD_IN 4587mW/4587mW VDD_CPU_GPU_CV 530mW/530mW".
    """
    return {name: int(now) for name, now, _ in _RAIL.findall(line) if name != "NC"}


def power(
    lines: Sequence[tuple[float, str]], idle: tuple[float, float], busy: tuple[float, float], ms_per_call: float
) -> dict[str, Any] | None:
    """A result's `power`: means while nothing ran and while the program did, and the energy of a call.

    The energy is all that the rail takes in that time, what it takes when idle included.

    Args:
        lines: (seconds, line) each.
        idle, busy: from when to when, on the same clock.
        ms_per_call: mean time of a call.

    Returns:
        None where the lines name no rail, or there are none of one of the two times.
    """
    # The device's clock ticks every 10 ms: a line of the tick in which the program begins may be of either.
    resting = _means(rails_of(line) for moment, line in lines if idle[0] <= moment < idle[1])
    working = _means(rails_of(line) for moment, line in lines if busy[0] <= moment <= busy[1])
    if not resting or not working:
        return None
    rails = {
        name: {"mean_mw": round(mean, 1), "idle_mw": round(resting[name], 1)}
        for name, mean in working.items()
        if name in resting
    }
    parts = _total(rails)
    if not parts:
        return None
    mean = sum(rails[name]["mean_mw"] for name in parts)
    energy = mean * ms_per_call * 1e-3
    return {"rails": rails, "rail": "+".join(parts), "energy_mj_per_call": float(f"{energy:.4g}")}


def _total(rails: Iterable[str]) -> tuple[str, ...]:
    """The rails whose sum is all that the module takes; () if that is unknown."""
    names = set(rails)
    for name in _TOTALS:
        if name in names:
            return (name,)
    return next((parts for parts in _SUMS if names.issuperset(parts)), ())


def _means(samples: Iterable[dict[str, int]]) -> dict[str, float]:
    values: dict[str, list[int]] = {}
    for sample in samples:
        for name, value in sample.items():
            values.setdefault(name, []).append(value)
    return {name: sum(found) / len(found) for name, found in values.items()}
