"""Compiles the GPU's kernels, kernels/ops/*/*.cu, into one file with code for several GPUs.

    gpu_code.py FILE --nvrtc FOLDER FOLDER [--depfile FILE]
    gpu_code.py FILE --check

NVRTC is all that is needed of CUDA: the folders are of its packages (packages.py). Neither a GPU nor a driver is. All
kernels make one image an architecture: the driver loads it once, and of it what is launched. The same sources and
compilers give the same bytes, wherever they lie.

`--check` says whether a file was compiled from these sources: parameters of kernels are structs that both sides know.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

KERNELS = Path(__file__).resolve().parents[1]
sys.path.append(str(KERNELS))
from gpu_images import (  # type: ignore[import-not-found,unused-ignore] # noqa: E402
    MACHINE_CODE,
    PTX,
    SOURCES,
    Image,
    pack,
    unpack,
)

#: `--device-as-default-execution-space`: functions that headers share with the CPU's side need not say where they run.
OPTIONS = ("--std=c++17", "--device-as-default-execution-space", f"--include-path={KERNELS}")
#: What is compiled: Orin, for JetPack 6, whose driver is that of CUDA 12.6; Thor, which CUDA 13 brought; H100 and H200,
#: on which the kernels are checked; PTX as the last resort, which the driver compiles for any GPU since A100.
IMAGES = (
    Image(MACHINE_CODE, 8, 7, 12060, only=True),
    Image(MACHINE_CODE, 9, 0, 12060),
    Image(MACHINE_CODE, 11, 0, 13000, only=True),
    Image(PTX, 8, 0, 12060),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises SystemExit with a sentence, and with what the compiler said, where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--nvrtc", type=Path, nargs=2, metavar="FOLDER")
    parser.add_argument(
        "--depfile", type=Path, metavar="FILE", help="where to write what the file depends on, for make"
    )
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(arguments)
    roots = sorted(KERNELS.glob("ops/*/*.cu"))
    files = sources(roots)
    if given.check:
        check(given.file, files)
        return
    compilers = {compiler.version: compiler for compiler in map(Nvrtc, given.nvrtc or ())}
    for image in IMAGES:
        if image.compiler not in compilers:
            wanted = f"{image.compiler // 1000}.{image.compiler % 1000 // 10}"
            raise SystemExit(f"GPU code for {image.architecture} needs NVRTC {wanted}, which --nvrtc does not name.")
    program = "".join(f'#include "{path.relative_to(KERNELS).as_posix()}"\n' for path in roots).encode()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        built = list(pool.map(lambda image: compilers[image.compiler].compile(program, image), IMAGES))
    partial = given.file.with_name(given.file.name + ".partial")
    partial.write_bytes(pack([*built, digest(files)]))
    partial.replace(given.file)
    if given.depfile is not None:
        names = (str(path).replace(" ", "\\ ") for path in (given.file, *files))
        given.depfile.write_text(f"{next(names)}: {' '.join(names)}\n", encoding="utf-8")


def sources(roots: Sequence[Path]) -> list[Path]:
    """The files and what they include of kernels/, directly or not, with nothing left out for a condition."""
    found: dict[Path, None] = {}
    waiting = list(roots)
    while waiting:
        path = waiting.pop().resolve()
        if path in found:
            continue
        found[path] = None
        for name in re.findall(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE):
            places = (folder / name for folder in (path.parent, KERNELS, KERNELS / "include"))
            waiting += [place for place in places if place.is_file()][:1]
    return sorted(found)


def digest(files: Sequence[Path]) -> Image:
    """SHA-256 of files below kernels/, by their names there and what they hold."""
    found = hashlib.sha256()
    for path in files:
        name = path.relative_to(KERNELS).as_posix().encode()
        found.update(hashlib.sha256(name).digest() + hashlib.sha256(path.read_bytes()).digest())
    return Image(SOURCES, 0, 0, 0, data=found.digest())


def check(file: Path, files: Sequence[Path]) -> None:
    """Raises SystemExit unless a file was compiled from these sources."""
    try:
        made_from = [image for image in unpack(file.read_bytes()) if image.kind == SOURCES]
    except (OSError, ValueError) as error:
        raise SystemExit(f"{file} is not a file of GPU code ({error}).") from error
    if made_from != [digest(files)]:
        raise SystemExit(f"{file} was compiled from other sources than these: compile it again, with {__file__}.")


class Nvrtc:
    """NVRTC, loaded from its package's folder."""

    def __init__(self, folder: Path) -> None:
        # It looks for its built-in functions where the system's libraries are, unless they are loaded already.
        libraries = [next(self._libraries(folder, name)) for name in ("libnvrtc-builtins.so.*", "libnvrtc.so.*")]
        try:
            _, self._library = (ctypes.CDLL(str(path)) for path in libraries)
        except OSError as error:
            raise SystemExit(f"NVRTC in {folder} cannot be loaded ({error}).") from error
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.version = 1000 * major.value + 10 * minor.value

    @staticmethod
    def _libraries(folder: Path, name: str) -> Iterator[Path]:
        yield from sorted((folder / "lib").glob(name))
        raise SystemExit(f"{folder} has no lib/{name}: it is not the folder of NVRTC's package.")

    def compile(self, program: bytes, image: Image) -> Image:
        """The image with its data."""
        options = [option.encode() for option in (*OPTIONS, f"--gpu-architecture={image.architecture}")]
        handle = ctypes.c_void_p()
        self._call("nvrtcCreateProgram", ctypes.byref(handle), program, b"kernels.cu", 0, None, None)
        try:
            arguments = (ctypes.c_char_p * len(options))(*options)
            failed = self._library.nvrtcCompileProgram(handle, len(options), arguments)
            log = self._text(handle, "ProgramLog").rstrip(b"\0").decode(errors="replace").strip()
            if failed:
                raise SystemExit(f"The GPU's kernels cannot be compiled for {image.architecture}:\n{log}")
            if log:
                print(f"{image.architecture}:\n{log}", file=sys.stderr)
            data = self._text(handle, "CUBIN" if image.kind == MACHINE_CODE else "PTX")
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(handle))
        return replace(image, data=data)

    def _text(self, handle: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", handle, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", handle, text)
        return text.raw

    def _call(self, name: str, *arguments: object) -> None:
        result = getattr(self._library, name)(*arguments)
        if result:
            raise SystemExit(f"NVRTC's {name} failed ({result}).")


if __name__ == "__main__":
    main()
