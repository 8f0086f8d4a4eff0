"""What a GPU's kernels take, read from their machine code."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

#: What is read of .nv.info, by number (cuobjdump -elf gives the names): EIATTR_REGCOUNT, FRAME_SIZE and MIN_STACK_SIZE
#: of functions, MAX_THREADS of a kernel. An attribute whose first byte is _SIZED says its size; others have 4 bytes.
_REGISTERS, _FRAME, _STACK, _THREADS, _SIZED = 0x2F, 0x11, 0x12, 0x05, 0x04


@dataclass(frozen=True)
class Kernel:
    """A kernel in the machine code of one architecture.

    Attributes:
        name: of its entry.
        threads: the most that a block may have.
        registers: of a thread.
        stack: bytes of a thread's local memory: arrays that are not in registers, and what is spilled from them.
        code: bytes of instructions.
    """

    name: str
    threads: int
    registers: int
    stack: int
    code: int


@dataclass(frozen=True)
class Multiprocessor:
    """What a multiprocessor has for the blocks on it.

    Attributes:
        warps, blocks: the most at once.
        shared: bytes for all blocks, each of which takes `RESERVED` more than it asks for.
        shared_of_block: the most that one block may ask for.
    """

    warps: int
    blocks: int
    shared: int
    shared_of_block: int


RESERVED = 1 << 10
_REGISTERS_OF_QUARTER = 1 << 14  # warps have their registers in one of four parts, 256 at a time
#: By architecture: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
MULTIPROCESSORS = {
    "sm_87": Multiprocessor(48, 16, 164 << 10, 163 << 10),
    "sm_90": Multiprocessor(64, 32, 228 << 10, 227 << 10),
    "sm_110": Multiprocessor(48, 24, 228 << 10, 227 << 10),
}


@dataclass(frozen=True)
class Occupancy:
    """How many blocks of a kernel's largest size one multiprocessor has at once, for threads and registers.

    Attributes:
        blocks: how many.
        share: their warps by the most that there can be.
        shared: bytes that each of them may ask for at launch; with more there are fewer.
    """

    blocks: int
    share: float
    shared: int


def kernels(cubin: bytes) -> list[Kernel]:
    """The kernels of an image of machine code, by name."""
    from elftools.elf.elffile import ELFFile

    elf = ELFFile(io.BytesIO(cubin))
    table = elf.get_section_by_name(".symtab")
    sections = [symbol["st_shndx"] for symbol in table.iter_symbols()]  # of each symbol
    registers: dict[int, int] = {}
    stack: dict[int, int] = {}
    for attribute, words in _attributes(elf, ".nv.info"):
        if attribute in (_REGISTERS, _FRAME, _STACK):
            found, section = registers if attribute == _REGISTERS else stack, sections[words[0]]
            found[section] = max(words[1], found.get(section, 0))
    made = []
    for index, section in enumerate(elf.iter_sections()):
        name = section.name.removeprefix(".text.")
        if name == section.name:
            continue
        x, y, z = dict(_attributes(elf, f".nv.info.{name}"))[_THREADS]
        made.append(Kernel(name, x * y * z, registers[index], stack[index], section["sh_size"]))
    return sorted(made, key=lambda kernel: kernel.name)


def _attributes(elf: ELFFile, name: str) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The attributes of a section that have a size, as 32-bit words."""
    section = elf.get_section_by_name(name)
    data = b"" if section is None else section.data()
    place = 0
    while place < len(data):
        size = int.from_bytes(data[place + 2 : place + 4], "little") if data[place] == _SIZED else 0
        if size:
            content = data[place + 4 : place + 4 + size]
            yield data[place + 1], tuple(memoryview(content[: size // 4 * 4]).cast("I"))
        place += 4 + size


def occupancy(kernel: Kernel, has: Multiprocessor) -> Occupancy:
    """Of blocks of `kernel.threads`."""
    warps = -(-kernel.threads // 32)
    by_registers = 4 * (_REGISTERS_OF_QUARTER // (-(-32 * kernel.registers // 256) * 256))
    blocks = min(has.blocks, has.warps // warps, by_registers // warps)
    shared = min(has.shared // blocks - RESERVED, has.shared_of_block) if blocks else 0
    return Occupancy(blocks, blocks * warps / has.warps, shared)
