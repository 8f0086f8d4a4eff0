"""The file of GPU code: images of all kernels, one for each kind of GPU.

`cmake/gpu_code.py` writes it when edgekit is built, libedgekit_ops.so carries it, and `cuda/code.cpp` picks an image.

Little endian: "EKGPU", 0, 0, 1; uint32 count; for each image uint8 kind, major, minor, only, uint32 compiler, uint32
offset, packed and size: where it lies, how long it is there, as a zlib stream, and how long itself. PTX ends with a 0.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Kinds of images. SOURCES is the SHA-256 of what the others were compiled from.
MACHINE_CODE, PTX, SOURCES = 1, 2, 3
#: Of libedgekit_ops.so.
SECTION = ".edgekit_gpu_code"
_MAGIC = b"EKGPU\0\0\1"
_COUNT = struct.Struct("<8sI")
_ENTRY = struct.Struct("<4BIIII")


@dataclass(frozen=True)
class Image:
    """One image.

    Attributes:
        kind: MACHINE_CODE, PTX or SOURCES.
        major, minor: the compute capability.
        compiler: the version of CUDA that it was compiled with, 12060 for 12.6; 0 of SOURCES.
        only: whether no other GPU may run it. Machine code runs on later minor versions too, but not where one of the
            two is a Jetson's (CUDA C++ Programming Guide, "Binary Compatibility").
        data: what the driver is given.
    """

    kind: int
    major: int
    minor: int
    compiler: int
    only: bool = False
    data: bytes = b""

    @property
    def architecture(self) -> str:
        """As CUDA's compilers call it: "sm_87", "compute_80"."""
        return f"{'sm' if self.kind == MACHINE_CODE else 'compute'}_{self.major}{self.minor}"


def described(code: bytes) -> str:
    """What there is: "compute capability 8.7, 9.0; PTX for 8.0 and later".

    Raises:
        ValueError: as `unpack`.
    """
    images = unpack(code)
    own, ptx = (
        [f"{image.major}.{image.minor}" for image in images if image.kind == kind] for kind in (MACHINE_CODE, PTX)
    )
    parts = [f"compute capability {', '.join(own)}"] if own else []
    return "; ".join(parts + [f"PTX for {version} and later" for version in ptx])


def pack(images: Sequence[Image]) -> bytes:
    """The content of a file."""
    packed = [zlib.compress(image.data, 9) for image in images]
    place = _COUNT.size + _ENTRY.size * len(images)
    entries = _COUNT.pack(_MAGIC, len(images))
    for image, data in zip(images, packed, strict=True):
        lies = (place, len(data), len(image.data))
        entries += _ENTRY.pack(image.kind, image.major, image.minor, image.only, image.compiler, *lies)
        place += len(data)
    return entries + b"".join(packed)


def unpack(data: bytes) -> list[Image]:
    """The images of a file's content.

    Raises:
        ValueError: it is none, or damaged.
    """
    if len(data) < _COUNT.size or data[: len(_MAGIC)] != _MAGIC:
        raise ValueError("it begins with something else")
    _, count = _COUNT.unpack_from(data)
    if len(data) < _COUNT.size + _ENTRY.size * count:
        raise ValueError("it ends too early")
    images = []
    for place in range(count):
        entry = _ENTRY.unpack_from(data, _COUNT.size + _ENTRY.size * place)
        kind, major, minor, only, compiler, offset, packed, size = entry
        try:
            image = zlib.decompress(data[offset : offset + packed])
        except zlib.error as error:
            raise ValueError("an image is damaged") from error
        if len(image) != size:
            raise ValueError("an image is damaged")
        images.append(Image(kind, major, minor, compiler, bool(only), image))
    return images


def carried(library: Path) -> bytes:
    """What a library of operators (ELF, of any machine) carries; empty if it has no GPU code."""
    from elftools.elf.elffile import ELFFile

    with library.open("rb") as file:
        section = ELFFile(file).get_section_by_name(SECTION)
        return b"" if section is None else bytes(section.data())
