"""Hyper-parameters of one StackVAE-G."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class StackVAEGConfig:
    """Shape and graph settings of a StackVAE-G (Li et al. 2022; the defaults are the authors').

    Attributes:
        channels: sensor channels C.
        window: time steps w of one input window.
        hidden: width of the encoder's and the decoder's hidden layers.
        latent: size z of one channel's code.
        node_dim: size d of one channel's embedding in the graph learner.
        neighbours: edges kept per channel (top-k of a row, the diagonal competes), clamped to C.
        alpha: saturation rate of the graph learner's tanh.
        gamma: share of the graph mix in the codes, in [0, 1].
        graph_loss: "self-loop" takes the channel itself among its neighbours when the graph is asked to
            predict it, as the authors do; "neighbours" leaves it out, for a graph that is read by people.
    """

    channels: int
    window: int = 100
    hidden: int = 200
    latent: int = 20
    node_dim: int = 30
    neighbours: int = 10
    alpha: float = 3.0
    gamma: float = 0.5
    graph_loss: str = "self-loop"

    def __post_init__(self) -> None:
        for name in ("channels", "window", "hidden", "latent", "node_dim", "neighbours"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= 65536:
                raise EdgekitError(f"StackVAE-G: {name} must be a whole number from 1 to 65536, not {value!r}.")
        if not 0.0 <= self.gamma <= 1.0:
            raise EdgekitError(f"StackVAE-G: gamma must lie in [0, 1], not {self.gamma!r}.")
        if self.graph_loss not in ("self-loop", "neighbours"):
            raise EdgekitError(f"StackVAE-G: graph_loss must be 'self-loop' or 'neighbours', not {self.graph_loss!r}.")

    @property
    def kept_neighbours(self) -> int:
        """Edges kept per channel, never more than there are channels."""
        return min(self.neighbours, self.channels)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StackVAEGConfig:
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise EdgekitError(f"StackVAE-G: unknown setting {unknown[0]!r} in the checkpoint's configuration.")
        if "channels" not in values:
            raise EdgekitError("StackVAE-G: the checkpoint's configuration has no 'channels'.")
        return cls(**values)
