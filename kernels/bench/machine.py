"""What machine this is, how many threads are used, and how fast it can read and compute at most."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from edgekit import kernels
from edgekit.native_log import captured_stderr


@dataclass(frozen=True)
class Machine:
    """The machine of a run.

    Attributes:
        cpu: its name.
        isa: edgekit's instruction set.
        threads: of torch, ExecuTorch and ONNX Runtime.
        cache_bytes: the last-level cache.
        read_gb_per_s: the best of many sums over an array of `beyond_cache()` bytes.
        peak_gflop_per_s: the best of many products of square float32 matrices in torch.
        versions: of the packages that were measured; None for one that is not installed.
    """

    cpu: str
    isa: str
    threads: int
    cache_bytes: int
    read_gb_per_s: float
    peak_gflop_per_s: float
    versions: dict[str, str | None]

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items() if version)
        return (
            f"{self.cpu}, {self.isa}, threads: {self.threads}, last-level cache {self.cache_bytes / 2**20:.0f} MiB; "
            f"peak {self.read_gb_per_s:.1f} GB/s (reading memory), {self.peak_gflop_per_s:.1f} GFLOP/s (torch's matrix "
            f"product); {versions}"
        )


def measured(quick: bool) -> Machine:
    """This machine, its peaks measured now.

    Args:
        quick: smaller matrices and less time; the peaks are then too low.
    """
    side, seconds = (256, 0.1) if quick else (2048, 2.0)
    a, b = torch.randn(side, side), torch.randn(side, side)
    # Not zeros: those would be one page of memory, again and again.
    memory = torch.ones(beyond_cache() // 4)
    return Machine(
        cpu=_cpu(),
        isa=kernels.isa(),
        threads=torch.get_num_threads(),
        cache_bytes=last_level_cache(),
        read_gb_per_s=1e-9 * memory.nbytes / _fastest(lambda: torch.sum(memory), seconds),
        peak_gflop_per_s=2e-9 * side**3 / _fastest(lambda: a @ b, seconds),
        versions={name: _version(name) for name in ("torch", "executorch", "onnxruntime")},
    )


def use_threads(count: int | None) -> None:
    """Sets the threads of torch and ExecuTorch; None leaves torch's, and gives ExecuTorch as many."""
    if count is not None:
        torch.set_num_threads(count)
    with captured_stderr():
        from executorch.extension.pybindings import portable_lib

        portable_lib._unsafe_reset_threadpool(torch.get_num_threads())


def beyond_cache() -> int:
    """Bytes that no cache of this machine holds: 4 last-level caches, at least 128 MiB."""
    return max(4 * last_level_cache(), 128 << 20)


def last_level_cache() -> int:
    """Bytes of the largest cache of the first core; 32 MiB where the system does not say."""
    sizes = [file.read_text().strip() for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max((int(size[:-1]) << {"K": 10, "M": 20}[size[-1]] for size in sizes), default=32 << 20)


def _fastest(run: Callable[[], object], seconds: float) -> float:
    """Seconds of the best of the runs that fit into `seconds`, after one that does not count."""
    run()
    end, best = time.perf_counter() + seconds, float("inf")
    while (start := time.perf_counter()) < end:
        run()
        best = min(best, time.perf_counter() - start)
    return best


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return name or platform.machine()


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
