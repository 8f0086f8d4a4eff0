"""One warm process for the tests of a file, and small inputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .commands import Commands
from .inputs import make


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with Commands(tmp_path_factory.mktemp("faults")) as started:
        yield started


@pytest.fixture(scope="module")
def inputs(commands: Commands) -> Path:
    """A folder with `pump.npz`, `pump.safetensors`, `native` and others."""
    return make(commands.folder / "inputs", commands)
