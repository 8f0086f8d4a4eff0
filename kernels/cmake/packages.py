"""Where a package's headers and libraries are, for the native build: `packages.py torch|executorch FOLDER [PLATFORM]`.

The installed package is taken when its version fits edgekit's pin. Otherwise (it is not installed yet, or a cross build
needs another platform's) its wheel is downloaded without its dependencies and unpacked, in part, in FOLDER. The path is
printed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

#: What is needed of each package, and where in it the path that is printed lies.
PARTS = {
    "torch": (("torch/include/torch/csrc/stable/", "torch/include/torch/csrc/inductor/aoti_torch/",
               "torch/include/torch/headeronly/"), "torch/include"),
    "executorch": (("executorch/include/", "executorch/lib/", "executorch/share/"), "executorch"),
}  # fmt: skip
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def main(name: str, folder: Path, platform: str | None = None) -> Path:
    """The folder inside the package; raises SystemExit with a sentence when it cannot be had."""
    wanted = requirement(name)
    if platform is None and (found := installed(name, wanted)):
        return found
    place = folder / (platform or "host")
    inside = place / PARTS[name][1]
    if not inside.is_dir():
        unpack(name, wanted, place, platform)
    return inside


def requirement(name: str) -> str:
    """The line of pyproject.toml that pins a package."""
    found = re.search(rf'"({name}==[^";]+)"', PYPROJECT.read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit(f"{PYPROJECT} does not pin {name}.")
    return found[1]


def installed(name: str, wanted: str) -> Path | None:
    """The installed package's folder, if its version fits; also from a build that is isolated from it."""
    prefix = wanted.split("==")[1].rstrip("*")
    for site in dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))):
        for distribution in metadata.distributions(name=name, path=[site]):
            inside = Path(site) / PARTS[name][1]
            if f"{distribution.version}.".startswith(prefix) and inside.is_dir():
                return inside
    return None


def unpack(name: str, wanted: str, place: Path, platform: str | None) -> None:
    """Downloads the wheel and unpacks what is needed of it."""
    arguments = ["--platform", platform, "--only-binary=:all:"] if platform else []
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *arguments, "-d", scratch, wanted]
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise SystemExit(f"pip could not download {wanted}: install it, then pip install --no-build-isolation .")
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(place, [member for member in wheel.namelist() if member.startswith(PARTS[name][0])])


if __name__ == "__main__":
    print(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
