"""edgekit's operators as `torch.ops.edgekit.*`: importing this defines them and loads their native kernels."""

from __future__ import annotations

from edgekit.kernels import ops, stateless
from edgekit.kernels.attention import sea_attention
from edgekit.kernels.native import ISAS, isa, library_path, load_torch_binding, use_isa

__all__ = ["ISAS", "isa", "library_path", "sea_attention", "use_isa"]

ops.define()
stateless.define()
load_torch_binding()
