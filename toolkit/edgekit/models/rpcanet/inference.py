"""RPCANet and RPCANet++ as they run on a device: plain convolutions between one-channel sums.

Exact to float rounding against the trained module. Gone are: batch normalisation and the shrinkage step (folded into
convolutions), the weights that the first stage's memory never uses, the gates as single convolutions (one for all), the
contrast kernel that is derived from another at every run (a constant), the first stage's empty objects, and, when only
the objects are asked for, the last restoration.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .module import ContrastLayer, Memory, MemoryBackground, Objects, RPCANet, Stage, StageMemory


class Precise(nn.Module):
    """A part that int8 leaves in fp32.

    The one-channel maps grow from stage to stage, to hundreds where an object's edge is a few; an int8 step of such a
    range is larger than what decides. Sums of them, and the convolutions that read and write them, are cheap.
    """


class DeviceRPCANet(nn.Module):
    """Images (N, 1, H, W) float32 in [0, 1] to logits (N, 1, H, W) float32; an object is where a logit is above 0.

    With `stage_outputs`, a tuple: logits, then background, objects and restored image of every stage, first to last,
    all (N, 1, H, W); the last stage's objects are the logits and do not come twice. `output_names` has their names.
    """

    def __init__(self, trained: RPCANet, stage_outputs: bool = False) -> None:
        super().__init__()
        count = trained.config.stages
        self.stage_outputs = stage_outputs
        with torch.no_grad():
            self.stages = nn.ModuleList(
                DeviceStage(trained.stage(index), first=index == 0, restore=stage_outputs or index < count - 1)
                for index in range(count)
            )
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        outputs: list[Tensor] = []
        restored: Tensor = image
        target: Tensor | None = None
        memory: Memory | None = None
        for stage in self.stages:
            background, target, restored, memory = stage(restored, target, memory)
            outputs += [background, target, restored]
        assert target is not None
        return (target, *(output for output in outputs if output is not target)) if self.stage_outputs else target


def output_names(stages: int, stage_outputs: bool) -> tuple[str, ...]:
    """Names of what `DeviceRPCANet` returns, in order."""
    if not stage_outputs:
        return ("logits",)
    kinds = [(kind, stage) for stage in range(1, stages + 1) for kind in ("background", "target", "restored")]
    return ("logits", *(f"{kind}_{stage}" for kind, stage in kinds if (kind, stage) != ("target", stages)))


def precise_modules(module: nn.Module) -> tuple[str, ...]:
    """Names of the parts that int8 leaves in fp32."""
    return tuple(name for name, part in module.named_modules() if isinstance(part, Precise))


class DeviceStage(nn.Module):
    """One iteration. The first has neither objects nor memory yet; the last may leave out the restoration."""

    def __init__(self, trained: Stage, first: bool, restore: bool) -> None:
        super().__init__()
        self.hide = None if first else Difference()
        self.lowrank = _background(trained, first)
        self.show = None if first else Sum()
        self.remainder = Difference()
        self.sparse = DeviceObjects(trained.sparse)
        self.union = Sum() if restore else None
        self.merge = Trunk(_convolutions(trained.merge.mapping)) if restore else None

    def forward(
        self, restored: Tensor, target: Tensor | None, memory: Memory | None
    ) -> tuple[Tensor, Tensor, Tensor | None, Memory | None]:
        visible = restored if self.hide is None else self.hide(restored, target)
        background, memory = self.lowrank(visible, memory)
        whole = restored if self.show is None else self.show(target, restored)
        target = self.sparse(self.remainder(whole, background))
        if self.merge is None or self.union is None:
            return background, target, None, memory
        return background, target, self.merge(self.union(background, target)), memory


class Sum(Precise):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


class Difference(Precise):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first - second


class Entry(Precise):
    """One channel to C."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = torch.relu(self.conv(image))
        return features


