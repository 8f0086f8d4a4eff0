"""What every variant of RPCANet costs, with no checkpoint at hand; needs no torch."""

from __future__ import annotations

from edgekit.models.cost import Cost
from edgekit_runtime.tensors import TensorSpec

from .config import DEFAULT_SIZE, find_config


def cost(variant: str) -> Cost:
    """Parameters, and multiply-accumulates for one frame of the default size.

    Raises:
        UsageError: an unknown variant.
    """
    config = find_config(variant)
    image = TensorSpec("image", (1, 1, *DEFAULT_SIZE), "float32", "brightness, 1 is white")
    return Cost(config.parameters(), config.macs(*DEFAULT_SIZE), (image,))
