"""The libraries of others that a bundle carries beside edgekit's own: LiteRT's, and ONNX Runtime's.

For this machine's architecture they come with the installed package; for another one with that package's wheel, which
is downloaded once a version and kept in the user's cache.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.export.native_files import LIBRARIES
from edgekit.files import explained, locked, unfinished
from edgekit.processes import run_program


@dataclass(frozen=True)
class RuntimeLibrary:
    """Where a runtime's shared library is.

    Attributes:
        package: as pip calls it; its wheels have the library.
        module: the package's folder.
        inside: a pattern of the library's path in it.
        name: what a bundle calls it.
        platforms: pip's names of platforms by architecture, the preferred first.
    """

    package: str
    module: str
    inside: str
    name: str
    platforms: dict[str, tuple[str, ...]]


_ARM64 = tuple(f"manylinux_2_{minor}_aarch64" for minor in (27, 28, 34))
_LIBRARIES = {
    "tflite": RuntimeLibrary("ai-edge-litert", "ai_edge_litert", "libLiteRt.so", "libLiteRt.so", {"aarch64": _ARM64}),
    "onnx": RuntimeLibrary(
        "onnxruntime", "onnxruntime", "capi/libonnxruntime.so.*", "libonnxruntime.so.1", {"aarch64": _ARM64}
    ),
}


def runtime_files(
    format_name: str, architecture: str, say: Callable[[str], None] = lambda line: None
) -> dict[str, Path]:
    """The libraries that a format needs beside edgekit's, by their paths in a bundle; empty for `.pte`.

    Args:
        format_name: "pte", "tflite" or "onnx".
        architecture: "x86_64" or "aarch64".
        say: told when a download begins.

    Raises:
        EdgekitError: it cannot be had.
    """
    library = _LIBRARIES.get(format_name)
    if library is None:
        return {}
    if architecture == platform.machine():
        spec = importlib.util.find_spec(library.module)
        folder = Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None
    else:
        folder = _downloaded(library, architecture, say)
    found = sorted(folder.glob(library.inside)) if folder is not None else []
    if not found:
        raise EdgekitError(f"{library.package} is not installed: pip install {library.package}.")
    return {f"{LIBRARIES}/{library.name}": found[0]}


def _downloaded(library: RuntimeLibrary, architecture: str, say: Callable[[str], None]) -> Path:
    """The package's folder for another architecture, from the user's cache or its wheel."""
    from platformdirs import user_cache_path

    wanted = version(library.package)
    target = user_cache_path("edgekit") / "runtimes" / f"{library.package}-{wanted}-{architecture}"
    if target.is_dir():
        return target / library.module
    if architecture not in library.platforms:
        raise EdgekitError(f"{library.package} has no library for {architecture}: export on such a machine.")
    say(f"downloading {library.package} {wanted} for {architecture}, once for this version")
    with locked(target), unfinished(target, folder=True) as scratch, explained("write", target):
        if target.is_dir():  # another export was as fast
            return target / library.module
        platforms = [word for name in library.platforms[architecture] for word in ("--platform", name)]
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", *platforms]
        done = run_program([*command, "-d", str(scratch), f"{library.package}=={wanted}"])
        wheels = list(scratch.glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise EdgekitError(
                f"pip cannot download {library.package} {wanted} for {architecture} (is there a network?): export "
                f"there, or put {library.name} beside the bundle's other libraries yourself."
            )
        unpacked = scratch / "unpacked"
        with zipfile.ZipFile(wheels[0]) as wheel:
            pattern = f"{library.module}/{library.inside}"
            members = [name for name in wheel.namelist() if Path(name).match(pattern)]
            wheel.extractall(unpacked, members)
        unpacked.rename(target)
    return target / library.module
