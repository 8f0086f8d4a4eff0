"""RPCANet and RPCANet++ as they are trained: robust PCA, unfolded into K stages.

Fengyi Wu, Tianfang Zhang, Lei Li, Yian Huang, Zhenming Peng: "RPCANet: Deep Unfolding RPCA Based Infrared Small Target
Detection", WACV 2024; Fengyi Wu et al.: "RPCANet++: Deep Interpretable Robust PCA for Sparse Object Segmentation",
arXiv 2508.04190.

An image D is split into a background B, low in rank, and sparse objects T. Each stage estimates B from D - T, then T
from what B leaves, then restores D from both. All maps are (N, 1, H, W) float32. The names of parameters are those of
the authors' checkpoints.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.errors import UsageError

from .config import NARROWING, SPARSE_LAYERS, TRUNK_LAYERS, RPCANetConfig

#: Hidden and cell state (N, C, H, W) that one stage of RPCANet++ hands to the next.
Memory = tuple[Tensor, Tensor]


class StageOutput(NamedTuple):
    """What one stage found; each (N, 1, H, W) float32: background B, objects T (logits), restored image D."""

    background: Tensor
    target: Tensor
    restored: Tensor


class RPCANet(nn.Module):
    """Images (N, 1, H, W) float32 in [0, 1] to logits (N, 1, H, W); an object is where a logit is above 0."""

    def __init__(self, config: RPCANetConfig) -> None:
        super().__init__()
        self.config = config
        self.decos = nn.ModuleList(Stage(config) for _ in range(config.stages))
        # Biases keep what nn.Conv2d draws, as with the authors.
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight)

    def forward(self, image: Tensor) -> Tensor:
        """Objects of the last stage."""
        return self.decompose(image)[-1].target

    def stage(self, index: int) -> Stage:
        """The stage at a place, from 0."""
        stage = self.decos[index]
        assert isinstance(stage, Stage)
        return stage

    def decompose(self, image: Tensor) -> list[StageOutput]:
        """The outputs of every stage, first to last."""
        outputs: list[StageOutput] = []
        restored, target = image, torch.zeros_like(image)
        memory: Memory | None = None
        for stage in self.decos:
            output, memory = stage(restored, target, memory)
            outputs.append(output)
            _, target, restored = output
        return outputs


def first_stages(trained: RPCANet, count: int) -> RPCANet:
    """The network that stops after some stages of a trained one, with copies of their weights.

    Raises:
        UsageError: it has fewer, or none is left.
    """
    if not 1 <= count <= trained.config.stages:
        raise UsageError(f"--set stages={count}: the checkpoint has 1 to {trained.config.stages}.")
    made = RPCANet(replace(trained.config, stages=count))
    kept = {name: tensor for name, tensor in trained.state_dict().items() if int(name.split(".")[1]) < count}
    made.load_state_dict(kept)
    return made.eval().requires_grad_(False)


class Stage(nn.Module):
    """One iteration: background, objects, restoration."""

    def __init__(self, config: RPCANetConfig) -> None:
        super().__init__()
        self.lowrank = MemoryBackground(config.channels) if config.plus_plus else Background(config.channels)
        self.sparse = Objects(config)
        self.merge = Restoration(config.channels)

    def forward(self, restored: Tensor, target: Tensor, memory: Memory | None) -> tuple[StageOutput, Memory | None]:
        background, memory = self.lowrank(restored - target, memory)
        target = self.sparse(target + restored - background)
        return StageOutput(background, target, self.merge(background + target)), memory


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def normalised_trunk(channels: int) -> nn.Sequential:
    """One channel to one channel through C, with batch normalisation."""
    layers: list[nn.Module] = []
    for inputs in (1, *[channels] * TRUNK_LAYERS):
        layers += [conv(inputs, channels), nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*layers, conv(channels, 1))


class Background(nn.Module):
    """RPCANet's background module: a trunk with a skip over all of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = normalised_trunk(channels)

    def forward(self, image: Tensor, memory: Memory | None) -> tuple[Tensor, Memory | None]:
        return image + self.convs(image), memory


