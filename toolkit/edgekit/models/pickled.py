"""State dicts that `torch.save` wrote (.pkl, .pth, .bin), read as what may be hostile."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgekit.errors import EdgekitError


def load_state_dict(path: Path, what: str = "") -> dict[str, Tensor]:
    """The tensors of a file by name. Nothing in it is run, and it takes no more memory than the file is large.

    Args:
        path: the file.
        what: it is, for an error, with a space behind: "the checkpoint ".

    Raises:
        EdgekitError: it is cut short, holds something else than a state dict, or unpacks to more than it is.
    """
    check_unpacked_size(path, what)
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch's unpickler raises whatever damaged bytes lead it to
        raise EdgekitError(
            f"{what}{path} is cut short, or holds more than tensors (which is not loaded, it could run code): copy it "
            f"again."
        ) from None
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise EdgekitError(f"{what}{path} holds no state dict (names and tensors): save model.state_dict().")
    for name, value in loaded.items():
        # One number, said to be a million times a million.
        if value.layout != torch.strided or value.untyped_storage().nbytes() < value.numel() * value.element_size():
            raise EdgekitError(
                f"{what}{path} has a tensor {str(name)[:80]!r} of more numbers than the file holds: do not use it."
            )
    return {str(name): value for name, value in loaded.items()}


def check_unpacked_size(path: Path, what: str = "") -> None:
    """`torch.save` stores its parts as they are; what is packed may unpack to anything.

    Raises:
        EdgekitError: the file unpacks to more than it is.
    """
    if not zipfile.is_zipfile(path):  # as torch wrote it before 1.6
        return
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, LookupError, NotImplementedError):
        raise EdgekitError(f"{what}{path} is cut short: copy it again.") from None
    packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
    if packed or sum(part.file_size for part in parts) > path.stat().st_size:
        raise EdgekitError(f"{what}{path} is packed, which torch.save does not do: do not use it, or save it again.")
