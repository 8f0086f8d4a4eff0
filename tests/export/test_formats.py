"""Every model in every format by every recipe, against the eager fp32 model; what a format refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import edgekit
from edgekit.devices.profile import load_profile
from edgekit.errors import EdgekitError, UsageError
from edgekit.export import formats
from edgekit.export.differences import EAGER, differences
from edgekit.export.formats import find_format, refused
from edgekit.export.pipeline import bundle_name, export
from edgekit.export.recipes import choose_recipe, recipes, taken_recipes
from edgekit.models.model import Model, Request
from edgekit.models.zoo import find_model
from edgekit_runtime import Session

pytest.importorskip("litert_torch", reason="needs pip install '.[tflite]'")
pytest.importorskip("onnxscript", reason="needs pip install '.[onnx]'")

HOST = load_profile("linux-x86_64")
FORMS = {
    "pte": find_format("pte"),
    "tflite": find_format("tflite"),
    "tflite-builtin": find_format("tflite", "builtin"),
    "onnx": find_format("onnx"),
}
#: What of the output's range an answer may be off by, at most; measured, and doubled.
LARGEST = {"fp32": 1e-4, "fp16": 0.02, "int8": 0.3, "int8-dynamic": 0.2, "int4": 0.6}
SEA_STEPS = 40


@pytest.fixture(scope="module")
def models(text_checkpoints: Path) -> dict[str, Model]:
    return {
        "stackvae-g": find_model("stackvae-g").load(Request()),
        "rpcanet": find_model("rpcanet").load(Request(sizes=((64, 64),))),
        "sea-opt": find_model("sea-opt").load(Request(checkpoint=text_checkpoints / "sea.safetensors")),
        "dense": find_model("sea-opt").load(Request(checkpoint=text_checkpoints / "dense.safetensors")),
    }


def _cases() -> list[pytest.param]:
    cases = []
    for name in ("stackvae-g", "rpcanet", "sea-opt", "dense"):
        text = name in ("sea-opt", "dense")
        for form in FORMS:
            if form == "tflite-builtin" and not text:
                continue  # the same graph as tflite
            for recipe in recipes():
                refuses = refused(FORMS[form], recipe) is not None or (text and recipe.name == "int8")
                # Dense attention differs in what it calls, not in how it is rounded.
                if not refuses and (name != "dense" or recipe.name == "fp32"):
                    cases.append(pytest.param(name, form, recipe.name, id=f"{name}-{form}-{recipe.name}"))
    return cases


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form", "recipe_name"), _cases())
def test_a_model_says_the_same_in_every_format(models, tmp_path, name, form, recipe_name) -> None:
    model = models[name].in_form(FORMS[form].state_form)
    recipe = choose_recipe(recipe_name, recipe_name, model)
    target = tmp_path / bundle_name(model, HOST, recipe, FORMS[form])
    try:
        bundle = export(model, HOST, recipe, target, native=False, allow_drop=True, extent=2, form=FORMS[form])
    except EdgekitError as error:
        # StackVAE-G's and RPCANet's layers have no rows of whole groups.
        assert recipe_name == "int4"
        assert "int8-dynamic" in str(error)  # noqa: PT017
        return
    session = Session(bundle)
    expected, found = _text(model, session) if "opt" in model.name else _frames(model, session)
    error = np.abs(found - expected).max() / np.ptp(expected)
    assert 0 < error < LARGEST[recipe_name]


def _text(model: Model, session: Session) -> tuple[np.ndarray, np.ndarray]:
    """Logits of some tokens, one at a time, and of the eager model over the whole text."""
    tokens = model._tokens(SEA_STEPS)  # type: ignore[attr-defined]
    with torch.no_grad():
        expected = model.reference(tokens[None])[0].numpy()
    row = np.array([0])
    steps = [
        session.run(tokens[place : place + 1].numpy(), np.array(place), row, method="extend")[0][0]
        for place in range(len(tokens))
    ]
    return expected, np.stack(steps)


def _frames(model: Model, session: Session) -> tuple[np.ndarray, np.ndarray]:
    method = model.methods()[0]
    expected, found = [], []
    for inputs in model.verification(method, 3):
        with torch.no_grad():
            expected.append(model.reference(*inputs))
        found.append(session.run(*(tensor.numpy() for tensor in inputs), method=method.spec.name)[0])
    return torch.stack(expected).numpy(), np.stack(found)


@pytest.fixture(scope="module")
def three(models, tmp_path_factory) -> dict[str, Session]:
    """The small language model in fp32 in three formats."""
    folder, sessions = tmp_path_factory.mktemp("three"), {}
    for form in ("pte", "tflite", "onnx"):
        model = models["sea-opt"].in_form(FORMS[form].state_form)
        recipe = choose_recipe("fp32", "fp32", model)
        sessions[form] = Session(export(model, HOST, recipe, folder / form, native=False, form=FORMS[form]))
    return sessions


@pytest.mark.slow
def test_three_formats_are_compared_with_each_other(three) -> None:
    found = differences(three)
    pairs = [(one.first, one.second) for one in found]
    assert pairs[:3] == [(EAGER, "pte"), (EAGER, "tflite"), (EAGER, "onnx")]
    assert len(pairs) == 6
    assert all(one.relative < 1e-4 for one in found)
    assert json.dumps([one.to_dict() for one in found])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_states_have_names_and_go_where_they_are_sent(three, models, form) -> None:
    session = three[form]
    tokens = models["sea-opt"]._tokens(12).numpy()

    def step(place: int) -> np.ndarray:
        return session.run(tokens[place : place + 1], np.array(place), np.array([0]))[0]

    session.reset_state()
    straight = [step(place) for place in range(12)]
    session.reset_state()
    for place in range(6):
        step(place)
    saved = session.save_state()
    session.use_state("other")
    assert not any(session.save_state())
    other = [step(place) for place in range(12)]
    session.use_state("default")
    assert session.save_state() == saved
    np.testing.assert_array_equal([step(place) for place in range(6, 12)], straight[6:])
    np.testing.assert_array_equal(other, straight)
    session.restore_state(saved)
    np.testing.assert_array_equal(step(6), straight[6])


class _Recurrent(nn.Module):
    """Remembers in a buffer, which no `.tflite` does."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.add_(x)
        return self.seen * 1.0


