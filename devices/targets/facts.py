"""What a device says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edgekit.devices.arm_cores import ARM_CORES

#: The implementer whose part numbers `ARM_CORES` has.
_ARM = 0x41


@dataclass(frozen=True)
class Facts:
    """A device.

    Attributes:
        machine: as in a result (`edgekit.devices.results`).
        bits: of a pointer in its programs; None if unknown. A 64-bit kernel may have a system of 32 bits.
        libc: "glibc", "musl", "bionic", or None if unknown.
        free_bytes: where bundles go; None if unknown.
        boot: changes whenever it starts anew.
        root: edgekit's folder there.
        has_tegrastats: whether it says how much power it takes.
    """

    machine: dict[str, Any]
    bits: int | None
    libc: str | None
    free_bytes: int | None
    boot: str
    root: str
    has_tegrastats: bool

    @property
    def architecture(self) -> str:
        return str(self.machine["architecture"])

    @property
    def glibc(self) -> tuple[int, ...] | None:
        text = self.machine["glibc"]
        return None if text is None else tuple(int(part) for part in text.split("."))


def read_facts(lines: Iterable[str]) -> Facts:
    """Facts from what `facts` of device.sh prints: a name and a value per line; the last of a name counts."""
    found = {name: value.strip() for name, _, value in (line.partition(" ") for line in lines)}
    architecture = {"arm64": "aarch64", "amd64": "x86_64"}.get(found.get("machine", ""), found.get("machine", ""))
    cpu = found.get("cpu") or _arm_cores(found) or architecture
    android = found.get("android")
    libc, glibc = _libc(found.get("libc", ""), android is not None)
    memory, free = _number(found.get("memory_kib")), _number(found.get("free_kib"))
    return Facts(
        machine={
            "title": found.get("model") or cpu,
            "architecture": architecture,
            "cpu": cpu,
            "cores": _number(found.get("cores")),
            "memory_bytes": None if memory is None else memory * 1024,
            "os": f"Android {android}" if android else found.get("os") or "Linux",
            "kernel": found.get("kernel", ""),
            "glibc": glibc,
        },
        bits=_number(found.get("bits")),
        libc=libc,
        free_bytes=None if free is None else free * 1024,
        boot=found.get("boot", ""),
        root=found.get("root", ""),
        has_tegrastats="tegrastats" in found,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _arm_cores(found: dict[str, str]) -> str:
    """Names of an Arm device's cores, which may be of several kinds."""
    try:
        if int(found.get("implementer", ""), 16) != _ARM:
            return ""
        parts = [int(part, 16) for part in found.get("parts", "").split()]
    except ValueError:
        return ""
    return ", ".join(ARM_CORES.get(part, f"Arm core {part:#x}") for part in parts)


def _libc(text: str, is_android: bool) -> tuple[str | None, str | None]:
    """The C library, and its version if it is glibc; from `getconf GNU_LIBC_VERSION` or `ldd --version`."""
    if is_android:
        return "bionic", None
    if "musl" in text.lower():
        return "musl", None
    version = re.search(r"(\d+\.\d+)$", text.strip())
    if version is not None and re.match(r"glibc |ldd \(", text):
        return "glibc", version[1]
    return None, None
