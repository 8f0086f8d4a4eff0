"""Building edgekit from the checkout, in the Python that runs this."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

#: The checkout.
ROOT = Path(__file__).resolve().parents[3]
WAYS = ("pip", "cmake", "none")


class BuildError(Exception):
    """A build failed; the sentence says where its output is."""


def build(way: str, folder: Path, gpu_code: Path | None, say: Callable[[str], None]) -> dict[str, str]:
    """What the environment needs so that `edgekit` is what was built.

    Args:
        way: "pip": both packages are installed, with what they depend on that is there already; "cmake": the operators
            and torch's binding alone, into `folder`, for a machine that has torch, CMake and Ninja and no network;
            "none": what is installed is taken.
        folder: for what is built, and the log.
        gpu_code: a container of GPU code that was compiled elsewhere; None compiles it here.
        say: told what goes on.

    Raises:
        BuildError: a command fails.
    """
    if way == "none":
        return {}
    define = [f"-DEDGEKIT_GPU_CODE={gpu_code.resolve()}"] if gpu_code is not None else []
    if way == "pip":
        say("installing both packages from the checkout")
        settings = [f"--config-settings=cmake.define.{word.removeprefix('-D')}" for word in define]
        for package in ("./kernels/runtime/python", "."):
            _run([sys.executable, "-m", "pip", "install", "--no-deps", *settings, package], folder, ROOT)
        return {}
    say("building the operators and torch's binding")
    import torch

    headers = Path(torch.__file__).parent / "include"
    out = folder / "build"
    _run(
        [
            *("cmake", "-S", str(ROOT), "-B", str(out), "-G", "Ninja", "-DEDGEKIT_EXECUTORCH="),
            *(f"-DEDGEKIT_TORCH_INCLUDE={headers}", f"-DPython_EXECUTABLE={sys.executable}", *define),
        ],
        folder,
        ROOT,
    )
    _run(["cmake", "--build", str(out), "--target", "edgekit_ops", "edgekit_torch"], folder, ROOT)
    site = folder / "site"
    _link_package(site, out / "kernels")
    return {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}


def _link_package(site: Path, libraries: Path) -> None:
    """The package as pip maps it, of links into the checkout, with these libraries."""
    package = site / "edgekit"
    (package / "kernels" / "lib").mkdir(parents=True)
    for source in (ROOT / "toolkit" / "edgekit").iterdir():
        (package / source.name).symlink_to(source)
    for name in ("export", "devices"):
        (package / name).symlink_to(ROOT / name)
    for source in (ROOT / "kernels").iterdir():
        if source.suffix == ".py":
            (package / "kernels" / source.name).symlink_to(source)
    for library in libraries.glob("libedgekit_*.so"):
        (package / "kernels" / "lib" / library.name).symlink_to(library)
    # What needs the session is not built: the package does not import it.
    runtime = site / "edgekit_runtime"
    runtime.mkdir()
    for source in (ROOT / "kernels" / "runtime" / "python" / "edgekit_runtime").glob("*.py"):
        (runtime / source.name).symlink_to(source)
    (runtime / "__init__.py").unlink()
    (runtime / "__init__.py").touch()


def _run(command: list[str], folder: Path, where: Path) -> None:
    log = folder / "build.log"
    try:
        with log.open("a") as file:
            done = subprocess.run(command, cwd=where, stdout=file, stderr=subprocess.STDOUT, check=False)
    except FileNotFoundError as error:
        raise BuildError(
            f"{command[0]} is not installed: it is needed to build; install it (pip install {command[0]})."
        ) from error
    if done.returncode != 0:
        raise BuildError(f"`{' '.join(command[:4])} ...` failed: {log} has what it said.")
