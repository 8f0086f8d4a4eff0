"""The doctor: what is broken is named, with the command that mends it."""

from __future__ import annotations

import importlib
import json
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgekit import doctor
from edgekit.doctor import Finding, examine
from edgekit.errors import EdgekitError

PINS = [
    "torch==2.13.*",
    "executorch==1.5.*",
    "numpy>=2.0",
    "tomli>=2.0; python_version < '3.11'",
    "ruff>=0.8; extra == 'test'",
]


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """edgekit's own metadata, so that a checkout that is not installed is examined as an installation is."""
    monkeypatch.setattr(metadata, "requires", lambda name: PINS)


def finding(part: str) -> Finding:
    (found,) = [item for item in examine() if item.part == part]
    return found


def test_a_sound_installation(monkeypatch):
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 1)
    monkeypatch.setattr(doctor.shutil, "which", lambda name, path=None: f"/usr/bin/{name}")
    findings = examine()
    assert [item.part for item in findings if not item.ok] == []
    found = {item.part: item.found for item in findings}
    assert found["Python"] == ".".join(map(str, sys.version_info[:3]))
    for part in doctor.PARTS:
        assert found[part] == metadata.version(part)
    assert "XnnpackBackend" in found["ExecuTorch runtime with XNNPACK"]
    assert found["edgekit's operators"] in ("avx2", "neon", "scalar")
    assert all(item.remedy for item in findings)


@pytest.mark.parametrize(
    ("part", "program", "remedy"),
    [
        ("arm64 cross compiler", "aarch64-linux-gnu-g++", "apt install g++-aarch64-linux-gnu"),
        ("arm64 emulator", "qemu-aarch64", "apt install qemu-user"),
        ("CMake", "cmake", "pip install cmake"),
        ("make", "make", "apt install make"),
    ],
)
def test_a_cross_build_is_only_for_those_who_build(cli, monkeypatch, part: str, program: str, remedy: str):
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 1)
    monkeypatch.setattr(doctor.shutil, "which", lambda name, path=None: None if name == program else f"/usr/bin/{name}")
    result = cli("doctor", "--json")
    assert result.code == 0
    checks = {check["part"]: check for check in json.loads(result.out)["checks"]}
    missing = {name for name, check in checks.items() if not check["ok"]}
    assert missing == {part}
    assert (checks[part]["found"], checks[part]["only_for"]) == ("none", "building and testing arm64 libraries")
    assert remedy in checks[part]["remedy"]
    words = " ".join(cli("doctor").out.split())
    assert "only for building" in words
    assert checks["torch"]["remedy"] not in words


def test_cmake_of_an_environment_that_is_not_activated(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name, path=None: path and f"{path}/{name}")
    found = finding("CMake")
    assert (found.ok, found.found) == (True, str(Path(sys.executable).parent / "cmake"))


def test_operators_that_cannot_be_loaded(monkeypatch):
    import edgekit.kernels

    monkeypatch.setattr(edgekit.kernels, "isa", lambda: (_ for _ in ()).throw(EdgekitError("libedgekit_ops.so is not")))
    found = finding("edgekit's operators")
    assert (found.ok, found.found) == (False, "libedgekit_ops.so is not")


def test_gpu_code(monkeypatch):
    from edgekit.kernels import gpu_images

    found = finding("GPU code")
    assert found.ok
    assert found.found == "compute capability 8.7, 9.0, 11.0; PTX for 8.0 and later"
    for code, says in ((b"", "none"), (b"something", "damaged: it begins with something else")):
        monkeypatch.setattr(gpu_images, "carried", lambda library, code=code: code)
        found = finding("GPU code")
        assert (found.ok, found.found) == (False, says)
        assert found.only_for == "the operators on a GPU (NVIDIA, Jetson)"
        assert "--force-reinstall" in found.remedy


def set_version(monkeypatch, part: str, version: str | None) -> None:
    true_version = metadata.version

    def answer(name: str) -> str:
        if name != part:
            return true_version(name)
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", answer)


