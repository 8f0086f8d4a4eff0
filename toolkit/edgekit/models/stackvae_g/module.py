"""StackVAE-G as it is trained: one small VAE shared by all channels, mixed by a learned graph.

Wenkai Li, Wenbo Hu, Ting Chen, Ning Chen, Cheng Feng: "StackVAE-G: An efficient and interpretable model for
time series anomaly detection", AI Open 3 (2022) 101-110.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .config import StackVAEGConfig


class GraphLearner(nn.Module):
    """Learns a sparse, row-stochastic channel graph from one embedding per channel.

    The undirected learner: both sides of the product use the same embedding.
    """

    def __init__(self, config: StackVAEGConfig) -> None:
        super().__init__()
        self.alpha = config.alpha
        self.neighbours = config.kept_neighbours
        self.embedding = nn.Embedding(config.channels, config.node_dim)
        self.linear = nn.Linear(config.node_dim, config.node_dim)

    def edges(self) -> Tensor:
        """Non-negative edge weights (C, C) float32 in [0, alpha), at most `neighbours` a row."""
        nodes = torch.tanh(self.alpha * self.linear(self.embedding.weight))
        dense = torch.relu(self.alpha * torch.tanh(nodes @ nodes.T))
        _, kept = dense.topk(self.neighbours, dim=1)
        return dense * torch.zeros_like(dense).scatter(1, kept, 1.0)

    def forward(self) -> Tensor:
        """The propagation matrix (C, C) float32: self-loop added, every row sums to 1."""
        edges = self.edges()
        looped = edges + torch.eye(len(edges), dtype=edges.dtype, device=edges.device)
        return looped / looped.sum(dim=1, keepdim=True)


def without_self_loop(propagation: Tensor) -> Tensor:
    """A propagation matrix (C, C) with its diagonal removed and its rows scaled to 1 again (0 where empty)."""
    off_diagonal = propagation - torch.diag_embed(propagation.diagonal())
    return off_diagonal / off_diagonal.sum(dim=1, keepdim=True).clamp_min(1e-12)


@dataclass(frozen=True)
class Losses:
    """The three terms of the training loss, each a scalar tensor: a sum over channels and time, mean over windows."""

    reconstruction: Tensor
    kl: Tensor
    graph: Tensor

    @property
    def total(self) -> Tensor:
        return self.reconstruction + self.kl + self.graph


class StackVAEG(nn.Module):
    """The whole model. Windows are (B, C, w) float32, time last, scaled by the training part's range."""

    def __init__(self, config: StackVAEGConfig) -> None:
        super().__init__()
        w, h, z = config.window, config.hidden, config.latent
        self.config = config
        self.enc1 = nn.Linear(w, h)
        self.enc2 = nn.Linear(h, h)
        self.h_z = nn.Linear(h, z)
        self.z_mean = nn.Linear(z, z)
        self.z_logvar = nn.Linear(z, z)
        self.dec1 = nn.Linear(z, h)
        self.dec2 = nn.Linear(h, h)
        self.x_mean = nn.Linear(h, w)
        self.x_logvar = nn.Linear(h, w)
        self.graph = GraphLearner(config)

    def encode(self, windows: Tensor, propagation: Tensor) -> Tensor:
        """Mixed codes V2 (B, C, z) of windows (B, C, w)."""
        hidden = torch.relu(self.enc2(torch.relu(self.enc1(windows))))
        codes = self.h_z(hidden)
        gamma = self.config.gamma
        return (1.0 - gamma) * codes + gamma * (propagation @ codes)

    def decode(self, latent: Tensor) -> Tensor:
        """Hidden decoder features (B, C, h) of latents (B, C, z)."""
        return torch.relu(self.dec2(torch.relu(self.dec1(latent))))

    def forward(self, windows: Tensor) -> Tensor:
        """Mean reconstruction (B, C, w) of windows (B, C, w), with the latent at its mean."""
        return self.x_mean(self.decode(self.z_mean(self.encode(windows, self.graph()))))

    def losses(self, windows: Tensor, generator: torch.Generator | None = None) -> Losses:
        """The loss terms for windows (B, C, w), with sampled latent and sampled output."""
        propagation = self.graph()
        codes = self.encode(windows, propagation)
        mean, logvar = self.z_mean(codes), self.z_logvar(codes)
        features = self.decode(mean + torch.exp(0.5 * logvar) * _noise(mean, generator))
        output, spread = self.x_mean(features), torch.exp(0.5 * self.x_logvar(features))
        sampled = output + spread * _noise(output, generator)
        predictor = propagation if self.config.graph_loss == "self-loop" else without_self_loop(propagation)
        batch = len(windows)
        return Losses(
            reconstruction=(sampled - windows).square().sum() / batch,
            kl=-0.5 * (1.0 + logvar - mean.square() - logvar.exp()).sum() / batch,
            graph=(windows - predictor @ windows).square().sum() / batch,
        )


def _noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
