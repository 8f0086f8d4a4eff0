"""What each operator means, in plain torch: slow, short and independent of the kernels."""

from __future__ import annotations

import torch
from torch import Tensor


def sparse_topk(x: Tensor, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """See `edgekit.kernels.ops`: sorts whole rows by keys that order like the numbers."""
    check_topk(x, k)
    # A float's bits order like sign and magnitude; NaN goes below everything.
    bits = x.float().view(torch.int32)
    magnitude = bits & 0x7FFFFFFF
    keys = torch.where(bits < 0, -magnitude, magnitude)
    keys = torch.where(x.isnan(), torch.iinfo(torch.int32).min, keys)
    indices = keys.sort(dim=-1, descending=True, stable=True).indices[..., :k]
    if not sorted:
        indices = indices.sort(dim=-1).values
    return x.gather(-1, indices), indices


def check_topk(x: Tensor, k: int) -> None:
    """Raises RuntimeError with operator, argument and value when sparse_topk does not take these."""
    if x.dtype not in (torch.float32, torch.float16):
        raise RuntimeError(f"sparse_topk: x is {x.dtype}: give float32 or float16.")
    if x.dim() < 1 or not 1 <= k <= x.shape[-1]:
        raise RuntimeError(f"sparse_topk: k is {k}, x's shape {tuple(x.shape)}: give 1 to x's last dimension.")
