"""The least time that an operator can take: by arithmetic, by what it moves, and by what it costs to begin.

Williams, Waterman, Patterson: Roofline, an insightful visual performance model (CACM 52, 2009), with a ceiling for each
precision and a slope for each level of memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.devices.profile import DeviceProfile
from edgekit.devices.workload import Case, Operation
from edgekit.errors import EdgekitError

PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Level:
    """A level of caches: bytes that all of them hold, and their bandwidth in GB/s; None where it is unknown."""

    capacity: int
    gb_per_s: float | None


@dataclass(frozen=True)
class Roofline:
    """A machine's ceilings.

    Attributes:
        gflops: 10^9 operations per second by precision.
        levels: caches, the smallest first.
        memory_gb_per_s: bandwidth behind all caches.
        launch_us: microseconds to begin an operator on all cores.
        source: "measured", or "profile NAME" for one that was not measured.
    """

    gflops: Mapping[str, float]
    levels: tuple[Level, ...]
    memory_gb_per_s: float
    launch_us: float | None
    source: str

    @classmethod
    def of(cls, profile: DeviceProfile) -> Roofline:
        """A profile's.

        Raises:
            EdgekitError: it does not say what a CPU computes, or how fast its memory is; names the key.
        """
        missing = missing_key(profile)
        if missing is not None:
            raise EdgekitError(
                f"{profile.name} has no {missing}: run `edgekit devices measure` on such a device, or fill it in."
            )
        peaks = profile.peaks
        assert peaks is not None
        assert peaks.fp32_gflops is not None
        assert profile.memory.bandwidth_gb_per_s is not None
        gflops = {
            "fp32": peaks.fp32_gflops,
            "fp16": peaks.fp16_gflops or peaks.fp32_gflops,
            "int8": peaks.int8_gops or peaks.fp32_gflops,
        }
        cores = profile.cpu.cores or 1
        levels = tuple(
            Level(1024 * cache.kb * -(-cores // cache.cores), cache.bandwidth_gb_per_s) for cache in profile.caches
        )
        source = "measured" if peaks.source == "measured" else f"profile {profile.name}"
        return cls(gflops, levels, profile.memory.bandwidth_gb_per_s, peaks.launch_us, source)

    @classmethod
    def of_peaks(cls, peaks: Mapping[str, Any]) -> Roofline:
        """What `edgekit-run --peaks --json` measured, with the threads that it used."""
        rates = {kind: peaks["peaks"].get(kind) for kind in PRECISIONS}
        plain = float(rates["fp32"]["giga_per_s"])

        def best(level: Mapping[str, Any]) -> float:
            return float(max(level["read_gb_per_s"], level["triad_gb_per_s"]))

        threads = int(peaks["threads"])
        levels = tuple(
            Level(1024 * cache["kb"] * -(-threads // cache["cores"]), best(cache)) for cache in peaks["caches"]
        )
        gflops = {kind: float(rate["giga_per_s"]) if rate else plain for kind, rate in rates.items()}
        launch = float(peaks["handover_us"]) + float(peaks["call_us"])
        return cls(gflops, levels, best(peaks["memory"]), launch, "measured")

    def compute_us(self, operation: Operation) -> float:
        """Microseconds of its arithmetic."""
        return operation.flops / self.gflops[operation.precision] / 1e3

    def memory_us(self, operation: Operation, held: int) -> float:
        """Microseconds of what it moves: each tensor from the smallest cache that has room for it.

        Activations come from a cache that holds all that the operator touches. Weights were last touched in the call
        before, and come from one that holds all that a call touches (`held` bytes).
        """
        moved = (operation.read_bytes + operation.written_bytes) / self.bandwidth(operation.bytes)
        return (moved + operation.weight_bytes / self.bandwidth(max(held, operation.bytes))) / 1e3

    def bandwidth(self, size: int) -> float:
        """GB/s of the smallest level that holds `size` bytes; where that is unknown, of the next larger one."""
        for level in self.levels:
            if size <= level.capacity and level.gb_per_s is not None:
                return level.gb_per_s
        return self.memory_gb_per_s

    def bound(self, operation: Operation, held: int) -> str:
        """What keeps it from being faster: "compute", "memory", or "overhead" where it is begun for next to nothing."""
        compute, memory = self.compute_us(operation), self.memory_us(operation, held)
        if max(compute, memory) < (self.launch_us or 0):
            return "overhead"
        return "compute" if compute >= memory else "memory"

    def least_us(self, operation: Operation, held: int) -> float:
        """The least time, without what it costs to begin."""
        return max(self.compute_us(operation), self.memory_us(operation, held))

    def to_dict(self) -> dict[str, Any]:
        """As a result has it (`devices/results.py`)."""
        return {
            "gflops": dict(self.gflops),
            "bandwidth_gb_per_s": self.memory_gb_per_s,
            "source": self.source,
        }


def held_bytes(case: Case) -> int:
    """Bytes that a call touches: all weights, and the most that one operator moves beside them."""
    return case.weight_bytes + max((o.read_bytes + o.written_bytes for o in case.operations), default=0)


def missing_key(profile: DeviceProfile) -> str | None:
    """The first key that an estimate needs and a profile does not know."""
    if profile.peaks is None or profile.peaks.fp32_gflops is None:
        return "peaks.fp32_gflops"
    if profile.memory.bandwidth_gb_per_s is None:
        return "memory.bandwidth_gb_per_s"
    return None


def with_reference(roofline: Roofline, reference: Roofline) -> Roofline:
    """The same with what is unknown taken from another machine: caches as fast, and launches as short, for what it
    computes as there."""
    ratio = roofline.gflops["fp32"] / reference.gflops["fp32"]
    levels = []
    for place, level in enumerate(roofline.levels):
        known: Iterable[Level] = reference.levels[place : place + 1]
        borrowed = next((other.gb_per_s * ratio for other in known if other.gb_per_s is not None), None)
        faster = None if borrowed is None else max(borrowed, roofline.memory_gb_per_s)
        levels.append(level if level.gb_per_s is not None else Level(level.capacity, faster))
    launch = roofline.launch_us
    return Roofline(roofline.gflops, tuple(levels), roofline.memory_gb_per_s, launch, roofline.source)
