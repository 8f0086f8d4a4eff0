"""Bundles with a dictionary in every format: their features, steering and what no steering leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.devices.profile import load_profile
from edgekit.export.formats import find_format
from edgekit.export.pipeline import export
from edgekit.export.recipes import choose_recipe
from edgekit.models.features import explain_graph
from edgekit.models.features.dictionary import Dictionary, fingerprint, load_dictionary, save_dictionary
from edgekit.models.features.explain_graph import Explain
from edgekit.models.model import Request
from edgekit.models.sea_opt.checkpoint import load_checkpoint
from edgekit.models.sea_opt.model import SEAOPTModel
from edgekit.models.sea_opt.whole import WholeExplained
from edgekit.models.zoo import find_model
from edgekit_runtime import Session

from ..models.features.made import made_atoms, made_dictionary

pytestmark = pytest.mark.slow

HOST = load_profile("linux-x86_64")
K, SHOWN, TOKENS = 12, 3, 24
STEER = "1:3=0.3,2:5=-0.1"
#: Of the solver: the graph is the same with more, and takes longer to lower.
STEPS, REFIT_STEPS = 4, 2


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain_graph, "STEPS", STEPS)
    monkeypatch.setattr(explain_graph, "REFIT_STEPS", REFIT_STEPS)


@pytest.fixture(scope="module")
def dictionary_file(text_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    module = load_checkpoint(text_checkpoints / "sea.safetensors").module
    path = tmp_path_factory.mktemp("dictionary") / "made.safetensors"
    width = module.config.ffn_dim
    atoms = {1: made_atoms(width, K), 2: made_atoms(width, K, seed=1)}
    save_dictionary(made_dictionary(atoms, fingerprint(module)), path)
    return path


@pytest.fixture(scope="module")
def load(text_checkpoints: Path, dictionary_file: Path) -> Callable[..., SEAOPTModel]:
    def load(dictionary: bool = True, **settings: str) -> SEAOPTModel:
        if dictionary:
            settings |= {"dictionary": str(dictionary_file), "shown": str(SHOWN)}
        settings = {"chunk": "16", "context": "48", **settings}
        request = Request(checkpoint=text_checkpoints / "sea.safetensors", settings=settings)
        return find_model("sea-opt").load(request)  # type: ignore[return-value]

    return load


@pytest.fixture(scope="module")
def sessions(load, tmp_path_factory) -> Callable[..., Session]:
    """Exported once each: `sessions(format, recipe, settings)`."""
    made: dict[Any, Session] = {}

    def find(form: str = "pte", recipe: str = "fp32", **settings: Any) -> Session:
        key = form, recipe, *sorted(settings.items())
        if key not in made:
            name, _, operators = form.partition("-")
            program_format = find_format(name, operators or "edgekit")
            model = load(**settings, **({"attention_maps": "true"} if key == ("pte", "fp32") else {}))
            target = tmp_path_factory.mktemp("bundles") / "it"
            chosen = choose_recipe(recipe, recipe, model.in_form(program_format.state_form))
            # Of random weights, which rounding spoils more than trained ones.
            drop = recipe != "fp32"
            made[key] = Session(export(model, HOST, chosen, target, native=False, allow_drop=drop, form=program_format))
        return made[key]

    return find


@pytest.fixture(scope="module")
def dictionary(dictionary_file: Path) -> Dictionary:
    return load_dictionary(dictionary_file)


@pytest.fixture(scope="module")
def tokens(load) -> torch.Tensor:
    return load()._tokens(TOKENS)


def said(session: Session, tokens: torch.Tensor, steering: np.ndarray | None = None) -> list[np.ndarray]:
    """What a bundle gives for a text, token by token: logits (T, V), and taps (T, L, k + 1) where it has them."""
    more = [] if steering is None else [steering]
    row, found = np.array([0]), []
    session.reset_state()
    for place, token in enumerate(tokens.numpy()):
        found.append(session.run(token[None], np.array(place), row, *more, method="extend"))
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def steering_of(load: Callable[..., SEAOPTModel]) -> torch.Tensor:
    """(L, k) of `STEER`."""
    explained = load(steer=STEER).explained
    assert explained is not None
    return torch.stack([explained.constant[number] for number in (1, 2)])


@pytest.mark.parametrize("form", ["pte", "tflite", "tflite-builtin", "onnx"])
def test_features_are_those_of_eager_torch(sessions, load, dictionary, tokens, form) -> None:
    if form != "pte":
        pytest.importorskip("litert_torch" if "tflite" in form else "onnxscript", reason="the format's tools")
    session = sessions(form)
    zeros = torch.zeros(2, K)
    reference = WholeExplained(load(dictionary=False).reference, dictionary)
    wanted, taps = reference(tokens, torch.tensor(0), torch.arange(TOKENS), zeros)
    logits, found = said(session, tokens, zeros.numpy())
    np.testing.assert_allclose(logits, wanted, atol=1e-4)
    np.testing.assert_allclose(found, taps, atol=1e-4, rtol=1e-5)
    explain = Explain(dictionary, SHOWN)
    features, values, unexplained = (part.numpy() for part in explain(taps))
    got = [session.run(taps[place : place + 1].numpy(), method="explain") for place in range(TOKENS)]
    got = [np.concatenate(parts) for parts in zip(*got, strict=True)]
    assert [part.dtype for part in got] == [np.int64, np.float32, np.float32]
    clear = (explain.clearness(taps) > 1e-4).numpy()
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(got[0][clear], features[clear])
    np.testing.assert_allclose(got[1][clear], values[clear], atol=1e-4)
    np.testing.assert_allclose(got[2][clear], unexplained[clear], atol=1e-4)
    assert ((got[2] >= 0) & (got[2] <= 1)).all()
    # A text of nothing.
    none = session.run(np.zeros_like(taps[:1]), method="explain")
    assert not any(np.asarray(part).any() for part in none)


@pytest.mark.parametrize("recipe", ["fp32", "int8-dynamic"])
def test_no_steering_changes_no_bit(sessions, tokens, recipe) -> None:
    logits, _ = said(sessions("pte", recipe), tokens, np.zeros((2, K), np.float32))
    (without,) = said(sessions("pte", recipe, dictionary=False), tokens)
    assert logits.tobytes() == without.tobytes()


def test_steering_is_that_of_hooks_and_of_the_bias(sessions, load, dictionary, tokens) -> None:
    steering = steering_of(load)
    session, folded = sessions("pte"), sessions("pte", steer=STEER)
    reference = WholeExplained(load(dictionary=False).reference, dictionary)
    wanted, _ = reference(tokens, torch.tensor(0), torch.arange(TOKENS), steering)
    called, _ = said(session, tokens, steering.numpy())
    for_good, _ = said(folded, tokens, np.zeros((2, K), np.float32))
    np.testing.assert_allclose(called, wanted, atol=1e-4)
    np.testing.assert_allclose(for_good, called, atol=1e-4)
    plain, _ = said(session, tokens, np.zeros((2, K), np.float32))
    assert np.abs(plain - called).max() > 0.05


@pytest.mark.parametrize("form", ["pte", "tflite"])
def test_steering_is_made_of_the_weight_in_the_program(sessions, load, tokens, form) -> None:
    """Steering at run time and for good agree in rounded numbers too."""
    if form == "tflite":
        pytest.importorskip("litert_torch", reason="the format's tools")
    called, taps = said(sessions(form, "int8-dynamic"), tokens, steering_of(load).numpy())
    folded = sessions(form, "int8-dynamic", steer=STEER)
    for_good, taps_for_good = said(folded, tokens, np.zeros((2, K), np.float32))
    # A step of an activation's int8 now and then.
    for one, other in ((called, for_good), (taps, taps_for_good)):
        assert np.square(one - other).mean() < 1e-4 * one.var()
    said_there = folded.manifest["pipeline"]["explain"]["steering"]
    assert [(one["layer"], one["feature"], one["kl"]) for one in said_there] == [(1, 3, 0.3), (2, 5, -0.1)]
    explained = load(steer=STEER).explained
    assert explained is not None
    assert [one["alpha"] for one in said_there] == [one.alpha for one in explained.steering]
    assert folded.manifest["model"]["variant"].endswith("-steered")


def test_what_steering_for_good_costs_shows(load) -> None:
    """The text that is measured on is the one that the model writes without."""
    plain, steered = load(), load(steer=STEER)
    assert torch.equal(plain._tokens(TOKENS), steered._tokens(TOKENS))
    values = [model.task_metrics(None, TOKENS - 1).metrics[0].value for model in (plain, steered)]
    assert values[1] != values[0]


def test_what_the_manifest_and_the_file_say(sessions, dictionary) -> None:
    session = sessions("pte", "int8-dynamic")
    explain = session.manifest["pipeline"]["explain"]
    assert explain == {"layers": [1, 2], "features": K, "shown": SHOWN, "file": "features.json"}
    listed = json.loads((session.path / explain["file"]).read_text())
    assert [layer["layer"] for layer in listed["layers"]] == [1, 2]
    assert listed["layers"][1]["features"][4]["label"] == dictionary.layers[1].features[4].label
    assert session.manifest["numbers"]["kept_by_model"] == ["device.taps", "solvers"]
    plain = sessions("pte", "int8-dynamic", dictionary=False)
    assert "explain" not in plain.manifest["pipeline"]
    assert [method.name for method in plain.methods] == ["extend", "reset"]
    verified = {(one["method"], one["output"]) for one in session.manifest["accuracy"]["outputs"]}
    assert {("extend", "taps"), ("explain", "features"), ("explain", "values"), ("explain", "unexplained")} <= verified


def test_products_are_in_the_delegate(sessions) -> None:
    delegation = sessions("pte", "int8-dynamic").manifest["programs"][0]["delegation"]
    # Per token and layer: the start is the first step, and the error takes one product more.
    assert delegation["explain"]["delegated_macs"] == 16 * 2 * (STEPS + REFIT_STEPS + 1) * K * K
    assert not delegation["explain"]["undelegated_macs"]
    assert not delegation["extend"]["undelegated_macs"]


def test_a_matrix_is_packed_once(sessions) -> None:
    """Three a layer, whatever the number of steps: XNNPACK fills up columns to whole tiles of at most 16."""
    memory = sessions("pte").manifest["memory"]["by_method"]["explain"]
    assert memory["delegate_packed_weights"] <= 2 * 3 * 4 * 16 * (K + 8)


def test_maps_beside_features(sessions, tokens) -> None:
    maps = sessions("pte").run(tokens[:16].numpy(), np.array(0), method="attention_maps")
    assert [part.shape[0] for part in maps] == [16] * 3