class Exit(Precise):
    """C channels to one."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, features: Tensor) -> Tensor:
        image: Tensor = self.conv(features)
        return image


class Trunk(nn.Module):
    """One channel to one through C, with a ReLU after every convolution but the last."""

    def __init__(self, convs: list[nn.Conv2d]) -> None:
        super().__init__()
        self.entry = Entry(convs[0])
        self.body = nn.Sequential(*(layer for conv in convs[1:-1] for layer in (conv, nn.ReLU())))
        self.exit = Exit(convs[-1])

    def forward(self, image: Tensor) -> Tensor:
        changed: Tensor = self.exit(self.body(self.entry(image)))
        return changed


class DeviceBackground(nn.Module):
    def __init__(self, trained: nn.Sequential) -> None:
        super().__init__()
        self.trunk = Trunk(_convolutions(trained))
        self.skip = Sum()

    def forward(self, image: Tensor, memory: Memory | None) -> tuple[Tensor, Memory | None]:
        return self.skip(image, self.trunk(image)), memory


class DeviceMemoryBackground(Precise):
    """The background of RPCANet++, which enters the logits unweighed: an int8 step in it moves the edges of objects.

    It has a sixth to a quarter of the multiplications.
    """

    def __init__(self, trained: MemoryBackground, first: bool) -> None:
        super().__init__()
        self.entry = Entry(_convolutions(trained.conv1_C)[0])
        self.block_1 = Block(trained.RB_1.conv1, trained.RB_1.conv2)
        self.memory = FirstMemory(trained.ConvLSTM) if first else NextMemory(trained.ConvLSTM)
        self.block_2 = Block(trained.RB_2.conv1, trained.RB_2.conv2)
        self.exit = Exit(_copy(trained.convC_1))
        self.skip = Sum()

    def forward(self, image: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        hidden, cell = self.memory(self.block_1(self.entry(image)), memory)
        return self.skip(image, self.exit(self.block_2(hidden))), (hidden, cell)


class Block(nn.Module):
    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        super().__init__()
        self.body = nn.Sequential(_copy(first), nn.ReLU(), _copy(second))

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.body(features)
        return features + changed


class FirstMemory(nn.Module):
    """The memory without a past: nothing to forget, and no tanh of the cell."""

    def __init__(self, trained: StageMemory) -> None:
        super().__init__()
        self.gates = _stacked([getattr(trained, f"conv_x{gate}") for gate in "ioj"])
        self.cell = FirstCell(self.gates.out_channels // 3)

    def forward(self, features: Tensor, memory: Memory | None) -> Memory:
        state: Memory = self.cell(self.gates(features))
        return state


class NextMemory(nn.Module):
    def __init__(self, trained: StageMemory) -> None:
        super().__init__()
        gates = "fioj"
        past = _stacked([getattr(trained, f"conv_h{gate}") for gate in gates])
        self.gates = _joined(_stacked([getattr(trained, f"conv_x{gate}") for gate in gates]), past)
        self.cell = NextCell(self.gates.out_channels // 4)

    def forward(self, features: Tensor, memory: Memory | None) -> Memory:
        assert memory is not None
        state: Memory = self.cell(self.gates(torch.cat([features, memory[0]], dim=1)), memory[1])
        return state


class FirstCell(Precise):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, gates: Tensor) -> Memory:
        enter, leave, new = (_gate(gates, index, self.channels) for index in range(3))
        cell = torch.sigmoid(enter) * torch.tanh(new)
        return torch.sigmoid(leave) * cell, cell


class NextCell(Precise):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, gates: Tensor, cell: Tensor) -> Memory:
        forget, enter, leave, new = (_gate(gates, index, self.channels) for index in range(4))
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
        return torch.sigmoid(leave) * torch.tanh(cell), cell


class DeviceObjects(nn.Module):
    """The shrinkage step; its size and its sign are in the last convolution."""

    def __init__(self, trained: Objects) -> None:
        super().__init__()
        self.contrast = None if trained.contrast is None else DeviceContrast(trained.contrast)
        self.prior = None if trained.contrast is None else Sum()
        self.trunk = Trunk(_convolutions(trained.convs, factor=-trained.epsilon))
        self.skip = Sum()

    def forward(self, estimate: Tensor) -> Tensor:
        seen = estimate
        if self.contrast is not None and self.prior is not None:
            seen = self.prior(estimate, self.contrast(estimate))
        target: Tensor = self.skip(estimate, self.trunk(seen))
        return target


class DeviceContrast(nn.Module):
    """The contrast prior: the flat kernel a constant, the normalisation that follows in the weights of both."""

    def __init__(self, trained: nn.Sequential) -> None:
        super().__init__()
        first, _, layer, norm, leaky, last = trained
        assert isinstance(layer, ContrastLayer)
        assert isinstance(norm, nn.BatchNorm2d)
        assert isinstance(leaky, nn.LeakyReLU)
        scale, shift = _scale_and_shift(norm)
        weight = layer.conv.weight * scale[:, None, None, None]
        self.entry = Entry(_copy(first))
        self.attention = Attention(*_convolutions(layer.attn.avg_channel))
        self.flat = _convolution(weight.sum(dim=(2, 3), keepdim=True), None)
        self.wide = _convolution(-weight, shift)
        self.weigh = Weigh(leaky.negative_slope)
        self.exit = Exit(_copy(last))

    def forward(self, estimate: Tensor) -> Tensor:
        features = self.entry(estimate)
        contrast: Tensor = self.exit(self.weigh(self.attention(features), self.flat(features), self.wide(features)))
        return contrast


class Weigh(Precise):
    """What remains of two large maps that nearly cancel."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, weights: Tensor, flat: Tensor, wide: Tensor) -> Tensor:
        return nn.functional.leaky_relu(weights * flat + wide, self.slope)


