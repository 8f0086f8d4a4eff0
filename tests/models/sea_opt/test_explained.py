"""Taps and steering of a program's modules, in eager torch, against hooks on the whole sequence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgekit.errors import EdgekitError, UsageError
from edgekit.export.following import follow_recipe
from edgekit.export.quantize import quantize_weights
from edgekit.export.recipes import find_recipe
from edgekit.models.features.dictionary import fingerprint, save_dictionary
from edgekit.models.features.steering import Amount, coefficients
from edgekit.models.model import Method
from edgekit.models.sea_opt.explained import Explained, load_explained
from edgekit.models.sea_opt.program import DeviceOPT, ExplainedExtend, Extend
from edgekit.models.sea_opt.stateless import NextToken
from edgekit.models.sea_opt.whole import WholeExplained
from edgekit_runtime.tensors import MethodSpec

from ..features.made import made_atoms, made_dictionary
from .conftest import SMALL, SMALL_SEA

K = 7
DICTIONARY = made_dictionary({1: made_atoms(SMALL.ffn_dim, K), 2: made_atoms(SMALL.ffn_dim, K, seed=1)})
CLOSE = {"atol": 3e-5, "rtol": 1e-5}


def tokens_of(count, seed=1):
    return torch.randint(0, 97, (count,), generator=torch.Generator().manual_seed(seed))


def steering_of(seed):
    return torch.randn(2, K, generator=torch.Generator().manual_seed(seed))


def calls(module, cuts, states=()):
    """Logits and taps of a text in parts, each steered in its own way; zeros first."""
    start, found, states = 0, [], list(states)
    for number, part in enumerate(tokens_of(sum(cuts)).split(cuts)):
        steering = steering_of(number) * (number > 0)
        logits, taps, *states = module(part, torch.tensor(start), torch.arange(len(part)), steering, *states)
        found.append((logits, taps))
        start += len(part)
    return [torch.cat(parts) for parts in zip(*found, strict=True)]


@pytest.mark.parametrize("sea", [SMALL_SEA, None], ids=["sea", "dense"])
def test_taps_and_steering_are_those_of_hooks(build, sea):
    trained = build(SMALL, sea)
    for cuts in ((50,), (20, 1, 1, 18)):
        found = calls(ExplainedExtend(DeviceOPT(trained, 50, dictionary=DICTIONARY)), cuts)
        wanted = calls(WholeExplained(trained, DICTIONARY), cuts)
        for got, expected in zip(found, wanted, strict=True):
            torch.testing.assert_close(got, expected, **CLOSE)
    assert found[1].shape == (40, 2, K + 1)
    # The last part says something else without its steering.
    unsteered = trained(tokens_of(40)[None])[0]
    assert (found[0] - unsteered).abs().max() > 0.1


@pytest.mark.parametrize("form", ["tensors", "standard"])
def test_the_forms_with_states_in_tensors(build, form):
    trained, cuts = build(), (1,) * 12
    step = NextToken(trained, 12, "fp32", form, DICTIONARY)
    for got, expected in zip(
        calls(step, cuts, step.states.values()), calls(WholeExplained(trained, DICTIONARY), cuts), strict=True
    ):
        torch.testing.assert_close(got, expected, **CLOSE)


def test_no_steering_changes_no_bit(build):
    trained = build()
    with_taps, without = ExplainedExtend(DeviceOPT(trained, 30, dictionary=DICTIONARY)), Extend(DeviceOPT(trained, 30))
    rows = torch.arange(30)
    logits, _ = with_taps(tokens_of(30), torch.tensor(0), rows, torch.zeros(2, K))
    assert torch.equal(logits, without(tokens_of(30), torch.tensor(0), rows))


def rounded(module, recipe_name):
    recipe = find_recipe(recipe_name)
    quantize_weights(module, recipe, ("device.taps",))
    follow_recipe([Method(MethodSpec("extend", (), ()), (), module)], recipe, ("device.taps",))
    return module


@pytest.mark.parametrize("recipe", ["fp32", "fp16", "int8-dynamic", "int4"])
def test_steering_for_good_is_that_of_every_call(build, recipe):
    """In whichever numbers: both are made of the weight as it was rounded, and leave what fc2 takes alone."""
    trained = build()
    amounts = tuple(
        Amount(layer, feature, 0.1, 0.5 * alpha)
        for layer in (1, 2)
        for feature, alpha in enumerate(steering_of(layer)[layer - 1].tolist())
    )
    constant = coefficients(amounts, K)
    rows, at = torch.arange(30), torch.tensor(0)
    steering = torch.stack([constant[1], constant[2]])
    called, taps = rounded(ExplainedExtend(DeviceOPT(trained, 30, "fp32", DICTIONARY)), recipe)(
        tokens_of(30), at, rows, steering
    )
    folded, folded_taps = rounded(ExplainedExtend(DeviceOPT(trained, 30, "fp32", DICTIONARY, constant)), recipe)(
        tokens_of(30), at, rows, torch.zeros(2, K)
    )
    # Ranges of activations that are found at every call turn a last bit into a step now and then.
    close = {"atol": 1e-4, "rtol": 1e-4} if recipe in ("fp32", "fp16") else {"atol": 0.05, "rtol": 0.05}
    torch.testing.assert_close(folded, called, **close)
    torch.testing.assert_close(folded_taps, taps, **close)
    steered = Explained(DICTIONARY, 3, amounts).steered(trained)
    assert trained.second_linears()[1].bias is not steered.second_linears()[1].bias
    if recipe == "fp32":
        expected = WholeExplained(trained, DICTIONARY)(tokens_of(30), at, rows, steering)
        torch.testing.assert_close(called, expected[0], **CLOSE)
        torch.testing.assert_close(steered(tokens_of(30)[None])[0], called, **CLOSE)


@pytest.mark.parametrize("recipe", ["fp32", "fp16", "int8-dynamic", "int4"])
def test_steering_is_of_the_weight_in_the_program(build, recipe):
    module = rounded(ExplainedExtend(DeviceOPT(build(), 30, "fp32", DICTIONARY)), recipe)
    for place, (number, linear) in enumerate(module.device.opt.second_linears().items()):
        # What fc2 makes of an atom, less of nothing; rounded activations are scaled so that this atom is not.
        weight = linear.weight.dequantize() if hasattr(linear.weight, "qdata") else linear.weight
        weight = weight.half().float() if recipe == "fp16" else weight
        atoms = DICTIONARY.layers[place].atoms
        wanted = weight.double()[:, : len(atoms)] @ atoms.double()
        torch.testing.assert_close(module.device.taps.shifts[place].weight.double(), wanted, atol=1e-6, rtol=1e-5)
        exact = build().second_linears()[number].weight.double() @ atoms.double()
        assert recipe == "fp32" or (wanted - exact).abs().max() > 1e-5
        # What explains is never rounded.
        assert torch.equal(module.device.taps.atoms[place].weight, atoms.T)


@pytest.fixture
def saved(build, tmp_path) -> tuple[Path, object]:
    trained = build()
    path = tmp_path / "it.safetensors"
    atoms = {one.layer: one.atoms for one in DICTIONARY.layers}
    save_dictionary(made_dictionary(atoms, fingerprint(trained)), path)
    return path, trained


def test_settings(saved):
    path, trained = saved
    assert load_explained(None, 5, None, trained) is None
    found = load_explained(str(path), 3, "1:2=0.1", trained)
    described = {"layers": [1, 2], "features": K, "shown": 3, "file": "features.json"}
    assert found.to_dict() == described | {"steering": [{"layer": 1, "feature": 2, "kl": 0.1, "alpha": 1.0}]}
    plain = load_explained(str(path), 3, None, trained)
    assert plain is not None
    assert plain.to_dict() == described
    assert found.constant[1].tolist() == [0, 0, 1, 0, 0, 0, 0]


def test_refusals(saved, build, tmp_path):
    path, trained = saved

    def refused(kind, said, *arguments, of=trained):
        with pytest.raises(kind, match=said):
            load_explained(*arguments, of)

    refused(UsageError, "without a dictionary there are no features", None, 5, "1:2=0.1")
    refused(UsageError, "there is no dictionary", str(tmp_path / "none"), 5, None)
    refused(UsageError, "shown=8: the dictionary has 7 features: give 1 to 7", str(path), 8, None)
    refused(UsageError, "shown=0", str(path), 0, None)
    refused(UsageError, "has no feature 7", str(path), 5, "1:7=0.1")
    refused(UsageError, "calibrated from KL -0.2 to 0.3, not 0.5", str(path), 5, "1:2=0.5")
    refused(EdgekitError, "is for another checkpoint than this one", str(path), 5, None, of=build(seed=1))
    for atoms in ({1: made_atoms(SMALL.ffn_dim + 1, K)}, {3: made_atoms(SMALL.ffn_dim, K)}):
        save_dictionary(made_dictionary(atoms, fingerprint(trained)), path)
        refused(EdgekitError, f"the model has {SMALL.ffn_dim} in layers 1 to 2", str(path), 5, None)