@pytest.mark.parametrize("version", ["2.12.1", "2.14.0", "1.0"])
def test_a_version_that_does_not_fit(monkeypatch, version: str):
    set_version(monkeypatch, "torch", version)
    found = finding("torch")
    assert not found.ok
    assert found.found == f"{version}, needed ==2.13.*"
    assert found.remedy == "pip install 'torch==2.13.*'"


@pytest.mark.parametrize("version", ["2.13.0", "2.13.7+cpu", "2.13.0.dev20260101"])
def test_versions_that_fit(monkeypatch, version: str):
    set_version(monkeypatch, "torch", version)
    assert finding("torch").ok


@pytest.mark.parametrize(("part", "remedy"), [("executorch", "'executorch==1.5.*'"), ("rich", "'rich'")])
def test_a_missing_package(monkeypatch, part: str, remedy: str):
    set_version(monkeypatch, part, None)
    found = finding(part)
    assert (found.ok, found.found, found.remedy) == (False, "not installed", f"pip install {remedy}")


def test_edgekit_itself_is_not_installed(monkeypatch):
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    found = finding("edgekit")
    assert not found.ok
    assert "pip install ." in found.remedy
    assert finding("numpy").ok  # the others are examined all the same


def set_runtime(monkeypatch, answer) -> None:
    true_import = importlib.import_module
    monkeypatch.setattr(
        importlib, "import_module", lambda name: answer() if name == "executorch.runtime" else true_import(name)
    )


@pytest.mark.parametrize("kind", [ImportError, OSError])
def test_a_runtime_that_does_not_load_says_why(monkeypatch, kind: type[Exception]):
    def fail() -> None:
        raise kind("libtorch.so: cannot open shared object file\nand more")

    set_runtime(monkeypatch, fail)
    found = finding("ExecuTorch runtime with XNNPACK")
    assert not found.ok
    assert found.found == "libtorch.so: cannot open shared object file"
    assert found.remedy.startswith("pip install --force-reinstall")


def test_a_runtime_without_the_delegate(monkeypatch):
    runtime = SimpleNamespace(backend_registry=SimpleNamespace(registered_backend_names=["OtherBackend"]))
    set_runtime(monkeypatch, lambda: SimpleNamespace(Runtime=SimpleNamespace(get=lambda: runtime)))
    found = finding("ExecuTorch runtime with XNNPACK")
    assert (found.ok, found.found) == (False, "OtherBackend")


def test_no_compiler(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name, path=None: None)
    found = finding("C++ compiler")
    assert not found.ok
    assert "apt install g++" in found.remedy


def test_little_space(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage(10, 10, doctor.MIN_FREE_BYTES - 1))
    found = finding("temporary space")
    assert not found.ok
    assert "TMPDIR" in found.remedy


def test_an_old_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    assert finding("Python") == Finding("Python", False, "3.9.18", "install Python 3.10 or newer")


SOUND = Finding("torch", True, "2.13.0", "pip install torch")
BROKEN = Finding("rich", False, "not installed", "pip install 'rich>=13.7'")


def test_command_says_what_is_broken(cli, monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: [SOUND, BROKEN])
    result = cli("doctor")
    assert result.code == 1
    assert "1 of 2 parts" in result.err
    assert "rich" in result.err
    assert "pip install 'rich>=13.7'" in result.out
    assert "pip install torch" not in result.out  # nothing to mend there
    assert "Next:" not in result.out
    result = cli("doctor", "--json")
    assert result.code == 1
    assert json.loads(result.out) == {"checks": [SOUND.to_dict(), BROKEN.to_dict()], "ok": False}


def test_command_is_content(cli, monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: [SOUND])
    result = cli("doctor")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[-1] == "Next: edgekit export --device jetson"
    assert json.loads(cli("doctor", "--json").out)["ok"] is True
