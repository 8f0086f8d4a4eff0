"""Multiply-accumulates against torch's own counter (FlopCounterMode counts two per multiply-accumulate)."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgekit.export.macs import MacCount, graph_macs


class Attention(nn.Module):
    def forward(self, q, k, v):
        return nn.functional.scaled_dot_product_attention(q, k, v)


class Products(nn.Module):
    def forward(self, a, b):
        return torch.bmm(a, b) @ torch.ones(5, 7)


CASES = {
    "linear": (nn.Linear(7, 5), (torch.rand(2, 3, 7),)),
    "conv": (nn.Conv2d(4, 6, 3, stride=2, padding=1), (torch.rand(2, 4, 9, 11),)),
    "grouped": (nn.Conv2d(4, 8, 3, groups=4), (torch.rand(1, 4, 9, 9),)),
    "conv1d": (nn.Conv1d(4, 6, 5), (torch.rand(2, 4, 20),)),
    "transposed": (nn.ConvTranspose2d(4, 6, 2, stride=2), (torch.rand(2, 4, 5, 5),)),
    "products": (Products(), (torch.rand(2, 3, 4), torch.rand(2, 4, 5))),
}


@pytest.mark.parametrize("name", CASES)
def test_macs_equal_torch_flops(name):
    module, inputs = CASES[name]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    graph = torch.export.export(module.eval(), inputs)
    assert 2 * graph_macs(graph.graph_module) == counter.get_total_flops()


def test_attention_by_hand():
    """torch counts none on a CPU: queries times keys, then weights times values."""
    inputs = tuple(torch.rand(2, 3, *shape) for shape in ((4, 8), (6, 8), (6, 5)))
    graph = torch.export.export(Attention(), inputs)
    assert graph_macs(graph.graph_module) == 2 * 3 * (4 * 6 * 8 + 4 * 6 * 5)


def test_share():
    assert MacCount().share == 1.0
    count = MacCount(delegated=75)
    count.undelegated["aten::bmm"] = 25
    assert count.total == 100
    assert count.share == 0.75


def test_operators_that_change_their_arguments():
    """As SEA-OPT's program has them, wrapped by torch in the lowered graph; against the count that needs no graph."""
    from edgekit.export import executorch
    from edgekit.export.capture import capture
    from edgekit.models.model import Method
    from edgekit.models.sea_opt.config import OPTConfig, SEAConfig
    from edgekit.models.sea_opt.opt import OPT
    from edgekit.models.sea_opt.program import DeviceOPT, Extend
    from edgekit_runtime.tensors import MethodSpec, TensorSpec

    config, sea = OPTConfig(30, 32, 48, 1, 2, 64, 32), SEAConfig(cells=16, k_budget=8, features=5, positions=64)
    module = Extend(DeviceOPT(OPT(config, sea).eval().requires_grad_(False), 64))
    inputs = [TensorSpec("tokens", (4,), "int64", dynamic=True), TensorSpec("position", (), "int64")]
    inputs.append(TensorSpec("rows", (4,), "int64", dynamic=True))
    samples = torch.arange(4), torch.tensor(0), torch.arange(4)
    lowered = executorch.lower(capture(module, [Method(MethodSpec("extend", tuple(inputs), ()), samples)]))
    count = lowered.macs["extend"]
    assert count.undelegated == {}
    assert count.our_operators == {
        "edgekit::kv_append": 1,
        "edgekit::sea_estimate": 1,
        "edgekit::sparse_topk_attention": 1,
    }
    assert count.delegated == 4 * config.linear_macs()
    # The map to cells has at most 2 places a cell here, of a width of 4; the other count takes it as dense.
    dense, taps = 2 * 4 * 16, 2 * 16 * 2
    assert sum(count.ours.values()) == 4 * (sea.macs(2, 16) - dense + taps)
