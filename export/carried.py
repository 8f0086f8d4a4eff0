"""Whether the native files of a bundle fit its device: symbol versions, search paths, and every operator."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from edgekit.devices.profile import DeviceProfile
from edgekit.elf import MACHINES, newest_version, version_numbers
from edgekit.errors import EdgekitError


def check_libraries(files: Mapping[str, Path], device: DeviceProfile) -> None:
    """Checks that the device's loader takes every file, with nothing but the files themselves and the C library.

    Raises:
        EdgekitError: a file is for another machine, asks for a newer C library than the device has, or looks for
            libraries outside the bundle.
    """
    names = {Path(name).name for name in files}
    for name, path in files.items():
        with path.open("rb") as file:
            elf = ELFFile(file)
            if elf["e_machine"] != MACHINES[device.architecture]:
                raise EdgekitError(f"{name} is for {elf['e_machine']}, {device.name} is {device.architecture}.")
            newest = newest_version(elf, "GLIBC")
            if device.glibc is not None and newest > version_numbers(device.glibc):
                asked = ".".join(map(str, newest))
                raise EdgekitError(
                    f"{name}, as built here, needs glibc {asked}, {device.name} has {device.glibc}: build on an older "
                    f"system, or give a profile of your device with --device FILE.toml."
                )
            for outside in search_paths(elf):
                if not outside.startswith("$ORIGIN"):
                    raise EdgekitError(f"{name} looks for libraries in {outside}, which the device does not have.")
            for library in needed(elf):
                if library.startswith(("libedgekit", "libexecutorch")) and library not in names:
                    raise EdgekitError(f"{name} needs {library}, which the bundle would not carry.")


def check_operators(
    files: Mapping[str, Path],
    device: DeviceProfile,
    format_name: str,
    operators: Iterable[str],
    delegates: Iterable[str],
) -> None:
    """Checks that some library has every operator and delegate, by the names that it registers.

    Args:
        files: of the bundle.
        device: for the sentence.
        format_name: of the program; ONNX's operators are all ONNX Runtime's own.
        operators, delegates: what the program calls.

    Raises:
        EdgekitError: none has; names what is missing.
    """
    if format_name == "onnx":
        return
    names = {name for path in files.values() for name in re.findall(rb"[\w.:]+", path.read_bytes())}
    missing = [name for name in (*operators, *delegates) if _registered(name, format_name).encode() not in names]
    if missing:
        raise EdgekitError(
            f"no library for {device.name} has {', '.join(missing)}: rewrite the module without, or export it with "
            f"--no-native for a runtime that has."
        )


def _registered(name: str, format_name: str) -> str:
    """What a library that has an operator holds. LiteRT's is called by way of the function of `edgekit/ops.h`."""
    return name.partition("?")[0].replace("edgekit.", "edgekit_") if format_name == "tflite" else name


def search_paths(elf: ELFFile) -> list[str]:
    """Where the loader looks for a file's libraries (DT_RUNPATH, DT_RPATH)."""
    tags = [tag for tag in _dynamic(elf) if tag.entry.d_tag in ("DT_RUNPATH", "DT_RPATH")]
    return [path for tag in tags for path in str(getattr(tag, "runpath", None) or tag.rpath).split(":")]


def needed(elf: ELFFile) -> list[str]:
    """The libraries that a file is linked to."""
    return [str(tag.needed) for tag in _dynamic(elf) if tag.entry.d_tag == "DT_NEEDED"]


def _dynamic(elf: ELFFile) -> list[Any]:
    return [
        tag for section in elf.iter_sections() if isinstance(section, DynamicSection) for tag in section.iter_tags()
    ]
