"""Wide convolutions by way of the Fourier transform, for training on a CPU.

A direct 17x17 convolution takes 289 multiplications per pixel and pair of channels; in tiles of Fourier space it takes
about three, and its gradients likewise. Exact to float rounding. Overlap-save forwards, overlap-add backwards.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Largest side of an output tile: with a 17x17 kernel, transforms of 80 = 2^4 * 5 a side.
TILE = 64


class FftConv2d(nn.Conv2d):
    """An `nn.Conv2d` of stride 1 with an odd square kernel, "same" padding and no bias, but fast where it is wide."""

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = _TiledConvolution.apply(features, self.weight)
        return output


def use_fft(module: nn.Module, least_kernel: int = 7) -> None:
    """Replaces the wide convolutions inside a module, in place; parameters and their names stay."""
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Conv2d and layer.bias is None and layer.kernel_size[0] >= least_kernel:
                side = layer.kernel_size[0]
                fast = FftConv2d(layer.in_channels, layer.out_channels, side, padding=side // 2, bias=False)
                fast.weight = layer.weight
                setattr(parent, name, fast)


class _TiledConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor) -> Tensor:
        tiles = _Tiles(features, weight.shape[-1])
        inputs = tiles.spectrum(tiles.overlapping(features))
        kernel = tiles.spectrum(weight)
        ctx.save_for_backward(inputs, kernel)
        ctx.tiles = tiles
        # A correlation is a product with the conjugate; mH is over (outputs, inputs).
        return tiles.joined(tiles.image(inputs @ kernel.mH))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        tiles: _Tiles = ctx.tiles
        inputs, kernel = ctx.saved_tensors
        outer = tiles.spectrum(tiles.separate(gradients[0]))
        towards_features = tiles.added(tiles.image(outer @ kernel))
        towards_weight = tiles.image(outer.mH @ inputs)[:, :, : tiles.kernel, : tiles.kernel]
        return towards_features, towards_weight.contiguous()


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

    def joined(self, tiles: Tensor) -> Tensor:
        """(tiles, C, *transform), of which the first tile height and width count, to (N, C, H, W)."""
        inner = tiles[:, :, : self.tile_height, : self.tile_width]
        grid = inner.reshape(self.count, self.rows, self.columns, -1, self.tile_height, self.tile_width)
        grid = grid.permute(0, 3, 1, 4, 2, 5)
        return grid.flatten(4, 5).flatten(2, 3)[:, :, : self.height, : self.width].contiguous()

    def added(self, tiles: Tensor) -> Tensor:
        """The transpose of `overlapping`: (tiles, C, *transform) to (N, C, H, W), overlaps summed."""
        height, width = self.rows * self.tile_height, self.columns * self.tile_width
        radius = self.kernel // 2
        total = tiles.new_zeros(self.count, tiles.shape[1], height + 2 * radius, width + 2 * radius)
        grid = tiles.view(self.count, self.rows, self.columns, *tiles.shape[1:])
        for row in range(self.rows):
            for column in range(self.columns):
                top, left = row * self.tile_height, column * self.tile_width
                total[:, :, top : top + self.transform[0], left : left + self.transform[1]] += grid[:, row, column]
        return total[:, :, radius : radius + self.height, radius : radius + self.width].contiguous()

    def spectrum(self, maps: Tensor) -> Tensor:
        """(maps, C, h, w) to (frequencies, maps, C), zeros where a map is smaller than the transform."""
        planes: Tensor = torch.fft.rfft2(maps, s=self.transform)
        return planes.flatten(2).permute(2, 0, 1).contiguous()

    def image(self, spectrum: Tensor) -> Tensor:
        """The inverse of `spectrum`: (maps, C, *transform)."""
        planes = spectrum.permute(1, 2, 0).reshape(*spectrum.shape[1:], self.transform[0], -1)
        maps: Tensor = torch.fft.irfft2(planes, s=self.transform)
        return maps
