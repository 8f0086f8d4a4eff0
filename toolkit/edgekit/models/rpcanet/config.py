"""Variants and shapes of RPCANet and RPCANet++, and what they cost; needs no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from edgekit.errors import EdgekitError, unknown_name

#: Convolutions from C to C in the object module, and in the restoration and RPCANet's background module.
SPARSE_LAYERS, TRUNK_LAYERS = 6, 3
#: Channels per channel of the narrow layer of the contrast prior's attention.
NARROWING = 4
#: Height and width of a frame unless the user asks for another.
DEFAULT_SIZE = (256, 256)


@dataclass(frozen=True)
class RPCANetConfig:
    """Shape of one RPCANet.

    Attributes:
        stages: unfolded stages K, each with weights of its own.
        plus_plus: RPCANet++ (memory between stages, contrast prior) instead of RPCANet.
        channels: width C of the trunks.
        kernel: side of the contrast prior's convolution, odd; RPCANet has no such prior.
    """

    stages: int
    plus_plus: bool
    channels: int = 32
    kernel: int = 17

    def __post_init__(self) -> None:
        for name, low, high in (("stages", 1, 64), ("channels", NARROWING, 1024), ("kernel", 1, 63)):
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise EdgekitError(f"RPCANet: {name} must be a whole number from {low} to {high}, not {value!r}.")
        if self.kernel % 2 == 0:
            raise EdgekitError(f"RPCANet: kernel must be odd, not {self.kernel}.")

    @property
    def family(self) -> str:
        """What people call it."""
        return f"RPCANet{'++' if self.plus_plus else ''} with {self.stages} stage{'s' if self.stages > 1 else ''}"

    def parameters(self) -> int:
        """Trainable parameters, the unused ones of the first stage's memory among them."""
        c, narrow = self.channels, self.channels // NARROWING
        restoration = _trunk(c, TRUNK_LAYERS) + (TRUNK_LAYERS + 1) * 2 * c
        stage = restoration + _trunk(c, SPARSE_LAYERS) + 1
        if not self.plus_plus:
            return self.stages * (stage + restoration)
        background = _conv(1, c) + 2 * c + 12 * _conv(c, c) + _conv(c, 1)
        attention = _conv(c, narrow, 1) + 2 * narrow + _conv(narrow, c, 1) + 2 * c
        contrast = _conv(1, c) + c * c * self.kernel**2 + attention + 2 * c + _conv(c, 1)
        return self.stages * (stage + background + contrast)

    def macs(self, height: int, width: int) -> int:
        """Multiply-accumulates of the device program for one frame, objects only: the last restoration is left out."""
        c = self.channels
        trunk, objects = ((2 * c + layers * c * c) * 9 for layers in (TRUNK_LAYERS, SPARSE_LAYERS))
        pixels = height * width
        if not self.plus_plus:
            return (self.stages * (2 * trunk + objects) - trunk) * pixels
        # Two residual blocks; the gates of the first stage see no past and none forgets.
        background = (2 * c + (4 + 8) * c * c) * 9
        contrast = 2 * c * 9 + c * c * (1 + self.kernel**2)
        per_pixel = self.stages * (background + objects + contrast + trunk) - trunk - 5 * c * c * 9
        return per_pixel * pixels + self.stages * 2 * c * (c // NARROWING)

    def halo(self, stage_outputs: bool = False) -> int | None:
        """Pixels around an output on which it depends; None if it depends on the whole frame (RPCANet++).

        Args:
            stage_outputs: also for the last stage's restored image, which reaches farther than the logits.
        """
        if self.plus_plus:
            return None
        trunk, objects = TRUNK_LAYERS + 2, SPARSE_LAYERS + 2
        return self.stages * (2 * trunk + objects) - (0 if stage_outputs else trunk)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RPCANetConfig:
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            raise EdgekitError(f"RPCANet: the configuration has {', '.join(values)} instead of {', '.join(names)}.")
        return cls(**values)


def _conv(inputs: int, outputs: int, side: int = 3) -> int:
    return inputs * outputs * side**2 + outputs


def _trunk(channels: int, layers: int) -> int:
    return _conv(1, channels) + layers * _conv(channels, channels) + _conv(channels, 1)


#: Every variant by name, the default first: "v1" is RPCANet, "sK" RPCANet++ with K stages.
VARIANTS = {
    "s1": RPCANetConfig(1, plus_plus=True),
    "s2": RPCANetConfig(2, plus_plus=True),
    "s3": RPCANetConfig(3, plus_plus=True),
    "s6": RPCANetConfig(6, plus_plus=True),
    "s9": RPCANetConfig(9, plus_plus=True),
    "v1": RPCANetConfig(6, plus_plus=False),
}


def find_config(variant: str) -> RPCANetConfig:
    """The shape of a variant.

    Raises:
        UsageError: unknown; the message names the nearest.
    """
    if variant not in VARIANTS:
        raise unknown_name("variant of rpcanet", variant, VARIANTS, "edgekit list models")
    return VARIANTS[variant]
