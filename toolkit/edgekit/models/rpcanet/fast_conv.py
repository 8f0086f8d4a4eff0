"""Convolutions for training on a CPU: edgekit's operator forwards, and backwards towards the features.

The gradient of a wide kernel's weight goes by way of the Fourier transform: directly it takes 289 multiplications per
pixel and pair of channels at 17x17, in tiles of Fourier space about three. All exact to float rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.kernels import ops

#: Largest side of an output tile: with a 17x17 kernel, transforms of 80 = 2^4 * 5 a side.
TILE = 64
#: From this side on a kernel is wide.
WIDE = 7
#: With fewer channels in or out, torch is as fast.
LEAST_CHANNELS = 8


class FastConv2d(nn.Conv2d):
    """An `nn.Conv2d` of stride 1 with an odd square kernel and "same" padding, for float32 on a CPU."""

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = _Convolution.apply(features, self.weight, self.bias)
        return output


def use_fast_convolutions(module: nn.Module) -> None:
    """Replaces the convolutions between many channels inside a module, in place; parameters and their names stay."""
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Conv2d and min(layer.in_channels, layer.out_channels) >= LEAST_CHANNELS:
                side = layer.kernel_size[0]
                if side == 1 or layer.padding != (side // 2, side // 2):
                    continue
                fast = FastConv2d(layer.in_channels, layer.out_channels, side, padding=side // 2)
                fast.weight, fast.bias = layer.weight, layer.bias
                setattr(parent, name, fast)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        features = features.contiguous()
        ctx.save_for_backward(features, weight)
        return _convolved(features, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        features, weight = ctx.saved_tensors
        outer = gradients[0].contiguous()
        wants_features, wants_weight, wants_bias = ctx.needs_input_grad
        # The transpose of a correlation with W is one with W turned by 180 degrees, inputs and outputs exchanged.
        turned = weight.flip(2, 3).transpose(0, 1).contiguous()
        return (
            _convolved(outer, turned, None) if wants_features else None,
            _towards_weight(features, outer, weight) if wants_weight else None,
            outer.sum(dim=(0, 2, 3)) if wants_bias else None,
        )


def _convolved(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return ops.conv2d(features, weight, bias, [weight.shape[-1] // 2] * 2)


def _towards_weight(features: Tensor, outer: Tensor, weight: Tensor) -> Tensor:
    side = weight.shape[-1]
    if side >= WIDE:
        tiles = _Tiles(features, side)
        inputs, outputs = tiles.spectrum(tiles.overlapping(features)), tiles.spectrum(tiles.separate(outer))
        return tiles.image(outputs.mH @ inputs)[:, :, :side, :side].contiguous()
    places = ([1, 1], [side // 2] * 2, [1, 1], False, [0, 0], 1)
    gradient: Tensor = torch.ops.aten.convolution_backward(
        outer, features, weight, None, *places, [False, True, False]
    )[1]
    return gradient


class _Tiles:
    """How maps (N, C, H, W) are cut into tiles that a kernel reaches beyond by its radius.

    Spectra are (frequencies, maps, channels) complex64, so that channels mix in one batched matrix product.
    """

    def __init__(self, features: Tensor, kernel: int) -> None:
        self.kernel = kernel
        self.count, _, self.height, self.width = features.shape
        self.rows, self.columns = -(-self.height // TILE), -(-self.width // TILE)
        self.tile_height, self.tile_width = -(-self.height // self.rows), -(-self.width // self.columns)
        self.transform = (self.tile_height + kernel - 1, self.tile_width + kernel - 1)

    def overlapping(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (tiles, C, *transform), each with its surroundings."""
        radius = self.kernel // 2
        bottom = self.rows * self.tile_height - self.height + radius
        right = self.columns * self.tile_width - self.width + radius
        padded = functional.pad(features, (radius, right, radius, bottom))
        cut = padded.unfold(2, self.transform[0], self.tile_height).unfold(3, self.transform[1], self.tile_width)
        return cut.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)

    def separate(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (tiles, C, tile height, tile width)."""
        bottom = self.rows * self.tile_height - self.height
        right = self.columns * self.tile_width - self.width
        padded = functional.pad(features, (0, right, 0, bottom))
        cut = padded.reshape(self.count, -1, self.rows, self.tile_height, self.columns, self.tile_width)
        return cut.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)

    def spectrum(self, maps: Tensor) -> Tensor:
        """(maps, C, h, w) to (frequencies, maps, C), zeros where a map is smaller than the transform."""
        planes: Tensor = torch.fft.rfft2(maps, s=self.transform)
        return planes.flatten(2).permute(2, 0, 1).contiguous()

    def image(self, spectrum: Tensor) -> Tensor:
        """The inverse of `spectrum`: (maps, C, *transform)."""
        planes = spectrum.permute(1, 2, 0).reshape(*spectrum.shape[1:], self.transform[0], -1)
        maps: Tensor = torch.fft.irfft2(planes, s=self.transform)
        return maps
