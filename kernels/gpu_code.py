"""Which of the GPU code in a library a GPU is given: what `cuda/code.cpp` chooses on the device, known beforehand.

What lies in a library, and how, is `edgekit.kernels.gpu_images`' business.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.kernels.gpu_images import MACHINE_CODE, PTX, Image, carried, unpack


def library_images(library: Path) -> list[Image]:
    """Machine code and PTX of an operator library; empty where it was built without.

    Raises:
        EdgekitError: what it carries is damaged.
    """
    code = carried(library)
    try:
        return [image for image in unpack(code) if image.kind in (MACHINE_CODE, PTX)] if code else []
    except ValueError as error:
        raise EdgekitError(f"the GPU code of {library} cannot be read ({error}): install edgekit again.") from error


def runs_on(image: Image, capability: tuple[int, int]) -> bool:
    """Whether a GPU of that compute capability takes an image, given a driver that is new enough.

    Machine code is for the same major version, from its minor one on, or for one GPU only; PTX for all from its version
    on.
    """
    if image.kind == PTX:
        return capability >= (image.major, image.minor)
    return capability[0] == image.major and (
        capability[1] == image.minor if image.only else capability[1] >= image.minor
    )


def oldest_driver(image: Image) -> tuple[int, int]:
    """The first CUDA version whose driver takes an image: machine code from its compiler's major version on (CUDA's
    minor version compatibility), PTX from the compiler's own on."""
    major, minor = image.compiler // 1000, image.compiler % 1000 // 10
    return (major, minor) if image.kind == PTX else (major, 0)


def fitting(images: Iterable[Image], capability: tuple[int, int], driver: tuple[int, ...]) -> Image | None:
    """What a GPU under a driver is given: the nearest machine code, else the newest PTX; None: there is neither."""
    usable = [image for image in images if runs_on(image, capability) and driver >= oldest_driver(image)]
    return max(usable, key=lambda image: (image.kind == MACHINE_CODE, image.major, image.minor), default=None)
