"""The native test programs, built for this machine with sanitizers and for arm64, and run there or in an emulator."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from ..emulated import CPUS, emulator, missing

CHECKOUT = Path(__file__).parents[2]
ARM64_TOOLCHAIN = CHECKOUT / "kernels" / "cmake" / "aarch64-linux-gnu.cmake"
ARM64_CPUS = tuple(CPUS)


class OperatorError(Exception):
    """An operator refused its arguments; the sentence."""


@dataclass(frozen=True)
class Machine:
    """A build of the test programs, and what runs them."""

    build: Path
    emulator: tuple[str, ...] = ()

    def on(self, cpu: str) -> Machine:
        """The same build, emulated on another CPU."""
        return replace(self, emulator=emulator(self.build / "devices" / cpu, cpu))

    @property
    def other_version(self) -> Path:
        """A library that, loaded first, has the operators say that they are of another version."""
        return self.build / "tests" / "kernels" / "native" / "libother_version.so"

    @property
    def libraries(self) -> list[Path]:
        """The libraries that go to a device."""
        return sorted((self.build / "kernels").glob("libedgekit_*.so"))

    def operator(
        self, name: str, numbers: Sequence[int], *inputs: np.ndarray, threads: int = 1, isa: str = ""
    ) -> list[bytes]:
        """Runs one operator through its C header; gives its outputs.

        Raises:
            OperatorError: with the operator's own sentence.
        """
        arguments = [name, "inputs", "outputs", threads, *numbers]
        return self._run("run_operator", arguments, inputs, {"EDGEKIT_ISA": isa} if isa else {})

    def program(self, path: Path, *inputs: np.ndarray, environment: dict[str, str] | None = None) -> list[bytes]:
        """Runs an ExecuTorch program, once for each set of inputs; gives all outputs.

        Raises:
            OperatorError: with what the runtime logged.
        """
        return self._run("run_program", [path, "inputs", "outputs"], inputs, environment or {})

    def text(self, path: Path, tokens: np.ndarray, count: int, words: int) -> list[np.ndarray]:
        """Goes on with tokens (T,) int64 by the likeliest of the first `words`; gives every step's logits (V,)."""
        outputs = self._run("run_text", [path, "inputs", "outputs", count, words], [tokens], {})
        return [np.frombuffer(output, np.float32) for output in outputs]

    def _run(
        self, name: str, arguments: Sequence[object], inputs: Sequence[np.ndarray], environment: dict[str, str]
    ) -> list[bytes]:
        folder = self.build / "tests" / "kernels" / "native"
        with (folder / "inputs").open("wb") as file:
            for array in inputs:
                file.write(struct.pack("q", array.nbytes) + np.ascontiguousarray(array).tobytes())
        command = [*self.emulator, str(folder / name), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode == 1:
            raise OperatorError(done.stderr.strip())
        assert done.returncode == 0, done.stderr
        data, outputs = (folder / "outputs").read_bytes(), []
        while data:
            (size,) = struct.unpack_from("q", data)
            outputs.append(data[8 : 8 + size])
            data = data[8 + size :]
        return outputs


def build(folder: Path, *options: str) -> Path:
    """Builds the operators and the test programs; not the session, which the wheel's tests are for."""
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    cmake = shutil.which("cmake", path=tools)
    if cmake is None or shutil.which("c++") is None:
        pytest.skip("the native tests need CMake (pip install cmake) and a C++ compiler")
    for command in (
        [
            cmake,
            "-S",
            CHECKOUT,
            "-B",
            folder,
            "-DEDGEKIT_BUILD_TESTS=ON",
            "-DEDGEKIT_HEADERS=",
            f"-DPython_EXECUTABLE={sys.executable}",
        ],
        [cmake, "--build", folder, "--parallel", str(os.cpu_count())],
    ):
        command += options if "-S" in command else ()
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def sanitized(folder: Path) -> Machine:
    """This machine, with AddressSanitizer and UndefinedBehaviorSanitizer; without the bindings."""
    flags = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
    return Machine(build(folder, f"-DCMAKE_CXX_FLAGS={flags}", "-DEDGEKIT_TORCH_INCLUDE=", "-DEDGEKIT_EXECUTORCH="))


def thread_checked(folder: Path) -> Machine:
    """This machine, with ThreadSanitizer."""
    options = ("-DCMAKE_CXX_FLAGS=-O1 -g -fsanitize=thread", "-DEDGEKIT_TORCH_INCLUDE=", "-DEDGEKIT_EXECUTORCH=")
    return Machine(build(folder, *options))


def arm64(folder: Path) -> Machine:
    """An emulated arm64 machine."""
    if reason := missing():
        pytest.skip(reason)
    return Machine(build(folder, "--toolchain", str(ARM64_TOOLCHAIN))).on(ARM64_CPUS[0])


def host(folder: Path) -> Machine:
    """This machine."""
    return Machine(build(folder, "-DEDGEKIT_TORCH_INCLUDE="))
