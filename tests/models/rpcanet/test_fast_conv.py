"""The convolutions for training against torch's: values, gradients, and names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.models.rpcanet import fast_conv
from edgekit.models.rpcanet.config import RPCANetConfig
from edgekit.models.rpcanet.fast_conv import FastConv2d, use_fast_convolutions
from edgekit.models.rpcanet.module import RPCANet


# Smaller than a tile, one tile, several with remainders on both axes, and smaller than the kernel.
@pytest.mark.parametrize("size", [(20, 30), (32, 32), (33, 70), (5, 3)])
@pytest.mark.parametrize("side", [3, 7, 17])
@pytest.mark.parametrize("bias", [False, True])
def test_values_and_gradients(monkeypatch, size: tuple[int, int], side: int, bias: bool):
    monkeypatch.setattr(fast_conv, "TILE", 32)
    torch.manual_seed(0)
    direct = nn.Conv2d(3, 5, side, padding=side // 2, bias=bias)
    fast = FastConv2d(3, 5, side, padding=side // 2, bias=bias)
    fast.load_state_dict(direct.state_dict())
    features, weights = torch.randn(2, 3, *size), torch.randn(2, 5, *size)
    found = []
    for layer in (direct, fast):
        inputs = features.clone().requires_grad_()
        output = layer(inputs)
        (output * weights).sum().backward()
        found.append((output.detach(), inputs.grad, *(parameter.grad for parameter in layer.parameters())))
    assert len(found[1]) == (4 if bias else 3)
    for wanted, got in zip(*found, strict=True):
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_convolutions_between_many_channels_are_replaced():
    module = RPCANet(RPCANetConfig(2, True, 8, 7))
    before = {name: value.data_ptr() for name, value in module.state_dict().items()}
    image = torch.rand(2, 1, 20, 20)
    wanted = module(image)
    use_fast_convolutions(module)
    assert {name: value.data_ptr() for name, value in module.state_dict().items()} == before
    replaced = [part for part in module.modules() if isinstance(part, FastConv2d)]
    # Per stage: 2 residual blocks of 2, 8 of the memory, 6 of the object module, the contrast's wide one, 3 to restore.
    assert len(replaced) == 2 * (4 + 8 + 6 + 1 + 3)
    assert all(min(layer.in_channels, layer.out_channels) >= 8 for layer in replaced)
    torch.testing.assert_close(module(image), wanted, atol=1e-4, rtol=1e-4)
