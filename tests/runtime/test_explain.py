"""Explained and steered texts, against the program run by hand and the eager model with hooks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.models.features.dictionary import Dictionary, load_dictionary
from edgekit.models.sea_opt.checkpoint import load_checkpoint
from edgekit.models.sea_opt.opt import OPT
from edgekit_runtime import Session, UsageError
from edgekit_runtime.explain import Explanation
from edgekit_runtime.generate import Generation, TextGenerator

PROMPT = "the red cat sees the old house, the tall dog likes"
COUNT = 8


@pytest.fixture(scope="module")
def dictionary(small_dictionary: Path) -> Dictionary:
    return load_dictionary(small_dictionary)


@pytest.fixture(scope="module")
def session(explained_bundle: Path) -> Session:
    return Session(explained_bundle)


@pytest.fixture
def generator(session: Session) -> Iterator[TextGenerator]:
    generator = TextGenerator(session)
    yield generator
    generator.cancel()


@pytest.fixture(scope="module")
def eager(text_checkpoints: Path) -> OPT:
    return load_checkpoint(text_checkpoints / "sea.safetensors").module


def given_tokens(generator: TextGenerator, count: int = COUNT) -> list[int]:
    """Those that the program is given for so many tokens after PROMPT."""
    went = Generation()
    list(generator.generate(PROMPT, count, went=went))
    return [*generator.encode(PROMPT), *went.tokens[:-1]]


def by_hand(session: Session, tokens: list[int]) -> list[np.ndarray]:
    """Features, values and unexplained of tokens, one at a time, without steering."""
    layers, count = len(session.manifest["pipeline"]["explain"]["layers"]), 12
    found = []
    for position, token in enumerate(tokens):
        inputs = np.array([token]), np.array(position), np.array([0]), np.zeros((layers, count), np.float32)
        _, taps = session.run(*inputs, method="extend")
        found.append(session.run(taps, method="explain"))
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def check(found: Explanation, tokens: list[int], wanted: list[np.ndarray]) -> None:
    features, values, unexplained = wanted
    assert found.tokens.tolist() == tokens
    np.testing.assert_allclose(found.values, values, atol=1e-3)
    np.testing.assert_allclose(found.unexplained, unexplained, atol=1e-3)
    # Where one coefficient is much like the next, either feature is right; that of a place without one is any.
    apart = np.abs(np.diff(values, axis=-1, append=0)) > 2e-3
    clear = apart & np.concatenate([np.ones_like(apart[..., :1]), apart[..., :-1]], axis=-1)
    clear[..., -1] = False  # the next is not known
    assert clear.sum() > len(tokens)
    np.testing.assert_array_equal(found.features[clear], features[clear])


def test_what_is_known_of_features(generator, dictionary):
    known = generator.features
    assert (known.layers, known.count, known.shown) == ((1, 2), 12, 3)
    for layer in dictionary.layers:
        for number, feature in enumerate(layer.features):
            assert known.label(layer.layer, number) == feature.label
            assert known.calibrated(layer.layer, number) == feature.steering
    assert known.find("2:11") == (2, 11)
    assert known.calibrated(2, 7) == ()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("3:1", "feature 3:1 is of a layer without features: there are those of layers 1, 2"),
        ("1:12", "there is no feature 1:12: layer 1 has 0 to 11"),
        ("5", "feature 5 is in several layers: give one of layers 1, 2 too, such as 1:5"),
        ("", "'' is no feature"),
        ("1:", "'1:' is no feature: give its number, or layer and number such as 1:0"),
        ("1:-1", "'1:-1' is no feature"),
        ("one:1", "'one:1' is no feature"),
        ("1:1:1", "'1:1:1' is no feature"),
        ("1:99999999999999999999", "is no feature"),
        ("\x1b[31m1:1", r"'\x1b[31m1:1' is no feature"),
    ],
)
def test_features_that_there_are_not(generator, name, says):
    for call in (generator.features.find, lambda name: generator.steer({name: 0.1})):
        with pytest.raises(UsageError) as raised:
            call(name)
        assert says in str(raised.value)


def root(kl):
    """What alpha is nearly in proportion to."""
    return np.sign(kl) * np.sqrt(np.abs(kl))


def test_alpha_is_interpolated(generator, dictionary):
    for layer in dictionary.layers:
        for number, feature in list(enumerate(layer.features))[:3]:
            kls, alphas = np.array([(0.0, 0.0), *feature.steering]).T
            order = kls.argsort()
            for kl in (*np.random.default_rng(number).uniform(-0.5, 0.5, 40), 0.0, 0.5, -0.5, 0.1, -1e-300):
                name = f"{layer.layer}:{number}"
                u, (steered,) = generator.features.steering({name: kl})
                wanted = np.interp(root(kl), root(kls[order]), alphas[order])
                assert steered.alpha == pytest.approx(wanted, rel=1e-12)
                assert (steered.layer, steered.feature, steered.kl) == (layer.layer, number, kl)
                assert u[layer.layer - 1, number] == np.float32(steered.alpha)
                assert np.count_nonzero(u) == (u[layer.layer - 1, number] != 0)


@pytest.mark.parametrize("kl", [0.5000001, -0.6, 1e300, float("inf"), float("nan")])
def test_beyond_what_was_calibrated(generator, kl):
    with pytest.raises(UsageError, match=r"feature 1:3 was calibrated for a KL from -0.5 to 0.5, not .*: give one"):
        generator.steer({"1:3": kl})
    with pytest.raises(UsageError, match=r"feature 2:7 was not calibrated: choose another to steer by"):
        generator.steer({"2:7": 0.1})
    with pytest.raises(UsageError, match=r"feature 01:3 is given twice"):
        generator.steer({"1:3": 0.1, "01:3": 0.1})
    assert generator.steered == ()


def test_no_steering_is_the_same_to_the_last_bit(generator, text_bundle):
    plain = TextGenerator(Session(text_bundle))
    tokens = given_tokens(plain, 30)
    wanted = plain.logits(tokens, 0, every=True)
    for amounts in ({"1:3": 0.0}, None, np.zeros((2, 12), np.float32)):
        generator.steer(amounts)
        np.testing.assert_array_equal(generator.logits(tokens, 0, every=True), wanted)
    assert given_tokens(generator, 30) == tokens


def test_steering_is_what_a_hook_adds(generator, eager, dictionary):
    generator.steer({"1:2": 0.3, "2:5": -0.2})
    assert [(one.layer, one.feature, one.kl) for one in generator.steered] == [(1, 2, 0.3), (2, 5, -0.2)]
    handles = []
    for one in generator.steered:
        added = one.alpha * dictionary.layer(one.layer).atoms[:, one.feature]
        layer = eager.decoder.layers[one.layer - 1]
        handles.append(layer.fc2.register_forward_pre_hook(lambda _, inputs, added=added: (inputs[0] + added,)))
    tokens = given_tokens(generator)
    try:
        with torch.no_grad():
            wanted = eager(torch.tensor([tokens]))[0].numpy()
    finally:
        for handle in handles:
            handle.remove()
    np.testing.assert_allclose(generator.logits(tokens, 0, every=True), wanted, atol=1e-4)
    with torch.no_grad():
        unsteered = eager(torch.tensor([tokens]))[0].numpy()
    assert np.abs(wanted - unsteered).max() > 0.01
    generator.steer(None)
    assert generator.steered == ()
    np.testing.assert_allclose(generator.logits(tokens, 0, every=True), unsteered, atol=1e-4)


@pytest.mark.parametrize("how", ["generate", "start", "logits"])
def test_every_token_is_explained(generator, session, how):
    tokens = given_tokens(generator)
    wanted = by_hand(session, tokens)
    assert len(generator.explanation().tokens) == 0
    generator.explain = True
    if how == "generate":
        assert given_tokens(generator) == tokens
    elif how == "start":
        generator.start(PROMPT, COUNT)
        generator.wait()
    else:
        generator.logits(tokens, 0)
    found = generator.explanation()
    assert found.features.shape == found.values.shape == (len(tokens), 2, 3)
    assert len(tokens) > generator.settings.chunk
    assert found.position == 0
    check(found, tokens, wanted)
    assert ((found.unexplained >= 0) & (found.unexplained <= 1)).all()
    assert (np.diff(found.values, axis=-1) <= 0).all()


def test_values_are_coefficients_of_the_activations(generator, eager, dictionary):
    """The shares are those that the shown features, times their values, leave of what the eager model's fc2 takes."""
    generator.explain = True
    tokens = given_tokens(generator)
    found, taken = generator.explanation(), []
    handles = [
        layer.fc2.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0])) for layer in eager.decoder.layers
    ]
    try:
        with torch.no_grad():
            eager(torch.tensor([tokens]))
    finally:
        for handle in handles:
            handle.remove()
    for index, layer in enumerate(dictionary.layers):
        activations = taken[index].reshape(len(tokens), -1).double().numpy()
        atoms = layer.atoms.double().numpy()
        for place, whole in enumerate(activations):
            rest = whole - atoms[:, found.features[place, index]] @ found.values[place, index]
            assert rest @ rest / (whole @ whole) == pytest.approx(found.unexplained[place, index], abs=1e-3)
    assert found.unexplained.min() < 0.9