class MemoryBackground(nn.Module):
    """RPCANet++'s background module: residual blocks around a memory that runs along the stages."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1_C = nn.Sequential(conv(1, channels), nn.BatchNorm2d(channels), nn.ReLU())
        self.RB_1 = ResidualBlock(channels)
        self.ConvLSTM = StageMemory(channels)
        self.RB_2 = ResidualBlock(channels)
        self.convC_1 = conv(channels, 1)

    def forward(self, image: Tensor, memory: Memory | None) -> tuple[Tensor, Memory | None]:
        memory = self.ConvLSTM(self.RB_1(self.conv1_C(image)), memory)
        return image + self.convC_1(self.RB_2(memory[0])), memory


class ResidualBlock(nn.Module):
    """Two convolutions with a ReLU between them, and a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.conv2(torch.relu(self.conv1(features)))
        return features + changed


class StageMemory(nn.Module):
    """A convolutional LSTM without peepholes; its steps are the stages of one image, not frames.

    The first stage has no state: its forget gate and all convolutions of the hidden state have weights that are never
    used, and its cell state reaches the hidden one without a tanh. Both are the authors'.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        for gate in ("f", "i", "o", "j"):
            self.add_module(f"conv_x{gate}", conv(channels, channels))
            self.add_module(f"conv_h{gate}", conv(channels, channels))

    def forward(self, features: Tensor, memory: Memory | None) -> Memory:
        hidden, cell = memory or (None, None)
        entered = torch.sigmoid(self._gate("i", features, hidden)) * torch.tanh(self._gate("j", features, hidden))
        leave = torch.sigmoid(self._gate("o", features, hidden))
        if cell is None:
            return leave * entered, entered
        cell = torch.sigmoid(self._gate("f", features, hidden)) * cell + entered
        return leave * torch.tanh(cell), cell

    def _gate(self, gate: str, features: Tensor, hidden: Tensor | None) -> Tensor:
        seen: Tensor = getattr(self, f"conv_x{gate}")(features)
        return seen if hidden is None else seen + getattr(self, f"conv_h{gate}")(hidden)


class Objects(nn.Module):
    """The object module: a learned shrinkage step, in RPCANet++ told where the contrast is."""

    def __init__(self, config: RPCANetConfig) -> None:
        super().__init__()
        channels = config.channels
        layers: list[nn.Module] = []
        for inputs in (1, *[channels] * SPARSE_LAYERS):
            layers += [conv(inputs, channels), nn.ReLU()]
        self.convs = nn.Sequential(*layers, conv(channels, 1))
        self.epsilon = nn.Parameter(torch.tensor([0.01]))
        self.contrast = contrast_prior(channels, config.kernel) if config.plus_plus else None

    def forward(self, estimate: Tensor) -> Tensor:
        seen = estimate if self.contrast is None else estimate + self.contrast(estimate)
        target: Tensor = estimate - self.epsilon * self.convs(seen)
        return target


def contrast_prior(channels: int, kernel: int) -> nn.Sequential:
    """Where an image differs from its surroundings, (N, 1, H, W) to the same."""
    return nn.Sequential(
        conv(1, channels),
        nn.ReLU(),
        ContrastLayer(channels, kernel),
        nn.BatchNorm2d(channels),
        nn.LeakyReLU(0.1),
        conv(channels, 1),
    )


class ContrastLayer(nn.Module):
    """A wide convolution, less the same one of a flat patch of the centre's value, weighed per image and channel."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
        self.attn = ChannelAttention(channels)

    def forward(self, features: Tensor) -> Tensor:
        flat = self.conv.weight.sum(dim=(2, 3), keepdim=True)
        weighed: Tensor = self.attn(features) * functional.conv2d(features, flat) - self.conv(features)
        return weighed


class ChannelAttention(nn.Module):
    """Weights (N, C, 1, 1) in (0, 1) from the mean of every channel over the whole frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // NARROWING
        self.avg_channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, narrow, 1),
            nn.BatchNorm2d(narrow),
            nn.ReLU(),
            nn.Conv2d(narrow, channels, 1),
            nn.BatchNorm2d(channels),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        weights: Tensor = self.avg_channel(features)
        return weights


class Restoration(nn.Module):
    """The restored image from the sum of background and objects."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mapping = normalised_trunk(channels)

    def forward(self, image: Tensor) -> Tensor:
        restored: Tensor = self.mapping(image)
        return restored