class Attention(Precise):
    """Weights (N, C, 1, 1) of the channels from their means."""

    def __init__(self, narrow: nn.Conv2d, widen: nn.Conv2d) -> None:
        super().__init__()
        self.narrow = narrow
        self.widen = widen

    def forward(self, features: Tensor) -> Tensor:
        # XNNPACK takes a mean over both axes, but no adaptive pooling.
        mean = features.mean(dim=(2, 3), keepdim=True)
        return torch.sigmoid(self.widen(torch.relu(self.narrow(mean))))


def _background(trained: Stage, first: bool) -> nn.Module:
    if isinstance(trained.lowrank, MemoryBackground):
        return DeviceMemoryBackground(trained.lowrank, first)
    return DeviceBackground(trained.lowrank.convs)


def _gate(gates: Tensor, index: int, channels: int) -> Tensor:
    return gates[:, index * channels : (index + 1) * channels]


def _convolutions(layers: nn.Sequential, factor: Tensor | float = 1.0) -> list[nn.Conv2d]:
    """The convolutions of a trunk, each with the batch normalisation after it; the last times a factor."""
    convs: list[nn.Conv2d] = []
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            convs.append(_copy(layer))
        elif isinstance(layer, nn.BatchNorm2d):
            convs[-1] = _fold(convs[-1], layer)
    last = convs[-1]
    assert last.bias is not None
    return [*convs[:-1], _convolution(last.weight * factor, last.bias * factor)]


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    assert conv.bias is not None
    scale, shift = _scale_and_shift(norm)
    return _convolution(conv.weight * scale[:, None, None, None], conv.bias * scale + shift)


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A batch normalisation with fixed statistics as y = scale x + shift, each (C,)."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _stacked(convs: list[nn.Conv2d]) -> nn.Conv2d:
    """Convolutions of the same input as one, their outputs one after the other."""
    return _convolution(torch.cat([conv.weight for conv in convs]), torch.cat([_bias(conv) for conv in convs]))


def _joined(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """The sum of two convolutions as one of their concatenated inputs."""
    return _convolution(torch.cat([first.weight, second.weight], dim=1), _bias(first) + _bias(second))


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias


def _copy(conv: nn.Module) -> nn.Conv2d:
    assert isinstance(conv, nn.Conv2d)
    return _convolution(conv.weight, conv.bias)


def _convolution(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A stride-1 convolution that keeps the size, with copies of weight (O, I, k, k) and bias (O,)."""
    outputs, inputs, side, _ = weight.shape
    conv = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=bias is not None)
    conv.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        conv.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return conv
