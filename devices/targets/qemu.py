"""An arm64 Linux device in an emulator on this machine: its CPU, its C library, and nothing else.

What runs there gives the answers of such a device. How long it takes and how much memory, it does not say.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.bundle import RUNNER, Bundle
from edgekit.devices.targets.local import LocalTarget
from edgekit.devices.targets.target import Target
from edgekit.elf import program_architecture
from edgekit.errors import EdgekitError, UsageError

QEMU = "qemu-aarch64"
#: Debian's package libc6-arm64-cross and its companions.
CROSS_LIBRARIES = Path("/usr/aarch64-linux-gnu/lib")
#: The C library and libstdc++: what a bundle may ask a device for.
DEVICE_LIBRARIES = (
    *("ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"),
    *("libstdc++.so.6", "libgcc_s.so.1"),
)


@dataclass(frozen=True)
class Cpu:
    """What Linux says of a CPU in /proc/cpuinfo: its part number, and the features that programs choose code by."""

    title: str
    part: str
    features: str


#: By qemu's names: a Raspberry Pi 5's CPU, with half-precision arithmetic and dot products (Armv8.2-A), and a Pi
#: Zero 2 W's, without.
CPUS = {
    "cortex-a76": Cpu(
        "Cortex-A76", "0xd0b", "fp asimd evtstrm crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
    ),
    "cortex-a53": Cpu("Cortex-A53", "0xd03", "fp asimd evtstrm crc32 cpuid"),
}


def missing() -> str | None:
    """Why arm64 programs cannot be emulated here, and what to do; None if they can."""
    if shutil.which(QEMU) is None or not all((CROSS_LIBRARIES / name).exists() for name in DEVICE_LIBRARIES):
        return "needs an emulator and a C library: apt install qemu-user libc6-arm64-cross libstdc++6-arm64-cross"
    return None


def emulator(root: Path, cpu: str = "cortex-a76") -> tuple[str, ...]:
    """The command to put in front of an arm64 program's.

    Args:
        root: where the device's own files are made. qemu looks there first for absolute paths.
        cpu: one of CPUS.
    """
    (root / "lib").mkdir(parents=True, exist_ok=True)
    (root / "proc").mkdir(exist_ok=True)
    for name in DEVICE_LIBRARIES:
        if not (root / "lib" / name).is_symlink():
            (root / "lib" / name).symlink_to(CROSS_LIBRARIES / name)
    # Without it ExecuTorch's libraries would read about the CPU of the machine that emulates.
    (root / "proc" / "cpuinfo").write_text("".join(_cpuinfo(index, CPUS[cpu]) for index in range(os.cpu_count() or 1)))
    return (QEMU, "-cpu", cpu, "-L", str(root))


def _cpuinfo(index: int, cpu: Cpu) -> str:
    return (
        f"processor\t: {index}\nFeatures\t: {cpu.features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: 0x1\nCPU part\t: {cpu.part}\nCPU revision\t: 0\n\n"
    )


class QemuTarget(LocalTarget):
    """Runs arm64 bundles where they lie, each on a CPU like its device's."""

    emulated = True

    def __init__(self) -> None:
        super().__init__("qemu")
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Target:
        if reason := missing():
            raise EdgekitError(f"--target qemu {reason}.")
        super().__enter__()
        self._folder = tempfile.TemporaryDirectory(prefix="edgekit-")
        machine = self.facts.machine | {"architecture": "aarch64", "glibc": _cross_glibc()}
        self._facts = replace(self.facts, machine=machine, libc="glibc", bits=64, has_tegrastats=False)
        return self

    def __exit__(self, *exception: object) -> None:
        super().__exit__(None, None, None)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def check(self, bundle: Bundle) -> None:
        try:
            super().check(bundle)
        except UsageError as error:
            if program_architecture(bundle.path / RUNNER) == "x86_64":
                told = f"{bundle.name} is for x86_64, qemu here stands for arm64: leave --target out."
                raise UsageError(told) from error
            raise

    def machine(self, bundle: Bundle) -> dict[str, Any]:
        cpu = CPUS[_cpu_of(bundle)].title
        return self.facts.machine | {"title": f"{cpu} by qemu-user", "cpu": cpu}

    def _program(self, bundle: Bundle) -> list[str]:
        assert self._folder is not None
        cpu = _cpu_of(bundle)
        return [*emulator(Path(self._folder.name, cpu), cpu), f"./{RUNNER}"]


def _cpu_of(bundle: Bundle) -> str:
    """The emulated CPU nearest to that of the bundle's device."""
    from edgekit.devices.profile import load_profile

    try:
        isa = load_profile(bundle.manifest["device"]).cpu.isa
    except EdgekitError:  # a profile of the user's own
        return "cortex-a76"
    return "cortex-a76" if "fp16" in isa else "cortex-a53"


def _cross_glibc() -> str | None:
    """The version of the C library that the emulated device has."""
    found = re.search(rb"GNU C Library[^\n]* version (\d+\.\d+)", (CROSS_LIBRARIES / "libc.so.6").read_bytes())
    return found[1].decode() if found else None
