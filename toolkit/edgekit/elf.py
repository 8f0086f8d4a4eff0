"""What programs and libraries (ELF files) ask of a machine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

#: By architecture, its name in ELF (e_machine; System V ABI, chapter 4).
MACHINES = {"aarch64": "EM_AARCH64", "x86_64": "EM_X86_64"}
_MAGIC = b"\x7fELF"


def newest_version(elf: ELFFile, family: str) -> tuple[int, ...]:
    """The newest symbol version of a family ("GLIBC") that a file asks for; () if it asks for none."""
    from elftools.elf.gnuversions import GNUVerNeedSection

    versions: list[tuple[int, ...]] = []
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for _, symbols in section.iter_versions():
                found = (re.fullmatch(rf"{family}_([\d.]+)", symbol.name) for symbol in symbols)
                versions += [version_numbers(match[1]) for match in found if match]
    return max(versions, default=())


def version_of_files(paths: Iterable[Path], family: str) -> tuple[int, ...]:
    """The newest symbol version of a family that any of the files asks for; others than ELF files ask for none."""
    from elftools.elf.elffile import ELFFile

    versions: list[tuple[int, ...]] = []
    for path in paths:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) == _MAGIC:
                versions.append(newest_version(ELFFile(file), family))
    return max(versions, default=())


def program_architecture(path: Path) -> str:
    """The architecture that a program is for, as `uname -m` says it; "another architecture" if it is none of ours.

    A script is for every one: it gives "".
    """
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return ""
        machine = ELFFile(file)["e_machine"]
    return {name: architecture for architecture, name in MACHINES.items()}.get(machine, "another architecture")


def version_numbers(text: str) -> tuple[int, ...]:
    """ "2.34" to (2, 34)."""
    return tuple(int(part) for part in text.split("."))
