"""What every variant of SEA-OPT costs, with no checkpoint at hand; needs no torch."""

from __future__ import annotations

from edgekit.models.cost import Cost
from edgekit_runtime.tensors import TensorSpec

from .config import find_config, sea_config


def cost(variant: str) -> Cost:
    """Parameters with the estimators', and multiply-accumulates of one decode step, whatever the context.

    Raises:
        UsageError: an unknown variant.
    """
    opt = find_config(variant)
    sea = sea_config(opt)
    shape = (opt.num_attention_heads, opt.head_size)
    parameters = opt.parameters() + opt.num_hidden_layers * sea.parameters(*shape)
    macs = opt.linear_macs() + opt.num_hidden_layers * sea.macs(*shape)
    return Cost(parameters, macs, (TensorSpec("tokens", (1,), "int64", "token ids"),))
