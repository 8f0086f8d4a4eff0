"""The Fourier convolution against the direct one: values, gradients, and names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.models.rpcanet import fft_conv
from edgekit.models.rpcanet.config import RPCANetConfig
from edgekit.models.rpcanet.fft_conv import FftConv2d, use_fft
from edgekit.models.rpcanet.module import RPCANet


# Smaller than a tile, one tile, several with remainders on both axes, and smaller than the kernel.
@pytest.mark.parametrize("size", [(20, 30), (32, 32), (33, 70), (5, 3)])
@pytest.mark.parametrize("side", [7, 17])
def test_values_and_gradients(monkeypatch, size: tuple[int, int], side: int):
    monkeypatch.setattr(fft_conv, "TILE", 32)
    torch.manual_seed(0)
    direct = nn.Conv2d(3, 5, side, padding=side // 2, bias=False)
    fast = FftConv2d(3, 5, side, padding=side // 2, bias=False)
    fast.load_state_dict(direct.state_dict())
    features, weights = torch.randn(2, 3, *size), torch.randn(2, 5, *size)
    found = []
    for layer in (direct, fast):
        inputs = features.clone().requires_grad_()
        output = layer(inputs)
        (output * weights).sum().backward()
        found.append((output.detach(), inputs.grad, layer.weight.grad))
    for wanted, got in zip(*found, strict=True):
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_only_wide_convolutions_are_replaced():
    module = RPCANet(RPCANetConfig(2, True, 8, 7))
    before = {name: value.data_ptr() for name, value in module.state_dict().items()}
    image = torch.rand(2, 1, 20, 20)
    wanted = module(image)
    use_fft(module)
    assert {name: value.data_ptr() for name, value in module.state_dict().items()} == before
    replaced = [name for name, part in module.named_modules() if isinstance(part, FftConv2d)]
    assert replaced == ["decos.0.sparse.contrast.2.conv", "decos.1.sparse.contrast.2.conv"]
    torch.testing.assert_close(module(image), wanted, atol=1e-4, rtol=1e-4)
