"""Where headers and libraries of others are, for the native build.

    packages.py torch|executorch|headers|nvidia-cuda-nvrtc-cu12|nvidia-cuda-nvrtc FOLDER [PLATFORM]

The installed package is taken when its version fits edgekit's pin. Otherwise (it is not installed yet, or a cross build
needs another platform's) its wheel is downloaded without its dependencies and unpacked, in part, in FOLDER. The path is
printed. `headers` are small libraries of a file or two, and come with the sources of published packages. NVRTC compiles
the GPU's kernels, and runs here whatever the platform.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

#: What is needed of each package, and where in it the path that is printed lies.
PARTS = {
    "torch": (("torch/include/torch/csrc/stable/", "torch/include/torch/csrc/inductor/aoti_torch/",
               "torch/include/torch/headeronly/"), "torch/include"),
    "executorch": (("executorch/include/", "executorch/lib/", "executorch/share/"), "executorch"),
    "nvidia-cuda-nvrtc-cu12": (("nvidia/cuda_nvrtc/lib/",), "nvidia/cuda_nvrtc"),
    "nvidia-cuda-nvrtc": (("nvidia/cu13/lib/libnvrtc.so.", "nvidia/cu13/lib/libnvrtc-builtins.so."), "nvidia/cu13"),
}  # fmt: skip
#: By published source package: the files taken from it, with where they lie there and their SHA-256. They are
#: nlohmann/json 3.11.2, stb_image 2.28, stb_image_write 1.16 and Monocypher 4.0.3.
SOURCES = {
    "stable-diffusion-cpp-python==0.4.7": {
        "nlohmann/json.hpp": (
            "thirdparty/json.hpp",
            "665fa14b8af3837966949e8eb0052d583e2ac105d3438baba9951785512cf921",
        ),
        "stb/stb_image.h": (
            "thirdparty/stb_image.h",
            "38e08c1c5ab8869ae8d605ddaefa85ad3fea24a2964fd63a099c0c0f79c70bcc",
        ),
        "stb/stb_image_write.h": (
            "thirdparty/stb_image_write.h",
            "683e15c6dfdc2d57b06b9e166ba27665328e0854a9c1130c2ba9958afaf2f8da",
        ),
    },
    "pymonocypher==4.0.3.4": {
        "monocypher/monocypher.c": ("monocypher.c", "57eb914fc88136119bd41655cccb8c250048bf54d470540625186f8ab16f64be"),
        "monocypher/monocypher.h": ("monocypher.h", "c494da712122da7ff679fdcf318a5317e84972b6c950fe9d896212947797facd"),
    },
}
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def main(name: str, folder: Path, platform: str | None = None) -> Path:
    """The folder inside the package; raises SystemExit with a sentence when it cannot be had."""
    if name == "headers":
        return headers(folder / name)
    wanted = requirement(name)
    if name.startswith("nvidia-"):
        platform = None
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
    with downloaded(wanted, *arguments) as file, zipfile.ZipFile(file) as wheel:
        wheel.extractall(place, [member for member in wheel.namelist() if member.startswith(PARTS[name][0])])


def headers(folder: Path) -> Path:
    """The folder with the files of SOURCES; a package of which one is missing there is fetched."""
    for package, files in SOURCES.items():
        if all((folder / name).is_file() for name in files):
            continue
        with downloaded(package, "--no-binary", package.split("==")[0]) as file, tarfile.open(file) as sources:
            for name, (end, wanted) in files.items():
                member = next((member for member in sources.getmembers() if member.name.endswith(f"/{end}")), None)
                opened = sources.extractfile(member) if member else None
                content = opened.read() if opened else b""
                if hashlib.sha256(content).hexdigest() != wanted:
                    raise SystemExit(f"{package} has another {name} than edgekit was made with: set EDGEKIT_HEADERS.")
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
    return folder


@contextmanager
def downloaded(wanted: str, *arguments: str) -> Iterator[Path]:
    """A package's file from pip's index, without its dependencies."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *arguments, "-d", scratch, wanted]
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        files = list(Path(scratch).iterdir())
        if done.returncode or len(files) != 1:
            raise SystemExit(f"pip could not download {wanted}: install it, then pip install --no-build-isolation .")
        yield files[0]


if __name__ == "__main__":
    print(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
