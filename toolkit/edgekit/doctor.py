"""Examines the installation: versions against the pins, and whether each native part really loads."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError
from edgekit.native_log import captured_stderr

if TYPE_CHECKING:
    from packaging.requirements import Requirement

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
#: By format, the modules of its extra's packages whose native parts load when they are imported.
EXTRAS = {
    "tflite": {"ai-edge-litert": "ai_edge_litert.interpreter"},
    "onnx": {"onnxruntime": "onnxruntime", "onnx": "onnx"},
}
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
    return [
        *(_python(), *_packages(), _runtime(), _operators(), _gpu_code(), _compiler(), _disk()),
        *(*_formats(), *_cross_build()),
    ]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", sys.version_info >= (3, 10), found, "install Python 3.10 or newer")


def _packages() -> Iterator[Finding]:
    try:
        pins = _pins()
    except metadata.PackageNotFoundError:
        yield Finding("edgekit", False, "not installed as a package", INSTALL)
        pins = {}
    for part in PARTS:
        yield _package(part, pins.get(part))


def _formats() -> Iterator[Finding]:
    """What writes and runs the formats of the extras; it is imported too, for a broken build says so only then."""
    with suppress(metadata.PackageNotFoundError):
        for extra, modules in EXTRAS.items():
            for part, wanted in _pins(extra).items():
                found = _package(part, wanted, f"--format {extra}")
                if found.ok and part in modules:
                    try:
                        with captured_stderr():
                            importlib.import_module(modules[part])
                    except Exception as error:  # whatever a broken build raises
                        reason = (str(error).splitlines() or [type(error).__name__])[0]
                        found = replace(found, ok=False, found=f"{found.found}, but: {reason}")
                yield found


def _pins(extra: str = "") -> dict[str, Requirement]:
    """What edgekit asks for by package, all of it or one extra's part."""
    from packaging.requirements import Requirement

    found = {}
    for line in metadata.requires("edgekit") or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if (marker is None and not extra) or (extra and marker is not None and f'extra == "{extra}"' in str(marker)):
            found[requirement.name] = requirement
    return found


def _package(part: str, wanted: Requirement | None, only_for: str = "") -> Finding:
    remedy = f"pip install '{part}{wanted.specifier if wanted else ''}'"
    try:
        found = metadata.version(part)
    except metadata.PackageNotFoundError:
        return Finding(part, False, "not installed", remedy, only_for)
    fits = wanted is None or wanted.specifier.contains(found, prereleases=True)
    shown = found if fits else f"{found}, needed {wanted.specifier if wanted else ''}"
    return Finding(part, fits, shown, remedy, only_for)


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


def _gpu_code() -> Finding:
    """The GPUs that the operators' library has code for."""
    remedy = INSTALL.replace("install", "install --force-reinstall --no-deps", 1)
    try:
        images = importlib.import_module("edgekit.kernels.gpu_images")
        code = images.carried(importlib.import_module("edgekit.kernels").library_path("ops"))
        found = images.described(code) if code else "none"
    except (EdgekitError, ImportError) as error:
        code, found = b"", str(error)
    except ValueError as error:
        code, found = b"", f"damaged: {error}"
    return Finding("GPU code", bool(code), found, remedy, "the operators on a GPU (NVIDIA, Jetson)")


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
