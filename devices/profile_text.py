"""A device profile as the text of a TOML file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields

from edgekit.devices.gpu_work import UNITS, LeastWork
from edgekit.devices.profile import UNKNOWN, CacheProfile, DeviceProfile, GpuProfile, PeaksProfile

#: Keys that are written where they say something, in the file's order.
_OPTIONAL = ("aliases", "android_api", "glibc", "opset")


def profile_text(profile: DeviceProfile, notes: Mapping[str, str], heading: Iterable[str] = ()) -> str:
    """The TOML that `parse_profile` reads as the same profile.

    Args:
        profile: to write.
        notes: comments behind keys, such as {"cpu.cores": "/proc/cpuinfo"}.
        heading: comments at the top, a line each.
    """

    def line(key: str, value: object, prefix: str = "") -> str:
        note = notes.get(prefix + key)
        return f"{key} = {_value(value)}" + (f"  # {note}" if note else "")

    lines = [f"# {text}" for text in heading]
    if lines:
        lines.append("")
    lines += [
        line("name", profile.name),
        line("title", profile.title),
        line("architecture", profile.architecture),
        line("operating_system", profile.operating_system),
        *(line(key, getattr(profile, key)) for key in _OPTIONAL if getattr(profile, key)),
        line("formats", profile.formats),
        line("kernels", profile.kernels),
        line("default_recipe", profile.default_recipe),
    ]
    if profile.preferred_formats:
        lines += ["", "[preferred_formats]"]
        lines += [line(task, name) for task, name in sorted(profile.preferred_formats.items())]
    tables: list[tuple[str, object]] = [("cpu", profile.cpu), ("memory", profile.memory)]
    tables += [(name, table) for name, table in (("gpu", profile.gpu), ("peaks", profile.peaks)) if table is not None]
    for name, table in tables:
        lines += ["", f"[{name}]"]
        for entry in fields(table):  # type: ignore[arg-type]
            value = getattr(table, entry.name)
            # A GPU's last fields may be left out; elsewhere None is what is unknown.
            if name != "gpu" or (value is not None and value is not False):
                lines.append(line(entry.name, value, f"{name}."))
    for cache in profile.caches:
        lines += ["", "[[caches]]"]
        lines += [line(entry.name, getattr(cache, entry.name), "caches.") for entry in fields(CacheProfile)]
    return "\n".join(lines) + "\n"


def peaks_rows(peaks: PeaksProfile, caches: Iterable[CacheProfile], memory: float | None) -> list[tuple[str, str]]:
    """Peaks in words and numbers, for a table."""
    rows = [
        ("fp32", _rate(peaks.fp32_gflops, "GFLOP/s")),
        ("fp16", _rate(peaks.fp16_gflops, "GFLOP/s")),
        ("int8", _rate(peaks.int8_gops, "GOP/s")),
    ]
    for cache in caches:
        size = f"{cache.kb} KB" if cache.kb < 1024 else f"{cache.kb / 1024:g} MB"
        shared = "" if cache.cores == 1 else f" for {cache.cores} cores"
        rows.append((f"L{cache.level}, {size}{shared}", _rate(cache.bandwidth_gb_per_s, "GB/s")))
    rows += [("memory", _rate(memory, "GB/s")), ("launch", _rate(peaks.launch_us, "us", 2))]
    return rows


def device_rows(profile: DeviceProfile) -> list[tuple[str, str]]:
    """What a profile says beside peaks and GPU, for a table."""
    cpu, memory = profile.cpu, profile.memory
    needs = f"glibc {profile.glibc}" if profile.glibc else f"API level {profile.android_api}"
    return [
        ("system", f"{profile.operating_system}, {profile.architecture}, {needs} or newer"),
        ("CPU", f"{_count(cpu.cores)} x {cpu.model}, {_rate(cpu.clock_ghz, 'GHz')}"),
        ("extensions", ", ".join(cpu.isa)),
        ("memory", f"{_count(memory.total_mb, ' MB')}, {_rate(memory.bandwidth_gb_per_s, 'GB/s')}"),
        ("formats", ", ".join(profile.formats)),
        ("recipe", profile.default_recipe),
    ]


def gpu_rows(gpu: GpuProfile, work: LeastWork) -> list[tuple[str, str]]:
    """What a profile says of a GPU, and from which work on operators go there, for a table."""
    software = [f"CUDA {gpu.cuda}"]
    software += [
        f"{name} {version}" for name, version in (("JetPack", gpu.jetpack), ("TensorRT", gpu.tensorrt)) if version
    ]
    shared = f"{_count(gpu.shared_kb_per_multiprocessor, ' KB')}, a block's {_count(gpu.shared_kb_per_block, ' KB')}"
    return [
        ("compute capability", gpu.compute_capability),
        ("software", ", ".join(software)),
        ("memory", "the CPU's" if gpu.integrated else "its own"),
        ("multiprocessors", f"{_count(gpu.multiprocessors)}, {_rate(gpu.clock_ghz, 'GHz', 3)}"),
        ("fp32", _rate(gpu.fp32_gflops, "GFLOP/s")),
        ("shared memory of one", shared),
        *((f"{name} goes there", f"from {size:,} {UNITS[name]} on") for name, size in work.values.items()),
        ("these limits", work.source),
    ]


def _count(value: int | None, unit: str = "") -> str:
    return UNKNOWN if value is None else f"{value}{unit}"


def _rate(value: float | None, unit: str, digits: int = 1) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f} {unit}"


def _value(value: object) -> str:
    if value is None:
        return f'"{UNKNOWN}"'
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if value >= 0.001 else repr(value)
    if isinstance(value, int):
        return str(value)
    # JSON's way to write a text is one of TOML's.
    return json.dumps(str(value), ensure_ascii=False)
