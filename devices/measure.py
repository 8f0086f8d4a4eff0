"""A profile of the machine that this runs on: what Linux says of it, and its peaks as the runner measures them."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.bundle import RUNNER
from edgekit.devices.arm_cores import ARM_CORES
from edgekit.devices.profile import (
    ISA,
    CacheProfile,
    CpuProfile,
    DeviceProfile,
    MemoryProfile,
    PeaksProfile,
    parse_profile,
)
from edgekit.devices.profile_text import profile_text
from edgekit.errors import EdgekitError

#: Seconds that the runner takes at most; a few, on a machine that does nothing else.
_LIMIT = 600
#: Words of /proc/cpuinfo's flags or features for what a profile calls these.
_WORDS = {
    "neon": "asimd",
    "dotprod": "asimddp",
    "fp16": "asimdhp",
    "avx512vnni": "avx512_vnni",
    "avxvnni": "avx_vnni",
}


@dataclass(frozen=True)
class MachineFacts:
    """What Linux says of a machine, as texts of its files.

    Attributes:
        architecture: "x86_64" or "aarch64".
        cpuinfo: /proc/cpuinfo.
        meminfo: /proc/meminfo.
        board: /proc/device-tree/model, "" where there is none.
        max_khz: /sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq, "" where there is none.
        glibc: its version, "" where the C library is another.
    """

    architecture: str
    cpuinfo: str
    meminfo: str
    board: str
    max_khz: str
    glibc: str


def local_facts() -> MachineFacts:
    """Of this machine."""

    def read(path: str) -> str:
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
        except OSError:
            return ""

    return MachineFacts(
        platform.machine(),
        read("/proc/cpuinfo"),
        read("/proc/meminfo"),
        read("/proc/device-tree/model"),
        read("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"),
        platform.libc_ver()[1] if platform.libc_ver()[0] == "glibc" else "",
    )


def local_peaks() -> dict[str, Any]:
    """What `edgekit-run --peaks --json` says on this machine; it takes some seconds.

    Raises:
        EdgekitError: there is no runner, or it fails.
    """
    import edgekit_runtime

    runners = [Path(folder) / "bin" / RUNNER for folder in edgekit_runtime.__path__]
    runner = next((path for path in runners if path.is_file()), None)
    if runner is None:
        raise EdgekitError("edgekit-runtime has no runner: install it again (pip install ./kernels/runtime/python).")
    try:
        done = subprocess.run(
            [str(runner), "--peaks", "--json"], capture_output=True, text=True, check=False, timeout=_LIMIT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EdgekitError(f"the runner does not measure this machine's peaks ({error}): install it again.") from error
    if done.returncode != 0:
        raise EdgekitError(done.stderr.strip().removeprefix("edgekit-run: error: "))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measured_profile(
    facts: MachineFacts, peaks: Mapping[str, Any], base: DeviceProfile | None = None, name: str | None = None
) -> tuple[DeviceProfile, dict[str, str]]:
    """A profile, and where its figures come from, by key.

    Args:
        facts: of the machine.
        peaks: of the machine, as the runner says.
        base: a profile of its kind, which says what a machine cannot (formats, GPU); None for what all such take.
        name: the profile's; else the base's, or one made of the machine's.

    Raises:
        EdgekitError: the machine is of an architecture that profiles do not know.
    """
    if facts.architecture not in ISA:
        raise EdgekitError(f"profiles are for {', '.join(ISA)}, this machine is {facts.architecture}.")
    if base is not None and base.architecture != facts.architecture:
        raise EdgekitError(f"{base.name} is {base.architecture}, this machine is {facts.architecture}: give another.")
    cpu, cpu_notes = _cpu(facts)
    title = facts.board or cpu.model
    total = re.search(r"MemTotal:\s+(\d+) kB", facts.meminfo)
    memory = MemoryProfile(int(total[1]) // 1024 if total else None, _bandwidth(peaks["memory"]))
    measured = PeaksProfile(
        "measured",
        _peak(peaks, "fp32"),
        _peak(peaks, "fp16") or _peak(peaks, "fp32"),
        _peak(peaks, "int8"),
        round(peaks["handover_us"] + peaks["call_us"], 3),
    )
    caches = tuple(
        CacheProfile(cache["level"], cache["kb"], cache["cores"], _bandwidth(cache)) for cache in peaks["caches"]
    )
    names = {kind: peak["isa"] for kind, peak in peaks["peaks"].items() if peak}
    size = f"{peaks['memory']['bytes'] / 1e6:.0f} MB"
    notes = cpu_notes | {
        "memory.total_mb": "/proc/meminfo; what the kernel keeps is not in it",
        "memory.bandwidth_gb_per_s": f"measured, the better of reading and triad on {size}",
        "peaks.fp32_gflops": f"{names['fp32']}, {peaks['threads']} threads",
        "peaks.fp16_gflops": f"{names['fp16']}" if "fp16" in names else "no arithmetic in half precision: as fp32",
        "peaks.int8_gops": names["int8"],
        "peaks.launch_us": "to all threads and back, and a call of an operator",
        "glibc": "of this machine",
    }
    if base is not None:
        profile = replace(base, name=name or base.name, title=base.title, cpu=cpu, memory=memory)
        profile = replace(profile, aliases=base.aliases if profile.name == base.name else ())
    else:
        profile = _plain(facts, name or _slug(title), title, cpu, memory)
    return replace(profile, peaks=measured, caches=caches, glibc=facts.glibc or profile.glibc), notes


def measured_text(profile: DeviceProfile, notes: Mapping[str, str], peaks: Mapping[str, Any]) -> str:
    """The profile's file; it is read again before it is given, so that what is written is valid."""
    heading = (
        f"{profile.title}, as `edgekit devices measure` found it ({peaks['threads']} threads, edgekit-run "
        f"{peaks['runner']}).",
    )
    text = profile_text(profile, notes, heading)
    parse_profile(text, f"{profile.name}.toml")
    return text


