"""The native test programs, built for this machine with sanitizers and for arm64, and run there or in an emulator."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit_runtime
from edgekit.devices.targets import qemu
from edgekit.devices.targets.qemu import CPUS, emulator
from edgekit.kernels.gpu_images import pack

CHECKOUT = Path(__file__).parents[1]
ARM64_TOOLCHAIN = CHECKOUT / "kernels" / "cmake" / "aarch64-linux-gnu.cmake"
ARM64_CPUS = tuple(CPUS)
#: What compiles the GPU's kernels.
GPU_CODE = CHECKOUT / "kernels" / "cmake" / "gpu_code.py"
#: Where the test programs lie in the checkout, and in a build of it.
OPERATORS, SESSION = Path("tests/kernels/native"), Path("tests/runtime/native")


class OperatorError(Exception):
    """An operator refused its arguments; the sentence."""


def missing() -> str | None:
    """Why arm64 programs cannot be built and emulated here, and what to do; None if they can."""
    if shutil.which("aarch64-linux-gnu-g++") is None:
        return "needs a cross compiler: apt install g++-aarch64-linux-gnu"
    return qemu.missing()


@dataclass(frozen=True)
class EmulatedDevice:
    """An arm64 device that bundles are copied to.

    Attributes:
        folder: of everything on it.
    """

    folder: Path

    @property
    def emulator(self) -> tuple[str, ...]:
        return emulator(self.folder / "root")

    def run(self, bundle: Path, *arguments: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Copies a bundle into an empty folder, and runs its own `./edgekit-run` there."""
        with tempfile.TemporaryDirectory(dir=self.folder) as home:
            copy = shutil.copytree(bundle, Path(home, bundle.name))
            command = [*self.emulator, "./edgekit-run", *map(str, arguments)]
            return subprocess.run(
                command, cwd=copy, env={}, capture_output=True, text=True, timeout=timeout, check=False
            )


