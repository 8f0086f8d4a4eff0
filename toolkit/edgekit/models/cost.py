"""What a model costs, known without its checkpoint; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit_runtime.tensors import TensorSpec


@dataclass(frozen=True)
class Cost:
    """Size and work of one variant at its default size.

    Attributes:
        parameters: trainable parameters.
        macs: multiply-accumulates of the device program for one call.
        inputs: of that call.
    """

    parameters: int
    macs: int
    inputs: tuple[TensorSpec, ...]
