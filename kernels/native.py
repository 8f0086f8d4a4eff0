"""The native libraries: where they are, whether they fit, and which instruction set they use."""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path

import edgekit_runtime
from edgekit.errors import EdgekitError, unknown_name

#: Every instruction set that has kernels; a CPU has some of them.
ISAS = ("scalar", "avx2", "neon")
#: Must equal EDGEKIT_OPS_VERSION in include/edgekit/ops.h.
VERSION = 1


def library_path(name: str) -> Path:
    """The file of a library: "ops", "executorch" and "litert", which come with edgekit-runtime, or "torch".

    Raises:
        EdgekitError: it is not there.
    """
    file = f"libedgekit_{name}.so"
    # An editable install has two folders: the checkout's and the one that was built.
    for folder in [*edgekit_runtime.__path__, *sys.modules[__package__].__path__]:
        path = Path(folder, "lib", file)
        if path.exists():
            return path
    raise EdgekitError(
        f"{file} is not installed: install edgekit again (pip install ./kernels/runtime/python . in the checkout)."
    )


@functools.cache
def operators() -> ctypes.CDLL:
    """The operators' library, loaded.

    Raises:
        EdgekitError: it is missing, cannot be loaded or is of another version.
    """
    path = library_path("ops")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise EdgekitError(f"{path} cannot be loaded ({error}): install edgekit again.") from error
    found = library.edgekit_ops_version()
    if found != VERSION:
        raise EdgekitError(f"{path} has version {found}, this edgekit needs {VERSION}: install edgekit again.")
    library.edgekit_isa.restype = ctypes.c_char_p
    library.edgekit_last_error.restype = ctypes.c_char_p
    library.edgekit_use_isa.argtypes = [ctypes.c_char_p]
    return library


def load_torch_binding() -> None:
    """Registers the kernels of `torch.ops.edgekit.*`.

    Raises:
        EdgekitError: the libraries are missing or do not fit.
    """
    import torch

    operators()
    path = library_path("torch")
    try:
        torch.ops.load_library(path)
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise EdgekitError(
            f"{path} does not fit torch {torch.__version__} ({reason}): install edgekit again."
        ) from error


@functools.cache
def load_executorch_binding() -> None:
    """Registers `edgekit::*` in ExecuTorch's runtime, which must have been imported; once in a process.

    Raises:
        EdgekitError: the libraries are missing or do not fit.
    """
    operators()
    path = library_path("executorch")
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        raise EdgekitError(f"{path} does not fit this ExecuTorch ({error}): install edgekit again.") from error


def isa() -> str:
    """The instruction set in use.

    Raises:
        EdgekitError: EDGEKIT_ISA names one that this CPU or library does not have.
    """
    name = operators().edgekit_isa()
    if name is None:
        raise EdgekitError(operators().edgekit_last_error().decode())
    return str(name.decode())


def use_isa(name: str | None) -> None:
    """Forces an instruction set for this process; None chooses the best. For tests and benchmarks.

    Raises:
        UsageError: there is no such instruction set.
        EdgekitError: this CPU does not have it.
    """
    if name is not None and name not in ISAS:
        raise unknown_name("instruction set", name, ISAS)
    if operators().edgekit_use_isa(None if name is None else name.encode()):
        raise EdgekitError(operators().edgekit_last_error().decode())