def _plain(facts: MachineFacts, name: str, title: str, cpu: CpuProfile, memory: MemoryProfile) -> DeviceProfile:
    arm = facts.architecture == "aarch64"
    vectors = ("neon",) if arm else ("avx2",) if {"avx2", "fma", "f16c"} <= set(cpu.isa) else ()
    return DeviceProfile(
        name=name,
        title=title,
        architecture=facts.architecture,
        operating_system="linux",
        cpu=cpu,
        memory=memory,
        formats=("pte", "tflite", "onnx"),
        kernels=(*vectors, "scalar"),
        default_recipe="int8" if arm else "fp32",
        glibc=facts.glibc or None,
    )


def _cpu(facts: MachineFacts) -> tuple[CpuProfile, dict[str, str]]:
    fields = re.findall(r"^([^\t:\n]+)[ \t]*:[ \t]*(.*)$", facts.cpuinfo, re.MULTILINE)
    first: dict[str, str] = {}
    for key, value in fields:
        first.setdefault(key.strip(), value.strip())
    words = set((first.get("flags") or first.get("Features") or "").split())
    cores = len([key for key, _ in fields if key.strip() == "processor"]) or os.cpu_count()
    model = first.get("model name") or _arm_core(first.get("CPU part", "")) or facts.architecture
    clock: float | None
    if facts.max_khz:
        clock, source = round(int(facts.max_khz) / 1e6, 3), "cpufreq: cpuinfo_max_freq"
    else:
        speeds = [float(value) for key, value in fields if key.strip() == "cpu MHz"]
        clock, source = (round(max(speeds) / 1e3, 3), "/proc/cpuinfo, now") if speeds else (None, "Linux does not say")
    isa = tuple(name for name in ISA[facts.architecture] if _WORDS.get(name, name) in words)
    notes = {"cpu.model": "/proc/cpuinfo", "cpu.cores": "/proc/cpuinfo", "cpu.clock_ghz": source}
    return CpuProfile(model, cores, clock, isa), notes | {"cpu.isa": "/proc/cpuinfo"}


def _arm_core(part: str) -> str:
    """ "Arm Cortex-A76" for "0xd0b"; "" for a part without a name."""
    core = ARM_CORES.get(int(part, 16)) if re.fullmatch("0x[0-9a-f]+", part) else None
    return f"Arm {core}" if core else ""


def _peak(peaks: Mapping[str, Any], kind: str) -> float | None:
    entry = peaks["peaks"].get(kind)
    return None if entry is None else round(entry["giga_per_s"], 1)


def _bandwidth(level: Mapping[str, Any]) -> float:
    return round(max(level["read_gb_per_s"], level["triad_gb_per_s"]), 1)


def _slug(text: str) -> str:
    words = re.findall(r"[a-z0-9]+", re.sub(r"\([^)]*\)", "", text.lower()))
    return "-".join(words[:4]) or "this-machine"
