"""Examines the installation: versions against the pins, and whether each native part really loads."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.native_log import captured_stderr

#: Parts without which nothing works; their version ranges are read from edgekit's own metadata.
PARTS = (
    "torch",
    "executorch",
    "torchao",
    "numpy",
    "safetensors",
    "scipy",
    "scikit-learn",
    "pandas",
    "matplotlib",
    "rich",
)
MIN_FREE_BYTES = 2 << 30
INSTALL = "pip install ./kernels/runtime/python . (in the checkout)"


@dataclass(frozen=True)
class Finding:
    """One part: whether it fits, what was found, the command that mends it, and what for, if not for everything."""

    part: str
    ok: bool
    found: str
    remedy: str
    only_for: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine() -> list[Finding]:
    """Every finding, in the order in which things should be mended."""
    return [_python(), *_packages(), _runtime(), _operators(), _compiler(), _disk(), *_cross_build()]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", sys.version_info >= (3, 10), found, "install Python 3.10 or newer")


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires("edgekit") or []
    except metadata.PackageNotFoundError:
        yield Finding("edgekit", False, "not installed as a package", INSTALL)
        lines = []
    pins = {}
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None:
            pins[requirement.name] = requirement
    for part in PARTS:
        wanted = pins.get(part)
        remedy = f"pip install '{part}{wanted.specifier if wanted else ''}'"
        try:
            found = metadata.version(part)
        except metadata.PackageNotFoundError:
            yield Finding(part, False, "not installed", remedy)
            continue
        fits = wanted is None or wanted.specifier.contains(found, prereleases=True)
        yield Finding(part, fits, found if fits else f"{found}, needed {wanted.specifier if wanted else ''}", remedy)


def _runtime() -> Finding:
    """Imports the native runtime itself, so that the true error is shown and not a consequence of it."""
    part, remedy = (
        "ExecuTorch runtime with XNNPACK",
        "pip install --force-reinstall 'executorch==1.5.*' 'torch==2.13.*'",
    )
    try:
        with captured_stderr():
            runtime = importlib.import_module("executorch.runtime").Runtime.get()
            names = runtime.backend_registry.registered_backend_names
    except (ImportError, OSError, AttributeError) as error:
        return Finding(part, False, (str(error).splitlines() or [type(error).__name__])[0], remedy)
    return Finding(part, "XnnpackBackend" in names, ", ".join(sorted(names)), remedy)


def _operators() -> Finding:
    """Loads the native operators, and says which instruction set they use."""
    remedy = INSTALL.replace("install", "install --force-reinstall --no-deps", 1)
    try:
        kernels = importlib.import_module("edgekit.kernels")
        return Finding("edgekit's operators", True, str(kernels.isa()), remedy)
    except (EdgekitError, ImportError) as error:
        return Finding("edgekit's operators", False, str(error), remedy)


def _cross_build() -> Iterator[Finding]:
    beside = str(Path(sys.executable).parent)  # where pip puts programs, of an environment that is not activated too
    for part, program, remedy in (
        ("arm64 cross compiler", "aarch64-linux-gnu-g++", "install one, on Debian: apt install g++-aarch64-linux-gnu"),
        ("arm64 emulator", "qemu-aarch64", "install one, on Debian: apt install qemu-user"),
        ("CMake", "cmake", "pip install cmake"),
        ("make", "make", "install it, on Debian: apt install make"),
    ):
        found = shutil.which(program) or shutil.which(program, path=beside)
        yield Finding(part, found is not None, found or "none", remedy, "building and testing arm64 libraries")


def _compiler() -> Finding:
    found = next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), None)
    return Finding("C++ compiler", found is not None, found or "none", "install one, on Debian: apt install g++")


def _disk() -> Finding:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    remedy = f"free {MIN_FREE_BYTES >> 30} GiB there, or set TMPDIR to another folder"
    return Finding("temporary space", free >= MIN_FREE_BYTES, f"{free / 1e9:.1f} GB in {folder}", remedy)
