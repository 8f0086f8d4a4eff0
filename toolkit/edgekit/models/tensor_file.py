"""Our own files of tensors: safetensors with one JSON header of what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from edgekit.errors import EdgekitError
from edgekit.files import replacing

#: The header's place in the file's metadata.
HEADER = "edgekit"


def write_tensor_file(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Writes the whole file or nothing.

    Raises:
        EdgekitError: it cannot be written.
    """
    # One entry only: safetensors writes several in any order.
    with replacing(path) as temporary:
        save_file(dict(tensors), temporary, metadata={HEADER: json.dumps(header, sort_keys=True)})


def read_tensor_file(path: Path, what: str, remedy: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file by name, and its metadata, in which files of ours have `HEADER`.

    Args:
        path: the file.
        what: it is, for an error: "the checkpoint".
        remedy: what to do with a damaged one: "copy or train it again".

    Raises:
        EdgekitError: it is cut short, or no such file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise EdgekitError(f"{what} {path} is cut short or not a safetensors file ({error}): {remedy}.") from error
    return tensors, metadata
