"""The native libraries as Python finds them: missing, of another version, or for another machine."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.kernels import native


@pytest.fixture
def unloaded(monkeypatch):
    """As if the library had not been loaded yet."""
    monkeypatch.setattr(native, "operators", native.operators.__wrapped__)


def test_another_version(unloaded, monkeypatch):
    monkeypatch.setattr(native, "VERSION", native.VERSION + 1)
    says = f"libedgekit_ops.so has version {native.VERSION - 1}, this edgekit needs {native.VERSION}: install edgekit"
    for load in (native.operators, native.load_torch_binding, native.load_executorch_binding.__wrapped__):
        with pytest.raises(EdgekitError, match=says):
            load()


def test_the_header_has_the_same_version():
    header = Path(__file__).parents[2] / "kernels" / "include" / "edgekit" / "ops.h"
    assert f"#define EDGEKIT_OPS_VERSION {native.VERSION}\n" in header.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["ops", "torch", "executorch"])
def test_for_another_machine(unloaded, monkeypatch, tmp_path, name):
    """The file's header says that it is for a machine that nobody has."""
    path = tmp_path / f"libedgekit_{name}.so"
    shutil.copyfile(native.library_path(name), path)
    with path.open("r+b") as file:
        file.seek(18)  # e_machine
        file.write(struct.pack("<H", 0xFFFF))
    true_path = native.library_path
    monkeypatch.setattr(native, "library_path", lambda wanted: path if wanted == name else true_path(wanted))
    load = {
        "ops": native.operators,
        "torch": native.load_torch_binding,
        "executorch": native.load_executorch_binding.__wrapped__,
    }[name]
    with pytest.raises(EdgekitError, match=rf"{path.name} (cannot be loaded|does not fit).*: install edgekit again"):
        load()


def test_missing(monkeypatch, tmp_path):
    import edgekit_runtime

    monkeypatch.setattr(edgekit_runtime, "__path__", [str(tmp_path)])
    with pytest.raises(EdgekitError, match=r"libedgekit_ops\.so is not installed: install edgekit again"):
        native.library_path("ops")
