"""StackVAE-G as it runs on a device: a fixed graph, fused layers, and one output step.

Exact to float rounding against the trained module: the sampling, both variance heads, the graph learner and all
output steps but the newest are gone; what is left is seven linear layers.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from edgekit_runtime.detect_anomalies import FloatArray

from .module import StackVAEG
from .scoring import Reconstruct


class LastStepReconstruction(nn.Module):
    """Windows (B, C, w) float32 to the reconstruction (B, C) float32 of their newest step."""

    def __init__(self, trained: StackVAEG) -> None:
        super().__init__()
        config = trained.config
        with torch.no_grad():
            propagation = trained.graph()
            identity = torch.eye(config.channels)
            self.enc1 = _linear(trained.enc1.weight, trained.enc1.bias)
            self.enc2 = _linear(trained.enc2.weight, trained.enc2.bias)
            # h_z and z_mean have nothing between them but the mix, which acts on the other axis and whose rows
            # sum to 1: their product is one layer, and its bias passes through the mix unchanged.
            mean, code = trained.z_mean, trained.h_z
            self.latent = _linear(mean.weight @ code.weight, mean.weight @ code.bias + mean.bias)
            self.mix = _linear((1.0 - config.gamma) * identity + config.gamma * propagation, None)
            self.dec1 = _linear(trained.dec1.weight, trained.dec1.bias)
            self.dec2 = _linear(trained.dec2.weight, trained.dec2.bias)
            self.newest = _linear(trained.x_mean.weight[-1:], trained.x_mean.bias[-1:])

    def forward(self, windows: Tensor) -> Tensor:
        features = torch.relu(self.dec2(torch.relu(self.dec1(self._codes(windows)))))
        reconstruction: Tensor = self.newest(features).squeeze(2)
        return reconstruction

    def _codes(self, windows: Tensor) -> Tensor:
        hidden = torch.relu(self.enc2(torch.relu(self.enc1(windows))))
        # A constant Linear over the channels stays inside the delegate, where a batched product would not.
        codes: Tensor = self.mix(self.latent(hidden).transpose(1, 2)).transpose(1, 2)
        return codes

    @torch.no_grad()
    def equalise(self, windows: Tensor) -> None:
        """Brings every feature of the last hidden layer to the same range on windows (N, C, w), exactly.

        A ReLU lets a positive factor through, so what divides a feature's weights multiplies those that read it (Nagel
        et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019, section 4.1).
        In int8 all features share one step: without this it is set by the widest, and the narrow ones drown in it.
        """
        features = torch.relu(self.dec2(torch.relu(self.dec1(self._codes(windows)))))
        ranges = features.amax(dim=(0, 1))
        widest = ranges.max()
        # A feature that never fired keeps its scale.
        factor = torch.where(ranges > 1e-6 * widest, ranges / widest, torch.ones_like(ranges))
        self.dec2.weight.div_(factor[:, None])
        self.dec2.bias.div_(factor)
        self.newest.weight.mul_(factor)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer


def eager_reconstruct(module: nn.Module) -> Reconstruct:
    """Wraps a module that gives (B, C, w) or (B, C) for the anomaly pipeline."""

    def reconstruct(windows: FloatArray) -> FloatArray:
        with torch.no_grad():
            output = module(torch.from_numpy(windows))
        newest = output[..., -1] if output.dim() == 3 else output
        return np.asarray(newest.numpy(), np.float32)

    return reconstruct
