"""edgekit-runtime as a wheel: what is in it, and that it needs numpy alone."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from elftools.elf.elffile import ELFFile

import edgekit
import edgekit_runtime
from edgekit.export.carried import needed, search_paths

from ..wheels import packed

NAME = "edgekit_runtime"
#: glibc and the compiler's own library: every Linux on which numpy runs has them.
SYSTEM = {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2"}
SYSTEM |= {"librt.so.1", "libgcc_s.so.1", "libstdc++.so.6"}


def files() -> Iterator[tuple[str, Path]]:
    """Every file of the package, by its path in a wheel."""
    for folder in map(Path, edgekit_runtime.__path__):
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{NAME}/{path.relative_to(folder).as_posix()}", path


def native() -> dict[str, Path]:
    return {name: path for name, path in files() if path.read_bytes()[:4] == b"\x7fELF"}


def test_libraries_lie_beside_each_other():
    found = native()
    assert {f"{NAME}/bin/edgekit-run", f"{NAME}/lib/libedgekit_runtime.so"} < set(found)
    own = {Path(name).name for name in found}
    for name, path in found.items():
        with path.open("rb") as file:
            elf = ELFFile(file)
            assert set(needed(elf)) <= own | SYSTEM, name
            assert all(place.startswith("$ORIGIN") for place in search_paths(elf)), name


def test_no_path_of_the_build_machine_is_inside():
    roots = (Path(__file__).parents[2], Path(sys.prefix), Path.home(), Path(tempfile.gettempdir()))
    paths = {f"{root}/".encode() for root in roots if root != Path("/")}
    assert not {(name, root) for name, path in native().items() for root in paths if root in path.read_bytes()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(NAME, files(), tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh virtual environment with the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    interpreter = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", interpreter, "install", "-q", "--disable-pip-version-check", wheel)
    subprocess.run(pip, check=True)
    return interpreter


@pytest.fixture(scope="module")
def tensors_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv1d(3, 8, 5), torch.nn.ReLU()).eval()
    folder = tmp_path_factory.mktemp("tensors")
    return edgekit.export_module(
        module, (torch.rand(1, 3, 32),), device="linux-x86_64", recipe="fp32", output_dir=folder
    ).path


@pytest.mark.slow
def test_it_runs_every_kind_of_bundle_alone(python, pump_bundle, plus_bundle, text_bundle, tensors_bundle, tmp_path):
    code = (
        "import importlib.metadata, importlib.util as find\n"
        "print(*sorted(item.name for item in importlib.metadata.distributions()))\n"
        "print(*(name for name in ('torch', 'executorch', 'edgekit') if find.find_spec(name)))\n"
    )
    said = subprocess.run([python, "-c", code], env={}, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said == "edgekit-runtime numpy\n\n"
    bundles = (pump_bundle, plus_bundle, text_bundle, tensors_bundle)
    answers = []
    for interpreter in (python, sys.executable):
        command = [interpreter, Path(__file__).with_name("answers.py"), tmp_path / "answers.npz", *bundles]
        done = subprocess.run(command, env={}, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        with np.load(tmp_path / "answers.npz") as file:
            answers.append(dict(file))
    alone, here = answers
    assert alone.keys() == here.keys()
    for name, wanted in here.items():
        assert wanted.size > 0
        np.testing.assert_array_equal(alone[name], wanted, err_msg=name)
