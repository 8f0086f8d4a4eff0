"""How a language model's KV cache is stored."""

from __future__ import annotations

from typing import Literal, get_args

#: "int8" has a scale per row of a head.
KV = Literal["fp32", "fp16", "int8"]
KVS: tuple[KV, ...] = get_args(KV)
