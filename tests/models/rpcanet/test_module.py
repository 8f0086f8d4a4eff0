"""The trained module: sizes, names and the authors' checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.rpcanet.checkpoint import load_checkpoint
from edgekit.models.rpcanet.config import VARIANTS, RPCANetConfig, find_config
from edgekit.models.rpcanet.data import load_dataset
from edgekit.models.rpcanet.inference import DeviceRPCANet
from edgekit.models.rpcanet.metrics import score
from edgekit.models.rpcanet.module import RPCANet

TOTALS = {"v1": 679_896, "s1": 493_597, "s2": 987_194, "s3": 1_480_791, "s6": 2_961_582, "s9": 4_442_373}
ENTRIES = {"v1": 462, "s1": 104, "s2": 208, "s3": 312, "s6": 624, "s9": 936}


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_and_entries(variant: str):
    with torch.device("meta"):
        module = RPCANet(VARIANTS[variant])
    assert sum(parameter.numel() for parameter in module.parameters()) == TOTALS[variant]
    assert len(module.state_dict()) == ENTRIES[variant]
    assert VARIANTS[variant].parameters() == TOTALS[variant]


@pytest.mark.parametrize("config", [*VARIANTS.values(), RPCANetConfig(2, True, 8, 5), RPCANetConfig(3, False, 4)])
def test_macs_are_the_device_programs(config: RPCANetConfig):
    with torch.device("meta"):
        module = DeviceRPCANet(RPCANet(config))
        with FlopCounterMode(display=False) as counter:
            module(torch.zeros(1, 1, 20, 12))
    assert config.macs(20, 12) == counter.get_total_flops() / 2


def test_names_are_the_authors():
    with torch.device("meta"):
        names = {name: tuple(value.shape) for name, value in RPCANet(VARIANTS["s2"]).state_dict().items()}
    assert names["decos.1.lowrank.conv1_C.0.weight"] == (32, 1, 3, 3)
    assert names["decos.1.lowrank.conv1_C.1.running_var"] == (32,)
    assert names["decos.0.lowrank.RB_2.conv2.bias"] == (32,)
    assert names["decos.0.lowrank.ConvLSTM.conv_hf.weight"] == (32, 32, 3, 3)
    assert names["decos.0.lowrank.convC_1.weight"] == (1, 32, 3, 3)
    assert names["decos.0.sparse.epsilon"] == (1,)
    assert names["decos.0.sparse.convs.14.weight"] == (1, 32, 3, 3)
    assert names["decos.0.sparse.contrast.2.conv.weight"] == (32, 32, 17, 17)
    assert names["decos.0.sparse.contrast.2.attn.avg_channel.1.weight"] == (8, 32, 1, 1)
    assert names["decos.0.sparse.contrast.2.attn.avg_channel.5.running_mean"] == (32,)
    assert names["decos.0.sparse.contrast.3.weight"] == (32,)
    assert names["decos.0.sparse.contrast.5.bias"] == (1,)
    assert names["decos.1.merge.mapping.12.weight"] == (1, 32, 3, 3)


def test_one_stage_by_hand(build):
    """The equations of a stage of RPCANet, written out once more."""
    module = build(RPCANetConfig(2, False, 4))
    image = torch.rand(1, 1, 12, 10)
    restored, target = image, torch.zeros_like(image)
    for stage, output in zip(module.decos, module.decompose(image), strict=True):
        background = (restored - target) + stage.lowrank.convs(restored - target)
        estimate = target + restored - background
        target = estimate - stage.sparse.epsilon * stage.sparse.convs(estimate)
        restored = stage.merge.mapping(background + target)
        for got, wanted in zip(output, (background, target, restored), strict=True):
            torch.testing.assert_close(got, wanted)


def test_memory_by_hand(build):
    """The first stage has no past and no tanh of the cell; later ones have both."""
    memory = build(RPCANetConfig(2, True, 4, 3)).stage(1).lowrank.ConvLSTM
    x, h, c = torch.randn(3, 1, 4, 6, 5).unbind()
    hidden, cell = memory(x, None)
    torch.testing.assert_close(cell, memory.conv_xi(x).sigmoid() * memory.conv_xj(x).tanh())
    torch.testing.assert_close(hidden, memory.conv_xo(x).sigmoid() * cell)
    hidden, cell = memory(x, (h, c))
    forget, enter, leave, new = (
        getattr(memory, f"conv_x{gate}")(x) + getattr(memory, f"conv_h{gate}")(h) for gate in "fioj"
    )
    torch.testing.assert_close(cell, forget.sigmoid() * c + enter.sigmoid() * new.tanh())
    torch.testing.assert_close(hidden, leave.sigmoid() * cell.tanh())


def test_contrast_is_nothing_where_all_is_flat_and_the_weight_is_one(build):
    """Far from the edge, a constant patch meets the wide kernel as its sum: theta = 1 leaves nothing."""
    layer = build(RPCANetConfig(1, True, 4, 5)).stage(0).sparse.contrast[2]
    layer.attn = torch.nn.Identity()  # theta is the features themselves, 1 here
    out = layer(torch.ones(1, 4, 9, 9))
    torch.testing.assert_close(out[:, :, 4, 4], torch.zeros(1, 4), atol=1e-5, rtol=0)
    assert out.abs().max() > 0.1  # the zero padding is no flat patch


@pytest.mark.parametrize(("stages", "halo"), [(1, 13), (2, 31)])
def test_halo_is_how_far_a_pixel_reaches(build, stages: int, halo: int):
    """A logit depends on pixels up to the halo and on none beyond."""
    config = RPCANetConfig(stages, False, 4)
    assert config.halo() == halo
    module = build(config).double()
    for part in module.modules():  # no ReLU closes
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.constant_(part.weight, 0.01)
            torch.nn.init.constant_(part.bias, 1.0)
    side = 2 * halo + 9
    image = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    module(image)[0, 0, side // 2, side // 2].backward()
    rows, columns = image.grad[0, 0].nonzero().T
    assert rows.min() == columns.min() == side // 2 - halo
    assert rows.max() == columns.max() == side // 2 + halo


def test_contrast_sees_the_whole_frame():
    assert VARIANTS["v1"].halo() == 103
    assert VARIANTS["s1"].halo() is None


def test_unknown_variant():
    with pytest.raises(UsageError, match=r"'s4'.*edgekit list models"):
        find_config("s4")


@pytest.mark.parametrize("wrong", [{"stages": 0}, {"kernel": 4}, {"channels": "32"}])
def test_impossible_shape(wrong: dict[str, object]):
    with pytest.raises(EdgekitError, match=next(iter(wrong))):
        RPCANetConfig(**{"stages": 1, "plus_plus": True, **wrong})


def test_official_checkpoint(data_root):
    """It loads strictly and finds the objects of a few real images; the whole test part is for `edgekit evaluate`."""
    checkpoint = load_checkpoint(data_root / "weights" / "rpcanet_v1_sirst.pkl")
    assert checkpoint.variant == "v1"
    assert checkpoint.training == {}
    steps = [float(stage.sparse.epsilon) for stage in checkpoint.module.decos]
    assert 0.005 < min(steps) < max(steps) < 0.22  # the range that the authors' checkpoints have
    answers = []
    for pair in load_dataset(data_root / "sirst").part("test")[:2]:
        image, mask = pair.load((128, 128))
        with torch.no_grad():
            logits = checkpoint.module(torch.from_numpy(image)[None, None])
        answers.append((np.asarray(logits[0, 0]), mask))
    assert score(answers).iou > 0.5
