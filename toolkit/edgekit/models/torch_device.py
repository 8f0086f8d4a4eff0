"""Where torch computes: on a GPU that CUDA has, or on the CPU."""

from __future__ import annotations

import torch

from edgekit.errors import UsageError


def torch_device(name: str | None) -> str:
    """The device of `--set device=NAME`, found to be there; cuda where there is one, else cpu, for None.

    Raises:
        UsageError: torch does not know it, or has none here.
    """
    device = name if name is not None else "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--set device: torch has no device {device!r} here: leave it out, or take cpu.") from error
    return device
