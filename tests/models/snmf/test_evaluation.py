"""Evaluation of a dictionary: masses by hand, tables, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.features.dictionary import Dictionary, Feature, LayerDictionary, fingerprint
from edgekit.models.sea_opt.checkpoint import Checkpoint
from edgekit.models.snmf.concept_detection import FEATURE, detect_concepts
from edgekit.models.snmf.concept_steering import (
    CHOICE,
    PROMPTS,
    SPENT,
    SYSTEMS,
    TRAINING_PROMPTS,
    line_prompts,
    steer_concepts,
)
from edgekit.models.snmf.concepts import Concept
from edgekit.models.snmf.evaluation import evaluate_features
from edgekit.models.snmf.steering import TARGETS, SteeredPrompt, find_alphas, prompt_tokens, steered

from .small import LAYERS, Said, atoms, small_opt, small_tokenizer, write_text

#: Of words that the small tokenizer has.
CONCEPTS = (
    Concept(
        "colours",
        ("white", "green", "brown"),
        ("The wall is white .", "The tree is green ."),
        ("A brown coat was left behind .", "The leaves are green ."),
    ),
    Concept("none", ("Xerxes",), ("He saw Xerxes there .",), ("They met Xerxes again .",)),
)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint(small_opt(), small_tokenizer(), {})


@pytest.fixture(scope="module")
def dictionary(checkpoint: Checkpoint) -> Dictionary:
    layers = tuple(
        LayerDictionary(layer, atoms(5, seed=layer), tuple(Feature(label=f"named {one}") for one in range(5)))
        for layer in (1, LAYERS)
    )
    return Dictionary(fingerprint(checkpoint.module), layers)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text(tmp_path_factory.mktemp("text"))


def test_tables(checkpoint: Checkpoint, dictionary: Dictionary, text: Path):
    found = evaluate_features(checkpoint, dictionary, "it", text, None, Said(), CONCEPTS)
    assert found.detection.details is not None
    assert found.steering.details is not None
    tables = (found.detection.metrics, found.detection.details, found.steering.metrics, found.steering.details)
    for table in tables:
        assert {row["layer"] for row in table.rows} == {1, LAYERS}
        assert all(set(table.columns) <= set(row) for row in table.rows)
        values = [value for row in table.rows for value in row.values() if isinstance(value, float)]
        assert all(math.isfinite(value) for value in values)
    assert [row["concept"] for row in found.detection.details.rows] == ["colours", "none"] * 2
    # A concept without tokens is detected only.
    assert [row["concept"] for row in found.steering.details.rows] == ["colours"] * 2
    assert [row["system"] for row in found.steering.metrics.rows[:5]] == list(SYSTEMS)
    for row in found.detection.details.rows:
        layer, number = map(int, row["feature"].split(":"))
        assert (layer, row["label"]) == (row["layer"], f"named {number}")
    assert "without steering" in found.steering.notes[-1]


def test_masses_by_whole_models(checkpoint: Checkpoint, dictionary: Dictionary, text: Path):
    """The mass of a row, at its KL divergence, by the hook on the whole model, and the choice of the feature."""
    opt, tokenizer, layer = checkpoint.module, checkpoint.tokenizer, dictionary.layers[1]
    assert tokenizer is not None
    neutral = (["The old man went down the long road ."] * 3,) * 2
    detected = detect_concepts(opt, tokenizer, dictionary, layer, CONCEPTS, neutral)
    stream = torch.tensor(tokenizer.encode(text.joinpath("one.txt").read_text()))[:65]
    (found,) = steer_concepts(opt, tokenizer, layer, detected, PROMPTS, stream)
    ids = CONCEPTS[0].token_ids(tokenizer)
    assert len(ids) == 3

    def measured(change: torch.Tensor, prompts: Sequence[str] = PROMPTS) -> tuple[float, float]:
        """Mean mass and mean divergence over the prompts."""
        masses, divergences = [], []
        for prompt in prompts:
            tokens = prompt_tokens(tokenizer, prompt)[None]
            before = opt(tokens)[0, -1].double().log_softmax(-1)
            with steered(opt, layer.layer, change):
                after = opt(tokens)[0, -1].double().log_softmax(-1)
            masses.append(after[ids].exp().sum().item())
            divergences.append((before.exp() * (before - after)).sum().item())
        return sum(masses) / len(masses), sum(divergences) / len(divergences)

    assert found.base == pytest.approx(measured(torch.zeros(len(layer.atoms)))[0], rel=1e-4)
    either = torch.cat((layer.atoms, -layer.atoms), 1)
    prompts = [SteeredPrompt(opt, prompt_tokens(tokenizer, prompt), layer.layer) for prompt in TRAINING_PROMPTS]
    alphas = find_alphas(prompts, either, (CHOICE,))[:, 0]
    at_choice = [measured(change, TRAINING_PROMPTS)[0] for change in alphas[:, None] * either.T]
    best = max(range(len(at_choice)), key=at_choice.__getitem__)
    assert (found.feature, found.sign) == (best % 5, 1 if best < 5 else -1)
    direction = found.sign * layer.atoms[:, found.feature]
    masses = [found.base]
    for target, mass in zip(TARGETS, found.systems[FEATURE].masses, strict=True):
        low, high = 0.0, 2048.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if measured(middle * direction)[1] < target else (low, middle)
        assert mass == pytest.approx(measured(high * direction)[0], rel=0.01)
        masses.append(mass)
        if target == SPENT:
            with steered(opt, layer.layer, high * direction):
                loss = torch.nn.functional.cross_entropy(opt(stream[None, :-1])[0], stream[1:])
            assert found.systems[FEATURE].perplexity == pytest.approx(loss.exp().item(), rel=0.01)
    assert found.systems[FEATURE].rises == all(after > before for before, after in pairwise(masses))


def test_line_prompts_are_spread_over_the_text():
    lines = [
        f" line {number} has words enough to be asked for what comes next in it : an answer . " for number in range(40)
    ]
    found = line_prompts(["\n".join([" = A heading of the text with words enough to be taken for a line = ", *lines])])
    assert found == [f"line {5 * number} has words enough to be asked" for number in range(8)]
    assert line_prompts(["too short"]) == []


def test_what_is_refused(checkpoint: Checkpoint, dictionary: Dictionary, text: Path, tmp_path: Path):
    def evaluate(model: Checkpoint, data: Path, layer: int | None = None) -> None:
        evaluate_features(model, dictionary, "the dictionary x", data, layer, Said(), CONCEPTS)

    other = Checkpoint(small_opt(seed=1), small_tokenizer(), {})
    with pytest.raises(EdgekitError, match="the dictionary x is for another checkpoint than this one"):
        evaluate(other, text)
    with pytest.raises(UsageError, match=f"has no layer 2, but 1, {LAYERS}"):
        evaluate(checkpoint, text, 2)
    with pytest.raises(EdgekitError, match="the checkpoint has no tokenizer"):
        evaluate(Checkpoint(checkpoint.module, None, {}), text)
    with pytest.raises(UsageError, match=r"holds no \.txt files"):
        evaluate(checkpoint, tmp_path)
    (tmp_path / "few.txt").write_text(" One sentence of six words . \n")
    with pytest.raises(EdgekitError, match=r"few.txt has 1 sentences to choose features by and 0 to measure on"):
        evaluate(checkpoint, tmp_path / "few.txt")
