"""What the StackVAE-G that ships costs; needs no torch."""

from __future__ import annotations

from edgekit.models.cost import Cost
from edgekit_runtime.tensors import TensorSpec

from .config import StackVAEGConfig

#: The shape of the checkpoint that ships: the defaults on the 38 channels of its machine.
SHIPPED_CONFIG = StackVAEGConfig(channels=38)


def cost(variant: str) -> Cost:
    """Parameters, and multiply-accumulates for one window."""
    config = SHIPPED_CONFIG
    window, hidden, latent, nodes = config.window, config.hidden, config.latent, config.node_dim
    encoder = [(window, hidden), (hidden, hidden), (hidden, latent)]
    decoder = [(latent, hidden), (hidden, hidden)]
    heads = [(latent, latent)] * 2 + [(hidden, window)] * 2
    graph = config.channels * nodes + (nodes + 1) * nodes
    parameters = graph + sum((inputs + 1) * outputs for inputs, outputs in encoder + decoder + heads)
    # The device's program has the two code layers as one, mixes codes over channels, and decodes the newest step only.
    chain = sum(inputs * outputs for inputs, outputs in [*encoder, *decoder, (hidden, 1)])
    macs = config.channels * chain + config.channels**2 * latent
    shape = (1, config.channels, window)
    return Cost(parameters, macs, (TensorSpec("windows", shape, "float32", "scaled readings"),))