def test_an_explanation_goes_on_where_its_text_does(generator, session):
    tokens = given_tokens(generator, 12)
    wanted = by_hand(session, tokens)
    generator.explain = True
    generator.logits(tokens[:10], 0)
    generator.logits(tokens[10:], 10)
    check(generator.explanation(), tokens, wanted)
    generator.logits(tokens[5:9], 5)
    assert generator.explanation().tokens.tolist() == tokens[:9]
    generator.logits(tokens[12:14], 12)  # what is between was not given
    found = generator.explanation()
    assert (found.position, found.tokens.tolist()) == (12, tokens[12:14])
    generator.logits(tokens[:3], 0)
    found = generator.explanation()
    assert (found.position, found.tokens.tolist()) == (0, tokens[:3])
    generator.logits(list(range(generator.settings.context)), 0)
    assert len(generator.explanation().tokens) == generator.settings.context
    generator.explain = False
    assert len(generator.explanation().tokens) == 0


def test_a_text_that_did_not_begin_has_no_explanation(generator):
    generator.explain = True
    given_tokens(generator)
    pieces = generator.generate(PROMPT, 5)
    next(pieces)
    assert len(generator.explanation().tokens) == len(generator.encode(PROMPT))
    generator.start(PROMPT, 5, take=lambda piece: False)
    assert generator.wait().reason == "cancelled"
    assert len(generator.explanation().tokens) == len(generator.encode(PROMPT))