class _Nearest(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(x, size=(7, 7), mode="nearest")


class _Places(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.max_pool2d(x, 2, return_indices=True)[1].float()


class _Sorted(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sort(x)[0]


@pytest.mark.parametrize(
    ("module", "shape", "said"),
    [
        (_Recurrent(), (1, 4), "changes its buffer 'seen'"),
        (_Nearest(), (1, 1, 16, 16), "wrong neighbours from 16x16 to 7x7"),
        (_Places(), (1, 1, 16, 16), "zeros for the places of the maxima"),
        (_Sorted(), (1, 16), "LiteRT has no STABLEHLO_SORT of version 1"),
    ],
    ids=["a buffer", "nearest neighbours", "places of maxima", "no kernel"],
)
def test_what_an_interpreter_gets_wrong_is_refused(tmp_path, module, shape, said) -> None:
    with pytest.raises(EdgekitError, match=said):
        edgekit.export_module(
            module.eval(),
            (torch.rand(shape),),
            device="linux-x86_64",
            format="tflite",
            recipe="fp32",
            output_dir=tmp_path,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("factor", [2, 3])
def test_nearest_neighbours_at_a_whole_ratio_are_right(tmp_path, factor) -> None:
    class Larger(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.interpolate(x, scale_factor=float(factor), mode="nearest")

    x = torch.rand(1, 2, 5, 6)
    bundle = edgekit.export_module(
        Larger().eval(), (x,), device="linux-x86_64", format="tflite", recipe="fp32", output_dir=tmp_path, native=False
    )
    np.testing.assert_array_equal(Session(bundle).run(x.numpy())[0], Larger()(x).numpy())


def test_recipes_that_an_old_interpreter_computes_wrong_are_refused() -> None:
    old = find_format("tflite", interpreter="tflite-runtime-2.14")
    by_name = {recipe.name: refused(old, recipe) for recipe in recipes()}
    assert {name for name, reason in by_name.items() if reason is None} == {"fp32", "fp16", "int8"}
    assert "without a word" in str(by_name["int8-dynamic"])


def test_builtin_operators_only_are_refused_where_the_model_calls_others(tmp_path) -> None:
    class Top(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ops.edgekit.sparse_topk(x, 3)[0]

    with pytest.raises(EdgekitError, match=r"calls edgekit\.sparse_topk\?k=3"):
        edgekit.export_module(
            Top().eval(),
            (torch.rand(4, 16),),
            device="linux-x86_64",
            format="tflite",
            operators="builtin",
            recipe="fp32",
            output_dir=tmp_path,
        )


def test_a_format_whose_tools_are_missing_says_how_to_install_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'edgekit\[onnx\]'"):
        edgekit.export_module(
            nn.Linear(2, 2).eval(), (torch.rand(1, 2),), device="linux-x86_64", format="onnx", output_dir=tmp_path
        )
    assert formats.default_format(load_profile("jetson"), "segment") == "pte"


def test_a_device_has_its_formats() -> None:
    with pytest.raises(UsageError, match="android-arm64 takes pte, tflite, not onnx"):
        formats.check_format(find_format("onnx"), load_profile("android-arm64"))
    assert formats.default_format(load_profile("jetson"), "segment") == "onnx"
    assert formats.default_format(load_profile("jetson"), "generate_text") == "pte"


def test_numbers_beyond_int32_are_refused_where_the_converter_narrows(tmp_path) -> None:
    class Next(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    bundle = edgekit.export_module(
        Next().eval(),
        (torch.tensor([1, 2]),),
        device="linux-x86_64",
        format="tflite",
        recipe="fp32",
        output_dir=tmp_path,
        native=False,
    )
    session = Session(bundle)
    answer = session.run(np.array([5, -7]))[0]
    assert answer.dtype == np.int64
    assert answer.tolist() == [6, -6]
    with pytest.raises(EdgekitError, match="3000000000"):
        session.run(np.array([5, 3_000_000_000]))


def test_taken_recipes_stay_what_they_were() -> None:
    """A format may refuse a recipe that the model takes, never the other way round."""
    names = [recipe.name for recipe in taken_recipes(find_model("sea-opt").model_class())]
    assert names == ["fp32", "fp16", "int8-dynamic", "int4"]
