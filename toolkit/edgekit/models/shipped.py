"""The checkpoints in the package."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib import resources
from pathlib import Path


def shipped_or(given: Path | None, model: str, name: str) -> AbstractContextManager[Path]:
    """A checkpoint's path for the block: the given one, or that of one in the package, which may not exist.

    Args:
        given: None for the one in the package.
        model: the folder of its code in `edgekit.models`.
        name: of the file, without its ending.
    """
    if given is not None:
        return nullcontext(given)
    return resources.as_file(resources.files(f"edgekit.models.{model}") / "checkpoints" / f"{name}.safetensors")
