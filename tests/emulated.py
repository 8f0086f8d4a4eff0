"""An arm64 Linux device in an emulator: its CPU, its C library, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

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

    part: str
    features: str


#: By qemu's names: a Raspberry Pi 5's CPU, with half-precision arithmetic and dot products (Armv8.2-A), and a Pi
#: Zero 2 W's, without.
CPUS = {
    "cortex-a76": Cpu("0xd0b", "fp asimd evtstrm crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"),
    "cortex-a53": Cpu("0xd03", "fp asimd evtstrm crc32 cpuid"),
}


def missing() -> str | None:
    """Why arm64 programs cannot be built and emulated here, and what to do; None if they can."""
    if shutil.which("aarch64-linux-gnu-g++") is None or shutil.which(QEMU) is None:
        return "needs a cross compiler and an emulator: apt install g++-aarch64-linux-gnu qemu-user"
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


@dataclass(frozen=True)
class EmulatedDevice:
    """A device that bundles are copied to.

    Attributes:
        folder: of everything on it.
    """

    folder: Path

    @property
    def emulator(self) -> tuple[str, ...]:
        return emulator(self.folder / "root")

    def run(self, bundle: Path, *arguments: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Copies a bundle into an empty folder, and runs its own `./edgekit-run` there."""
        with tempfile.TemporaryDirectory(dir=self.folder) as home:
            copy = shutil.copytree(bundle, Path(home, bundle.name))
            command = [*self.emulator, "./edgekit-run", *map(str, arguments)]
            return subprocess.run(
                command, cwd=copy, env={}, capture_output=True, text=True, timeout=timeout, check=False
            )
