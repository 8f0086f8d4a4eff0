"""The wheels of both packages: what they carry, and that the main job runs from the files alone.

`.ci/wheels` builds them for both machines and runs this on its folder, in EDGEKIT_WHEELS; otherwise they are made again
of what is installed here.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from packaging.metadata import Metadata
from packaging.utils import parse_wheel_filename

import edgekit
from edgekit.elf import MACHINES, newest_version, version_numbers

from ..wheels import packed, recorded

PACKAGES = ("edgekit_runtime", "edgekit")
GIVEN = os.environ.get("EDGEKIT_WHEELS")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[tuple[str, str], Path]:
    """By package and machine."""
    if GIVEN is not None:
        found = {
            (name, machine): path
            for machine in ("x86_64", "aarch64")
            for name in PACKAGES
            for path in Path(GIVEN).glob(f"{name}-{edgekit.__version__}-*_{machine}.whl")
        }
        assert len(found) == 4, f"a wheel of each package for each machine, not {sorted(Path(GIVEN).glob('*.whl'))}"
        return found
    if not Path(edgekit.__file__).is_relative_to(sysconfig.get_path("purelib")):
        pytest.skip("edgekit is installed editable: wheels are made of a normal install (pip install .)")
    folder = tmp_path_factory.mktemp("wheels")
    return {(name, platform.machine()): packed(name, recorded(name), folder) for name in PACKAGES}


def test_what_they_carry(wheels):
    for (package, machine), path in wheels.items():
        name, version, _, tags = parse_wheel_filename(path.name)
        assert (name, str(version)) == (package.replace("_", "-"), edgekit.__version__)
        (tag,) = tags
        assert tag.platform.endswith(machine)
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            information = f"{package}-{version}.dist-info"
            about = Metadata.from_email(archive.read(f"{information}/METADATA"), validate=False)
            assert about.license_expression == "Apache-2.0"
            if package == "edgekit":
                assert f"edgekit-runtime=={version}" in [str(need) for need in about.requires_dist or []]
            licences = [name for name in archive.namelist() if re.search(r"dist-info/(licenses/)?LICENSE", name)]
            assert licences, f"{path.name} carries no licence"
            programs = [name for name in archive.namelist() if archive.read(name)[:4] == b"\x7fELF"]
            assert programs
            for inside in programs:
                with archive.open(inside) as file:
                    elf = ELFFile(file)
                    assert elf["e_machine"] == MACHINES[machine], inside
                    asked = newest_version(elf, "GLIBC")
                manylinux = re.match(r"manylinux_(\d+)_(\d+)_", tag.platform)
                if manylinux is not None:
                    assert asked <= (int(manylinux[1]), int(manylinux[2])), f"{inside} needs glibc {asked}"
                assert asked <= version_numbers("2.35"), f"{inside} needs a newer glibc than Ubuntu 22.04 has"
        assert GIVEN is None or tag.platform.startswith("manylinux_")


@pytest.mark.slow
def test_the_main_job_from_the_files_alone(wheels, tmp_path):
    folder = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    files = [wheels[name, platform.machine()] for name in PACKAGES]
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-index", "--no-deps")
    subprocess.run([*pip, "--disable-pip-version-check", *files], check=True)
    # What others publish is taken from here: its own packages come first.
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "others.pth").write_text("\n".join(place for place in sys.path if Path(place).name == "site-packages"))
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "TMPDIR": tempfile.gettempdir()}

    def run(*arguments: object) -> str:
        command = [folder / "bin" / "edgekit", *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = [python, "-c", "import edgekit, edgekit_runtime as r; print(edgekit.__file__, r.__file__)"]
    said = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert said.count(str(own)) == 2
    run("export", "stackvae-g", "--device", "linux-x86_64", "--recipe", "fp32", "-q")
    (bundle,) = (tmp_path / "bundles").iterdir()
    run("verify", bundle)
    version = subprocess.run([bundle / "edgekit-run", "--version"], env={}, capture_output=True, text=True, check=True)
    assert version.stdout == f"edgekit-run {edgekit.__version__}\n"
