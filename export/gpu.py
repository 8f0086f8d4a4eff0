"""Whether the GPU of a device runs edgekit's operators of a program, and from which work on: the manifest's `gpu`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.devices.gpu_work import least_work
from edgekit.devices.profile import GPU_OPERATORS, DeviceProfile, GpuProfile
from edgekit.export.native_files import LIBRARIES
from edgekit.kernels.gpu_code import fitting, library_images, oldest_driver, runs_on
from edgekit.kernels.gpu_images import PTX, Image

#: The library that carries the GPU code, by its path in a bundle.
OPERATOR_LIBRARY = f"{LIBRARIES}/libedgekit_ops.so"
#: The first JetPack with a major version of CUDA (NVIDIA JetPack release notes).
_JETPACK = {11: "5.0", 12: "6.0", 13: "7.0"}


def gpu_part(
    device: DeviceProfile, operators: Iterable[str], files: Mapping[str, Path], say: Callable[[str], None]
) -> dict[str, Any] | None:
    """The manifest's `gpu`; None where all operators run on the CPU.

    Args:
        device: its profile.
        operators: of the program, as a manifest names them.
        files: the native files that the bundle carries, by their paths in it; empty where it carries none, and another
            library than is known here will run it.
        say: told in a sentence why a GPU is not used, and what changes that.
    """
    gpu, called = device.gpu, gpu_operators(operators)
    if gpu is None or not called:
        return None
    if OPERATOR_LIBRARY in files:
        images = library_images(files[OPERATOR_LIBRARY])
        chosen = fitting(images, gpu.capability, gpu.driver)
        if chosen is None:
            say(f"edgekit's operators run on the CPU of {device.name}: {_misfit(gpu, images)}.")
            return None
        if chosen.kind == PTX:
            say(
                f"the operator library has no machine code for compute capability {gpu.compute_capability}: the driver "
                f"of {device.name} compiles its PTX when a bundle is first run there."
            )
    found = least_work(device)
    return {
        "compute_capability": gpu.compute_capability,
        "cuda": gpu.cuda,
        "least_work": {name: work for name, work in found.values.items() if name in called},
        "source": found.source,
    }


def gpu_operators(operators: Iterable[str]) -> list[str]:
    """Which of edgekit's operators with kernels for GPUs are among a program's: "edgekit::kv_append.out" in a `.pte`,
    "edgekit.kv_append" in a `.tflite`."""
    names = {match[1] for name in operators if (match := re.match(r"edgekit(?:::|\.)(\w+)", name))}
    return [name for name in GPU_OPERATORS if name in names]


def _misfit(gpu: GpuProfile, images: Sequence[Image]) -> str:
    """Why no image runs, and what to do."""
    if not images:
        return (
            "the operator library here was built without GPU code; build it where pip can fetch NVRTC, or give CMake a "
            "container in EDGEKIT_GPU_CODE"
        )
    able = [image for image in images if runs_on(image, gpu.capability)]
    if not able:
        return (
            f"its GPU has compute capability {gpu.compute_capability}, the operator library has code for "
            f"{', '.join(map(_name, images))}; leave [gpu] out of its profile, or export for a newer board"
        )
    needed = min(map(oldest_driver, able))
    version = ".".join(map(str, needed))
    newer = f"JetPack {_JETPACK[needed[0]]} or newer" if gpu.jetpack and needed[0] in _JETPACK else "a newer driver"
    return (
        f"its CUDA {gpu.cuda} does not take the GPU code, which needs {version} or newer; install {newer} there, and "
        f"set gpu.cuda in its profile"
    )


def _name(image: Image) -> str:
    """ "8.7", or "8.0 and later (PTX)", as the library says it on a device."""
    return f"{image.major}.{image.minor}" + (" and later (PTX)" if image.kind == PTX else "")
