"""What a bundle carries so that it runs on its device: the runner, and every library that it needs.

For this machine's architecture they come with edgekit-runtime. For another one they are built from edgekit's own
sources with a cross compiler, once a version, and kept in the user's cache. GPU code is the same for all architectures:
it is taken from the library that is installed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import edgekit
import edgekit_runtime
from edgekit.bundle import RUNNER
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError
from edgekit.files import explained, locked, unfinished
from edgekit.processes import run_program

LIBRARIES = "lib"
#: By architecture: the compiler that builds for it, the package that has it, and CMake's toolchain file.
CROSS = {"aarch64": ("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu", "aarch64-linux-gnu.cmake")}


def missing_for(device: DeviceProfile) -> str | None:
    """Why a device's native files cannot be had here, and what to do; None if they can."""
    if device.operating_system == "android":
        if os.environ.get("ANDROID_NDK_HOME"):
            return "native files for Android are not built yet: link edgekit's sources into the app"
        return "native files for Android need the NDK: set ANDROID_NDK_HOME to its folder"
    if device.architecture == platform.machine() or cached(device.architecture).is_dir():
        return None
    if device.architecture not in CROSS:
        return f"there is no cross build for {device.architecture}: export on such a machine"
    compiler, package, _ = CROSS[device.architecture]
    if shutil.which(compiler) is None:
        return f"native files for {device.architecture} need a cross compiler: apt install {package}"
    return None


def native_files(architecture: str, say: Callable[[str], None] = lambda line: None) -> dict[str, Path]:
    """Every native file, by its path in a bundle.

    Args:
        architecture: "x86_64" or "aarch64".
        say: told when a build begins, which takes minutes.

    Raises:
        EdgekitError: they cannot be built.
    """
    if architecture == platform.machine():
        return _of_the_runtime()
    folder = cached(architecture)
    if not folder.is_dir():
        say(f"building the native files for {architecture}, once for this version of edgekit")
        with locked(folder):  # another export may have begun to
            if not folder.is_dir():
                _build(architecture, folder)
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def cached(architecture: str) -> Path:
    """Where an architecture's files are kept; the name changes with the sources."""
    from platformdirs import user_cache_path

    return (
        user_cache_path("edgekit")
        / "native"
        / f"{edgekit.__version__}-{_digest(_sources(), _gpu_code())}-{architecture}"
    )


def _of_the_runtime() -> dict[str, Path]:
    files = {}
    for folder in map(Path, edgekit_runtime.__path__):
        if (folder / "bin" / RUNNER).is_file():
            files[RUNNER] = folder / "bin" / RUNNER
        files |= {f"{LIBRARIES}/{path.name}": path for path in sorted((folder / "lib").glob("*.so"))}
    if RUNNER not in files:
        raise EdgekitError("edgekit-runtime has no runner: install it again (pip install ./kernels/runtime/python).")
    return files


def _root() -> Path:
    """The folder with the native build: the checkout's, or the installed package's."""
    import edgekit.kernels

    return Path(edgekit.kernels.__file__).parents[1]


def _sources() -> list[Path]:
    root = _root()
    folders = ("include", "ops", "cuda", "bindings", "cmake", "runtime")
    inside = [path for folder in folders for path in (root / "kernels" / folder).rglob("*")]
    kept = [path for path in inside if path.is_file() and "python" not in path.parts[len(root.parts) :]]
    return sorted([root / "CMakeLists.txt", root / "kernels" / "CMakeLists.txt", *kept])


def _gpu_code() -> bytes:
    """What the installed library of operators carries; empty if it was built without."""
    from edgekit.kernels import library_path
    from edgekit.kernels.gpu_images import carried

    return carried(library_path("ops"))


def _digest(files: Iterable[Path], more: bytes) -> str:
    digest = hashlib.sha256(more)
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _build(architecture: str, target: Path) -> None:
    root, toolchain = _root(), CROSS[architecture][2]
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    cmake, ninja = (shutil.which(name, path=tools) for name in ("cmake", "ninja"))
    if cmake is None or ninja is None:
        raise EdgekitError("the native build needs CMake and Ninja: pip install cmake ninja.")
    with unfinished(target, folder=True) as scratch, explained("write", target):
        build, stage, gpu_code = (scratch / name for name in ("build", "stage", "gpu_code.bin"))
        gpu_code.write_bytes(_gpu_code())
        for command in (
            [
                *(cmake, "-S", str(root), "-B", str(build), "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"),
                *("--toolchain", str(root / "kernels" / "cmake" / toolchain), "-DCMAKE_BUILD_TYPE=Release"),
                f"-DPython_EXECUTABLE={sys.executable}",
                f"-DEDGEKIT_GPU_CODE={gpu_code if gpu_code.stat().st_size else ''}",
            ],
            [cmake, "--build", str(build)],
            [cmake, "--install", str(build), "--prefix", str(stage), "--component", "device", "--strip"],
        ):
            done = run_program(command)
            if done.returncode != 0:
                log = target.with_suffix(".log")
                log.write_text(done.stdout + done.stderr, encoding="utf-8")
                raise EdgekitError(f"the native files for {architecture} cannot be built: {log} has what CMake said.")
        stage.rename(target)
