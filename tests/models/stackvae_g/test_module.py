"""The module against its specification: shapes, parameter counts, graph, losses, and the fused export graph."""

import pytest
import torch

from edgekit.errors import EdgekitError
from edgekit.models.stackvae_g.config import StackVAEGConfig
from edgekit.models.stackvae_g.inference import LastStepReconstruction
from edgekit.models.stackvae_g.module import StackVAEG, without_self_loop


def make(channels: int, seed: int = 0, **settings) -> StackVAEG:
    torch.manual_seed(seed)
    module = StackVAEG(StackVAEGConfig(channels=channels, **settings)).eval()
    for parameter in module.parameters():  # biases and embeddings away from their initial values
        parameter.data += 0.05 * torch.randn_like(parameter)
    return module.requires_grad_(False)


@pytest.mark.parametrize(("channels", "parameters"), [(38, 151_930), (25, 151_540), (55, 152_440)])
def test_parameter_totals_of_the_paper(channels, parameters):
    assert sum(p.numel() for p in StackVAEG(StackVAEGConfig(channels=channels)).parameters()) == parameters


@pytest.mark.parametrize("channels", [1, 2, 10, 11, 38])
def test_graph_is_row_stochastic_and_sparse(channels):
    module = make(channels)
    propagation, edges = module.graph(), module.graph.edges()
    assert torch.allclose(propagation.sum(1), torch.ones(channels), atol=1e-6)
    assert (edges >= 0).all()
    assert ((edges > 0).sum(1) <= min(10, channels)).all()
    assert (propagation.diagonal() > 0).all()


def test_graph_keeps_the_largest_edges_of_a_row():
    module = make(12, neighbours=3)
    nodes = torch.tanh(3.0 * module.graph.linear(module.graph.embedding.weight))
    dense = torch.relu(3.0 * torch.tanh(nodes @ nodes.T))
    for row, kept in zip(dense, module.graph.edges(), strict=True):
        assert torch.equal(kept.sort(descending=True).values[:3], row.sort(descending=True).values[:3])
        assert (kept > 0).sum() <= 3


def test_self_loop_can_be_taken_out():
    propagation = make(6).graph()
    without = without_self_loop(propagation)
    assert (without.diagonal() == 0).all()
    rows = without.sum(1)
    assert torch.allclose(rows[rows > 0], torch.ones(int((rows > 0).sum())), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 5, 38])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_fused_last_step_equals_the_whole_model(channels, gamma):
    module = make(channels, gamma=gamma)
    windows = torch.rand(4, channels, 100)
    difference = LastStepReconstruction(module)(windows) - module(windows)[..., -1]
    assert difference.abs().max() < 1e-6


def test_equalised_features_have_one_range_and_the_same_answer():
    module = make(5)
    module.dec2.weight[::3] *= 40.0
    module.dec2.weight[1] = 0.0  # never fires
    module.dec2.bias[1] = -1.0
    windows, others = torch.rand(64, 5, 100), torch.rand(16, 5, 100)
    device = LastStepReconstruction(module)
    before, seen = device(others), []
    device.equalise(windows)
    torch.testing.assert_close(device(others), before, rtol=1e-5, atol=1e-5)
    device.dec2.register_forward_hook(lambda layer, inputs, output: seen.append(torch.relu(output)))
    device(windows)
    ranges = seen[0].amax(dim=(0, 1))
    fired = ranges > 0
    assert not fired[1]
    assert fired.sum() > 50
    torch.testing.assert_close(ranges[fired], ranges.max().expand(int(fired.sum())), rtol=1e-4, atol=0)


def test_losses_against_their_formulas():
    """With both variances driven to zero the sampled terms are plain sums, worked out in float64."""
    module = make(4, window=8, hidden=6, latent=3, neighbours=2)
    module.z_logvar.weight.zero_()
    module.z_logvar.bias.fill_(-60.0)
    module.x_logvar.weight.zero_()
    module.x_logvar.bias.fill_(-60.0)
    windows = torch.rand(5, 4, 8)
    losses = module.losses(windows)
    double = module.double()
    x = windows.double()
    mean = double.z_mean(double.encode(x, double.graph()))
    assert float(losses.reconstruction) == pytest.approx(float((double(x) - x).square().sum() / 5), rel=1e-4)
    kl = -0.5 * (1 - 60.0 - mean.square() - torch.exp(torch.tensor(-60.0))).sum() / 5
    assert float(losses.kl) == pytest.approx(float(kl), rel=1e-4)
    graph = sum((x[b] - double.graph() @ x[b]).square().sum() for b in range(5)) / 5
    assert float(losses.graph) == pytest.approx(float(graph), rel=1e-4)


def test_sampling_uses_the_variance_heads():
    module = make(4, window=8, hidden=6, latent=3)
    windows = torch.rand(2, 4, 8)
    first = module.losses(windows, torch.Generator().manual_seed(1)).reconstruction
    again = module.losses(windows, torch.Generator().manual_seed(1)).reconstruction
    other = module.losses(windows, torch.Generator().manual_seed(2)).reconstruction
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    "settings", [{"gamma": 1.5}, {"window": 0}, {"channels": -1}, {"graph_loss": "none"}, {"hidden": 1.5}]
)
def test_impossible_settings(settings):
    with pytest.raises(EdgekitError):
        StackVAEGConfig(**{"channels": 3, **settings})
