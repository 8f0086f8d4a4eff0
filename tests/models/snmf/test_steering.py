"""Steering: the hook is a bias of fc2, and calibrated alphas cost the KL divergence that they say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from edgekit.errors import UsageError
from edgekit.models.features.dictionary import Feature
from edgekit.models.features.steering import coefficient
from edgekit.models.sea_opt.opt import OPT
from edgekit.models.snmf.steering import TARGETS, SteeredPrompt, calibrate, find_alphas, prompt_tokens, steered

from .small import LAYERS, SHAPES, WIDTH, Said, atoms, small_opt, small_tokenizer

TOKENS = torch.tensor([5, 80, 17, 33, 204, 9, 11])


def biased(opt: OPT, layer: int, change: torch.Tensor) -> OPT:
    """The model with W_fc2 change added to fc2's bias, computed in float64."""
    fc2 = opt.decoder.layers[layer - 1].fc2
    fc2.bias.copy_((fc2.bias.double() + fc2.weight.double() @ change.double()).float())
    return opt


def divergence(opt: OPT, tokens: torch.Tensor, layer: int, change: torch.Tensor) -> float:
    """KL(before || after) of the next token, in float64, by two whole models."""
    before, after = (
        model(tokens[None])[0, -1].double().log_softmax(-1) for model in (opt, biased(small_like(opt), layer, change))
    )
    return (before.exp() * (before - after)).sum().item()


def small_like(opt: OPT) -> OPT:
    other = OPT(opt.config, opt.sea).eval().requires_grad_(False)
    other.load_state_dict(opt.state_dict())
    return other


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layer", [1, LAYERS])
def test_the_hook_is_a_bias(shape: str, layer: int):
    opt, change = small_opt(shape), 3 * atoms(1)[:, 0]
    plain = opt(TOKENS[None])
    expected = biased(small_opt(shape), layer, change)
    with steered(opt, layer, change):
        whole = opt(TOKENS[None])
        stepwise = opt.extend(TOKENS[:4], state := opt.new_state())
        stepwise = torch.cat((stepwise, opt.extend(TOKENS[4:], state)))
    assert (whole - plain).abs().max() > 0.1
    torch.testing.assert_close(whole, expected(TOKENS[None]), atol=1e-4, rtol=0)
    torch.testing.assert_close(stepwise, expected.extend(TOKENS, expected.new_state()), atol=1e-4, rtol=0)
    assert torch.equal(opt(TOKENS[None]), plain), "the hook is left behind"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layer", [1, 2, LAYERS])
def test_each_of_a_batch_has_its_own_change(shape: str, layer: int):
    opt, changes = small_opt(shape), 2 * atoms(4).T
    prompt = SteeredPrompt(opt, TOKENS, layer)
    found = prompt.log_probabilities(changes)
    with steered(opt, layer, changes):
        batch = opt(TOKENS.expand(4, -1))[:, -1].log_softmax(-1)
    for row, change in enumerate(changes):
        alone = biased(small_like(opt), layer, change)(TOKENS[None])[0, -1].log_softmax(-1)
        torch.testing.assert_close(found[row], alone, atol=1e-4, rtol=0)
        torch.testing.assert_close(batch[row], alone, atol=1e-4, rtol=0)
        expected = divergence(opt, TOKENS, layer, change)
        assert prompt.divergences(change[None]).item() == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_divergence_rises_from_zero():
    prompt = SteeredPrompt(small_opt("sea"), TOKENS, 2)
    for direction in (atoms(8) * torch.tensor([1.0, -1.0]).repeat(4)).T:
        alphas = torch.linspace(0, 1, 9)
        found = prompt.divergences(alphas[:, None] * direction)
        assert found[0] < 1e-6
        assert (found.diff() > 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_targets_are_met(shape: str):
    opt, directions = small_opt(shape), torch.cat((atoms(1), -atoms(1)), 1)
    prompts = [SteeredPrompt(opt, tokens, 2) for tokens in (TOKENS, TOKENS[:3])]
    alphas = find_alphas(prompts, directions)
    assert alphas.shape == (2, len(TARGETS))
    assert (alphas > 0).all()
    for direction, row in zip(directions.T, alphas, strict=True):
        for alpha, target in zip(row, TARGETS, strict=True):
            found = [divergence(opt, tokens, 2, alpha * direction) for tokens in (TOKENS, TOKENS[:3])]
            assert sum(found) / 2 == pytest.approx(target, rel=0.05)


def test_calibrated_rows_are_those_of_the_prompt():
    opt, tokenizer = small_opt("dense"), small_tokenizer()
    features = [Feature(label=str(number)) for number in range(2)]
    found = calibrate(opt, tokenizer, 1, features, atoms(2), said := Said())
    assert said.lines == []
    tokens = prompt_tokens(tokenizer, "I think that")
    assert tokens.tolist() == tokenizer.encode("I think that")
    for number, feature in enumerate(found):
        assert replace(feature, steering=()) == features[number]
        assert [kl for kl, _ in feature.steering] == [*(-kl for kl in reversed(TARGETS)), *TARGETS]
        for kl, alpha in feature.steering:
            assert alpha * kl > 0
            assert divergence(opt, tokens, 1, alpha * atoms(2)[:, number]) == pytest.approx(abs(kl), rel=0.05)
        assert coefficient(feature, -0.1, "feature") == dict(feature.steering)[-0.1]


def test_what_is_out_of_reach_is_left_out_and_said():
    opt, tokenizer = small_opt("dense"), small_tokenizer()
    directions = atoms(3)
    directions[:, 1] = 0  # as a dead feature's
    found = calibrate(opt, tokenizer, LAYERS, [Feature()] * 3, directions, said := Said(), targets=(0.1, 1e4))
    assert [sorted(kl for kl, _ in one.steering) for one in found] == [[-0.1, 0.1], [], [-0.1, 0.1]]
    (line,) = said.lines
    assert "3 of 3 features do not reach every KL up to 10000" in line
    with pytest.raises(UsageError, match="was not calibrated"):
        coefficient(found[1], 0.1, "feature 1")
    assert find_alphas([SteeredPrompt(opt, TOKENS, 1)], torch.zeros(WIDTH, 2), (0.1,)).isnan().all()
