"""The fuzzers by name, and one run of one of them. Both kinds are libFuzzer's programs and take its flags: C++ targets
that CMake builds with clang, and Python ones under Atheris.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import edgekit_runtime

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]

#: Longest input in bytes, by C++ parser.
PARSERS = {
    "csv": 4096,
    "npy": 1024,
    "image": 4096,
    "tokenizer": 8192,
    "features": 4096,
    "manifest": 16384,
    "program_calls": 8192,
}
#: Whole bundles that are loaded, by the seed's folder; the longest manifest and head of a program.
LOADS = {"anomalies": 16384, "segment": 16384, "text": 32768}
#: Longest input in bytes, by what Python reads.
PYTHON = {
    "python_manifest": 16384,
    "python_profile": 4096,
    "python_results": 32768,
    "python_checkpoint": 32768,
    "python_dictionary": 16384,
    "python_pickled": 8192,
    "python_archive": 8192,
    "python_tokenizer": 8192,
}
#: Bytes that a parser may take in one piece, whatever a file says; a bundle may declare any memory.
_LARGEST_PIECE_MB, _ANY_PIECE_MB = 256, 1 << 30
#: A machine that does other things, too, is slow at times.
_SECONDS_AN_INPUT = 120
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)|^Done (\d+) runs? in", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What came of a run: how many inputs, in how many seconds, and what the fuzzer said where it found something."""

    name: str
    executions: int
    seconds: float
    found: str
    artifacts: tuple[Path, ...]


def missing_compiler() -> str | None:
    """Why the C++ targets cannot be built here, and what to do; None if they can."""
    if shutil.which("clang++") is None:
        return "needs clang with its sanitizers: apt install clang"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "a.cpp")
        source.write_text('extern "C" int LLVMFuzzerTestOneInput(const char *, unsigned long) { return 0; }\n')
        command = ["clang++", "-fsanitize=fuzzer,address,undefined", str(source), "-o", str(source.with_suffix(""))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else "needs clang's sanitizers and libFuzzer: apt install libclang-rt-14-dev"


def missing_atheris() -> str | None:
    """Why the Python targets cannot run here; None if they can."""
    try:
        import atheris  # noqa: F401
    except ImportError:
        return "needs Atheris: pip install atheris"
    return None


def build(folder: Path) -> None:
    """Builds the C++ targets in a folder.

    Raises:
        RuntimeError: what CMake or the compiler said.
    """
    libraries = next(path for path in (Path(path) / "lib" for path in edgekit_runtime.__path__) if path.is_dir())
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    cmake = shutil.which("cmake", path=tools) or "cmake"
    options = {
        "CMAKE_CXX_COMPILER": "clang++",
        "Python_EXECUTABLE": sys.executable,
        "EDGEKIT_TORCH_INCLUDE": "",
        "EDGEKIT_RUNTIME": libraries,
    }
    configure = [cmake, "-S", str(HERE), "-B", str(folder), *(f"-D{name}={value}" for name, value in options.items())]
    for command in (configure, [cmake, "--build", str(folder), "--parallel", str(os.cpu_count())]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"the fuzzers cannot be built:\n{done.stdout}{done.stderr}")


def run(name: str, built: Path, executions: int, seed: int, artifacts: Path, corpus: Path | None = None) -> Outcome:
    """Runs one fuzzer: over its seeds and what was found before, then on changed ones.

    Args:
        name: of PARSERS, PYTHON, or "load_" and one of LOADS.
        built: the folder of `build`; not looked at for a Python target.
        executions: at least as many as there are seeds.
        seed: of the fuzzer's draws.
        artifacts: where an input goes that ends the program.
        corpus: where inputs are kept that reach something new; None for nowhere.
    """
    artifacts.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edgekit-fuzz-", dir=_fast_folder()) as scratch:
        kept = corpus or Path(scratch, "corpus")
        kept.mkdir(parents=True, exist_ok=True)
        prefix = f"{artifacts}/{name}-"
        command = [*_program(name, built), f"-runs={executions}", f"-seed={seed}", f"-timeout={_SECONDS_AN_INPUT}"]
        command += [
            "-print_final_stats=1",
            f"-artifact_prefix={prefix}",
            "-rss_limit_mb=4096",
            "-report_slow_units=3600",
            *_limits(name),
        ]
        environment = {**os.environ, "TMPDIR": scratch, "ASAN_OPTIONS": "allocator_may_return_null=1"}
        if name.startswith("load_"):
            bundle = HERE / "bundles" / name.removeprefix("load_")
            environment["EDGEKIT_FUZZ_BUNDLE"] = str(bundle)
            Path(scratch, "seeds").mkdir()
            Path(scratch, "seeds", "whole").write_bytes(_whole(bundle))
            command += [str(kept), f"{scratch}/seeds"]
        else:
            command.append(str(kept))
        seeds = HERE / "corpus" / name.removeprefix("python_")
        command += [str(seeds)] if seeds.is_dir() else []
        begin = time.monotonic()
        done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, check=False)
        seconds = time.monotonic() - begin
    text = (done.stdout + done.stderr).decode(errors="replace")
    counts = [int(one or other) for one, other in _EXECUTED.findall(text)]
    found = "" if done.returncode == 0 else text[-6000:] or f"exit code {done.returncode}"
    return Outcome(name, max(counts, default=0), seconds, found, tuple(sorted(artifacts.glob(f"{name}-*"))))


def _program(name: str, built: Path) -> list[str]:
    if name in PYTHON:
        return [sys.executable, "-m", "tests.fuzz.python_target", name]
    return [str(built / f"fuzz_{'load' if name.startswith('load_') else name}")]


def _limits(name: str) -> Sequence[str]:
    lengths = {**PARSERS, **PYTHON, **{f"load_{bundle}": length for bundle, length in LOADS.items()}}
    piece = _LARGEST_PIECE_MB if name in PARSERS else _ANY_PIECE_MB
    return f"-max_len={lengths[name]}", f"-malloc_limit_mb={piece}"


def _whole(bundle: Path) -> bytes:
    """A bundle as targets/load.cpp takes it."""
    program = (bundle / "program.pte").read_bytes()
    head = int.from_bytes(program[16:24], "little")
    return (bundle / "manifest.json").read_bytes() + b"\0" + program[:head]


def _fast_folder() -> str | None:
    """Files of a moment lie in memory, where there is such a folder."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