@dataclass(frozen=True)
class Machine:
    """A build of the test programs, and what runs them."""

    build: Path
    emulator: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    def on(self, cpu: str) -> Machine:
        """The same build, emulated on another CPU."""
        return replace(self, emulator=emulator(self.build / "devices" / cpu, cpu))

    @property
    def other_version(self) -> Path:
        """A library that, loaded first, has the operators say that they are of another version."""
        return self.build / OPERATORS / "libother_version.so"

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
        return self._run(OPERATORS / "run_operator", arguments, inputs, {"EDGEKIT_ISA": isa} if isa else {})

    def program(self, path: Path, *inputs: np.ndarray, environment: dict[str, str] | None = None) -> list[bytes]:
        """Runs an ExecuTorch program, once for each set of inputs; gives all outputs.

        Raises:
            OperatorError: with what the runtime logged.
        """
        return self._run(OPERATORS / "run_program", [path, "inputs", "outputs"], inputs, environment or {})

    def tflite(self, library: Path, path: Path, *inputs: np.ndarray, threads: int = 1, states: int = 0) -> list[bytes]:
        """Runs a `.tflite` program on LiteRT's C interface; the last `states` inputs and outputs share their memory.

        Raises:
            OperatorError: with what went wrong.
        """
        return self._run(OPERATORS / "run_tflite", [library, path, "inputs", "outputs", threads, states], inputs, {})

    def session(self, case: str, bundles: Sequence[Path], *inputs: np.ndarray) -> list[bytes]:
        """Runs a case of run_session.cpp; gives what it wrote.

        Raises:
            OperatorError: with what went wrong.
        """
        return self._run(SESSION / "run_session", [case, "inputs", "outputs", *bundles], inputs, {})

    def compare_module(self, bundle: Path, method: str, runs: int) -> dict[str, Any]:
        """A session's runs beside those of ExecuTorch's Module: microseconds ("us") and "allocations" of each."""
        found: dict[str, Any] = json.loads(self._start(SESSION / "compare_module", [bundle, method, runs], {}))
        return found

    def count_steps(self, bundle: Path, prompt: str, tokens: int, *feature: str) -> dict[str, int]:
        """Allocations in the steps of a second text, by library; steered by a feature and explained if one is given."""
        found: dict[str, int] = json.loads(self._start(SESSION / "count_steps", [bundle, prompt, tokens, *feature], {}))
        return found

    def count_rows(self, bundle: Path, together: int) -> dict[str, int]:
        """Allocations while a stream takes sensor rows, by library; so many at a time."""
        found: dict[str, int] = json.loads(self._start(SESSION / "count_rows", [bundle, together], {}))
        return found

    def _run(
        self, program: Path, arguments: Sequence[object], inputs: Sequence[np.ndarray], environment: dict[str, str]
    ) -> list[bytes]:
        folder = self.build / program.parent
        with (folder / "inputs").open("wb") as file:
            for array in inputs:
                file.write(struct.pack("q", array.nbytes) + np.ascontiguousarray(array).tobytes())
        self._start(program, arguments, environment)
        data, outputs = (folder / "outputs").read_bytes(), []
        while data:
            (size,) = struct.unpack_from("q", data)
            outputs.append(data[8 : 8 + size])
            data = data[8 + size :]
        return outputs

    def _start(self, program: Path, arguments: Sequence[object], environment: dict[str, str]) -> str:
        done = subprocess.run(
            [*self.emulator, str(self.build / program), *map(str, arguments)],
            cwd=self.build / program.parent,
            env=os.environ | dict(self.environment) | environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode == 1:
            raise OperatorError(done.stderr.strip())
        assert done.returncode == 0, done.stderr
        return done.stdout


def runtime_for_cmake() -> Path:
    """The installed edgekit-runtime's folder for find_package(edgekit)."""
    return next(path for path in (Path(path) / "cmake" for path in edgekit_runtime.__path__) if path.is_dir())


def tool(name: str) -> str:
    """CMake of this environment, or the system's; skips where there is none, or no compiler."""
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = shutil.which(name, path=tools)
    if found is None or shutil.which("c++") is None:
        pytest.skip("the native tests need CMake (pip install cmake) and a C++ compiler")
    return found


def build(folder: Path, *options: str, targets: Sequence[str] = ("all",)) -> Path:
    """Builds the libraries and the test programs, or what is named of them."""
    cmake = tool("cmake")
    configure = ["-S", CHECKOUT, "-B", folder, "-DEDGEKIT_BUILD_TESTS=ON", f"-DPython_EXECUTABLE={sys.executable}"]
    configure.append(f"-DEDGEKIT_GPU_CODE={made_gpu_code(folder / 'gpu_code.bin')}")
    make = ["--build", folder, "--parallel", os.cpu_count(), "--target", *targets]
    for command in ([*configure, *options], make):
        command = [cmake, *map(str, command)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def made_gpu_code(path: Path) -> Path:
    """GPU code for the GPUs that edgekit has code for, with nothing in it: an emulated GPU takes anything."""
    script = runpy.run_path(str(GPU_CODE))
    sources = script["digest"](script["sources"](list(CHECKOUT.glob("kernels/ops/*/*.cu"))))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pack([*(replace(image, data=b"\0") for image in script["IMAGES"]), sources]))
    return path


#: What the sanitizers watch.
WATCHED = ("run_operator", "run_session", "run_tflite")


def sanitized(folder: Path) -> Machine:
    """This machine, with AddressSanitizer and UndefinedBehaviorSanitizer; the session too, without torch's binding."""
    flags = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
    # What was given back is filled, so that ExecuTorch's libraries, which are not instrumented, do not get by with it.
    environment = (("ASAN_OPTIONS", "max_free_fill_size=1048576:free_fill_byte=165"),)
    options = (f"-DCMAKE_CXX_FLAGS={flags}", "-DEDGEKIT_TORCH_INCLUDE=")
    return Machine(build(folder, *options, targets=WATCHED), environment=environment)


def thread_checked(folder: Path) -> Machine:
    """This machine, with ThreadSanitizer; the session too, without torch's binding."""
    options = ("-DCMAKE_CXX_FLAGS=-O1 -g -fsanitize=thread", "-DEDGEKIT_TORCH_INCLUDE=")
    suppressions = CHECKOUT / SESSION / "tsan.supp"
    environment = (("TSAN_OPTIONS", f"suppressions={suppressions}"),)
    return Machine(build(folder, *options, targets=WATCHED), environment=environment)


def emulated_gpu(folder: Path) -> Machine:
    """This machine with a GPU, emulated on its CPU (native/cuda/fake_driver.cpp), to which operators go."""
    options = ("-DEDGEKIT_TORCH_INCLUDE=", "-DEDGEKIT_EXECUTORCH=")
    built = build(folder, *options, targets=("run_operator", "fake_cuda", "old_cuda"))
    libraries = built / OPERATORS / "fake_cuda"
    return Machine(built, environment=(("EDGEKIT_GPU", "1"), ("LD_LIBRARY_PATH", str(libraries))))


def arm64(folder: Path) -> Machine:
    """An emulated arm64 machine, without the session: the wheel's tests are for that."""
    if reason := missing():
        pytest.skip(reason)
    return Machine(build(folder, "-DEDGEKIT_HEADERS=", "--toolchain", str(ARM64_TOOLCHAIN))).on(ARM64_CPUS[0])


def host(folder: Path) -> Machine:
    """This machine, with the session of the installed edgekit-runtime."""
    options = ("-DEDGEKIT_HEADERS=", f"-Dedgekit_DIR={runtime_for_cmake()}", "-DEDGEKIT_TORCH_INCLUDE=")
    return Machine(build(folder, *options))