def test_switching_ends_a_text(generator):
    whole = given_tokens(generator)
    for switch in (
        lambda: setattr(generator, "explain", True),
        lambda: setattr(generator, "explain", False),
        lambda: generator.steer({"1:0": 0.5}),
        lambda: generator.steer(None),
    ):
        pieces = generator.generate(PROMPT, 20)
        next(pieces)
        switch()
        with pytest.raises(UsageError, match="another text was begun since"):
            next(pieces)
    assert given_tokens(generator) == whole
    refused = []

    def take(piece: str) -> bool:
        for call in (
            lambda: generator.steer(None),
            lambda: setattr(generator, "explain", True),
            generator.explanation,
        ):
            with pytest.raises(UsageError, match="a text is being generated: wait for its end, or cancel it"):
                call()
        refused.append(piece)
        return False

    generator.start(PROMPT, 5, take=take)
    generator.wait()
    assert len(refused) == 1
    assert generator.explain is False


def test_an_unused_method_takes_no_memory(explained_bundle):
    session = Session(explained_bundle)
    generator = TextGenerator(session)
    given_tokens(generator)
    before = session.memory()
    generator.steer({"1:2": 0.1})
    given_tokens(generator)
    assert session.memory() == before
    generator.explain = True
    given_tokens(generator)
    assert session.memory().runtime > before.runtime


def test_bundles_without_features(text_bundle):
    generator = TextGenerator(Session(text_bundle))
    assert generator.features is None
    generator.steer(None)
    generator.explain = False
    for call in (
        lambda: generator.steer({"1:2": 0.1}),
        lambda: generator.steer(np.zeros((2, 12), np.float32)),
        lambda: setattr(generator, "explain", True),
        generator.explanation,
    ):
        with pytest.raises(UsageError, match=r"has no features: export it with `--set dictionary=shipped`"):
            call()
    assert generator.explain is False


def test_arrays_to_steer_by(generator):
    with pytest.raises(UsageError, match=r"u is \(2, 11\): give one number for each of 2 x 12"):
        generator.steer(np.zeros((2, 11), np.float32))
    with pytest.raises(UsageError, match=r"not finite"):
        generator.steer(np.full((2, 12), np.nan, np.float32))
    u, _ = generator.features.steering({"1:2": 0.3})
    generator.steer({"1:2": 0.3})
    wanted = generator.logits([5, 6, 7], 0)
    generator.steer(u)
    assert generator.steered == ()
    np.testing.assert_array_equal(generator.logits([5, 6, 7], 0), wanted)
