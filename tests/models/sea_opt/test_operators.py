"""What a GPU computes by edgekit's operators, here on the CPU, against the masks of whole sequences."""

import pytest
import torch

from edgekit.models.sea_opt import attention, losses, perplexity
from edgekit.models.sea_opt.config import SEAConfig


@pytest.fixture
def by_operators(monkeypatch):
    """Takes the operators as on a GPU, from when it is called."""
    return lambda: monkeypatch.setattr(attention, "by_operators", lambda device: True)


def test_losses_and_gradients_are_the_same(build, by_operators):
    student = build(sea=SEAConfig(cells=16, k_budget=8, features=5, positions=96), seed=1).requires_grad_(True)
    teacher = build(sea=None, seed=2)
    tokens = torch.randint(0, 97, (3, 97), generator=torch.Generator().manual_seed(1))
    parameters = list(student.parameters())

    def computed(recompute=False):
        found = losses.distillation_losses(student, teacher, tokens[:, :-1], tokens[:, 1:], recompute)
        return found, torch.autograd.grad(found.total, parameters)

    expected, gradients = computed()
    by_operators()
    for recompute in (False, True):
        found, found_gradients = computed(recompute)
        for term, value in zip(found, expected, strict=True):
            torch.testing.assert_close(term, value, atol=0, rtol=1e-5)
        for gradient, wanted in zip(found_gradients, gradients, strict=True):
            torch.testing.assert_close(gradient, wanted, atol=1e-6, rtol=1e-4)


def test_no_mask_of_tokens_is_made(build, by_operators, monkeypatch):
    student = build(seed=1).requires_grad_(True)
    by_operators()

    def refused(*arguments):
        raise AssertionError

    monkeypatch.setattr(attention, "masked_attention", refused)
    monkeypatch.setattr(attention, "chosen_cells", refused)
    student(torch.arange(50)[None]).sum().backward()
    assert all(parameter.grad is not None for parameter in student.decoder.layers[0].self_attn.q_proj.parameters())


@pytest.mark.parametrize("kv", ["fp32", "fp16", "int8"])
def test_steps_are_the_three_operators(build, by_operators, kv):
    module = build()
    tokens = torch.randint(0, 97, (60,), generator=torch.Generator().manual_seed(3))

    def computed():
        states = [layer.new_state(64, kv) for layer in module.decoder.layers]
        found = []
        for first, end in ((0, 40), (40, 41), (41, 42), (42, 60)):
            hidden = module.decoder.embed(tokens[None, first:end], first)[0]
            for layer, state in zip(module.decoder.layers, states, strict=True):
                hidden = layer.step(hidden, state, first)
            found.append(hidden)
        return torch.cat(found)

    expected = computed()
    by_operators()
    assert torch.equal(computed(), expected)


def test_perplexity_is_the_same(build, by_operators, monkeypatch):
    module = build()
    tokens = torch.randint(0, 97, (300,), generator=torch.Generator().manual_seed(2))
    expected = perplexity.likelihood(module, tokens, 96)
    by_operators()
    monkeypatch.setattr(perplexity, "CHUNK", 50)
    assert perplexity.likelihood(module, tokens, 96).nll == pytest.approx(expected.nll, rel=1e-6)
