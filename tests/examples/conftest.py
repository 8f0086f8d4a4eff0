"""What the tests of the examples share: their builds."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ..machines import runtime_for_cmake, tool


@pytest.fixture(scope="session")
def built_example(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Builds a folder with a CMake file against the installed edgekit-runtime, warnings being errors, when it is first
    asked for; gives the folder of the programs. `needs`: what it must find, by CMake's name, with the command that
    installs it; without it the test skips.
    """
    known: dict[Path, Path] = {}

    def build(source: Path, needs: dict[str, str] | None = None) -> Path:
        if source in known:
            return known[source]
        cmake = tool("cmake")
        folder = tmp_path_factory.mktemp(source.name)
        options = [f"-Dedgekit_DIR={runtime_for_cmake()}", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror"]
        for step in (["-S", source, "-B", folder, *options], ["--build", folder, "--parallel", os.cpu_count()]):
            command = [cmake, *map(str, step)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            for package, install in (needs or {}).items():
                if done.returncode != 0 and f"Find{package}.cmake" in done.stderr:
                    pytest.skip(f"the example needs {package}: {install}")
            assert done.returncode == 0, done.stdout + done.stderr
        known[source] = folder
        return folder

    return build
