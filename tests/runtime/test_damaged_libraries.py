"""A bundle whose native files are missing, cut off, changed or another machine's: a sentence that says what to do."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.export.native_files import native_files
from edgekit_runtime import EdgekitError, Session

LIBRARIES = "libedgekit_ops.so", "libedgekit_runner.so", "libedgekit_runtime.so", "libexecutorch.so"
REMEDY = "copy the bundle again"


def carry(folder: Path, fields: dict[str, Any]) -> None:
    """Puts in this machine's native files."""
    for name, path in native_files(platform.machine()).items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / name)
    (folder / "edgekit-run").chmod(0o755)


@pytest.fixture
def bundle(pump_bundle: Path, resealed: Callable[..., Path]) -> Path:
    """The pump's, with this machine's native files, to be damaged."""
    return resealed(pump_bundle, carry)


def run(bundle: Path) -> subprocess.CompletedProcess[str]:
    command = [str(bundle / "edgekit-run"), "--bench", "1"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={})


def check_refused(done: subprocess.CompletedProcess[str], *says: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("edgekit-run: error: ")
    assert done.stderr.count("\n") == 1
    for words in (*says, REMEDY):
        assert words in done.stderr


def answer(session: Session) -> np.ndarray:
    (spec,) = session.methods[0].inputs
    return session.run(np.full(spec.shape, 0.5, np.float32))[0]


def test_an_undamaged_one_runs(bundle):
    done = run(bundle)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", LIBRARIES)
def test_missing(bundle, name):
    (bundle / "lib" / name).unlink()
    check_refused(run(bundle), f"({name}: cannot open shared object file: No such file or directory)")
    with pytest.raises(EdgekitError, match=rf"lib/{name} is missing: copy the bundle again"):
        Session(bundle)


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("left", [0.0, 0.001, 0.5, 0.9])
def test_cut_off(bundle, name, left):
    library = bundle / "lib" / name
    library.write_bytes(library.read_bytes()[: int(left * library.stat().st_size)])
    check_refused(run(bundle))
    with pytest.raises(EdgekitError, match=rf"lib/{name} was changed after export: copy the bundle again"):
        Session(bundle)


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.9, 0.999])
def test_a_changed_byte(bundle, name, place):
    """Where the change does not keep the library from being loaded, its hash gives it away."""
    library = bundle / "lib" / name
    content = bytearray(library.read_bytes())
    content[int(place * len(content))] ^= 0x10
    library.write_bytes(content)
    check_refused(run(bundle))
    with pytest.raises(EdgekitError, match=rf"lib/{name} was changed after export: copy the bundle again"):
        Session(bundle)


def test_another_machines(bundle):
    library = bundle / "lib" / "libexecutorch.so"
    content = bytearray(library.read_bytes())
    content[18:20] = b"\xff\xff"  # e_machine
    library.write_bytes(content)
    check_refused(run(bundle), "libexecutorch.so")


def test_another_machines_bundle(pump_bundle, resealed):
    """Programs are portable: a session runs what was exported for another architecture, and takes no library of it."""

    def foreign(folder: Path, fields: dict[str, Any]) -> None:
        carry(folder, fields)
        fields["device"] = "raspberry-pi-5"
        for library in (folder / "lib").iterdir():
            library.write_bytes(b"\x7fELF" + bytes(60))

    other = resealed(pump_bundle, foreign)
    np.testing.assert_array_equal(answer(Session(other)), answer(Session(pump_bundle)))
