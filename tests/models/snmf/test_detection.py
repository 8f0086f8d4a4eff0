"""Detection: scores of sentences by similarity, AUROC as scikit-learn has it, and the baselines."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from edgekit.models.features.dictionary import Dictionary, Feature, LayerDictionary
from edgekit.models.snmf.baselines import difference_of_means, random_directions, strongest_neurons
from edgekit.models.snmf.concept_detection import (
    COEFFICIENT,
    FEATURE,
    MEANS,
    NEURONS,
    RANDOM,
    detect_concepts,
)
from edgekit.models.snmf.concepts import all_concepts
from edgekit.models.snmf.detection import BATCH, Read, auroc, detection_score, read_sentences

from .small import LAYERS, SHAPES, WIDTH, atoms, small_opt, small_tokenizer

SENTENCES = [text for concept in all_concepts()[:4] for text in concept.training]


def test_auroc_is_sklearns():
    generator = torch.Generator().manual_seed(0)
    # Few different values: many ties.
    concept = torch.randint(0, 6, (40, 5), generator=generator).float()
    neutral = torch.randint(-2, 5, (70, 5), generator=generator).float()
    labels = np.repeat([1, 0], (40, 70))
    expected = [roc_auc_score(labels, torch.cat((concept, neutral))[:, one].numpy()) for one in range(5)]
    assert auroc(concept, neutral).tolist() == pytest.approx(expected)
    assert auroc(concept + 100, neutral).tolist() == [1.0] * 5


def test_score_is_a_log_ratio_of_means():
    concept, neutral = torch.tensor([[0.2, 0.5], [0.4, -0.9]]), torch.tensor([[0.1, -0.5]])
    assert detection_score(concept, neutral).tolist() == pytest.approx([math.log(3), 0.0], abs=1e-6)
    assert detection_score(concept[:, :1], -neutral[:, :1]).item() == pytest.approx(math.log(0.3 / 1e-6), rel=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_sentence_by_itself(shape: str):
    opt, tokenizer = small_opt(shape), small_tokenizer()
    texts = SENTENCES[:3] + SENTENCES[20:23] if shape == "sea" else SENTENCES
    assert shape == "sea" or len(texts) > BATCH
    read = read_sentences(opt, tokenizer, 2, texts)
    assert read.count == len(texts)
    for index, text in enumerate(texts):
        tokens = tokenizer.encode(" \n") + tokenizer.encode(f" {text}")
        taken: list[torch.Tensor] = []
        hook = opt.decoder.layers[1].fc2.register_forward_pre_hook(lambda _, inputs, to=taken: to.append(inputs[0]))
        opt(torch.tensor([tokens]))
        hook.remove()
        # What stands before the sentence is left out.
        expected = taken[0][0, len(tokenizer.encode(" \n")) :]
        torch.testing.assert_close(read.activations[read.sentences == index], expected, atol=1e-5, rtol=1e-5)


def made_read() -> Read:
    activations = torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(5)).relu()
    activations[4] = 0  # a token without any activation is similar to nothing
    return Read(activations, torch.tensor([0, 0, 0, 1, 2, 2, 2, 2, 2]), 3)


def test_scores_are_the_largest_cosines():
    read, directions = made_read(), 3 * atoms(4)
    a, d = read.activations.double().numpy(), directions.double().numpy()
    lengths = np.linalg.norm(a, axis=1, keepdims=True) * np.linalg.norm(d, axis=0)
    cosines = np.divide(a @ d, lengths, out=np.zeros((9, 4)), where=lengths > 0)
    expected = np.stack([cosines[:3].max(0), cosines[3], cosines[4:].max(0)])
    np.testing.assert_allclose(read.scores(directions).numpy(), expected, atol=1e-6)
    some = read.select([2, 0])
    np.testing.assert_allclose(some.scores(directions).numpy(), expected[[2, 0]], atol=1e-6)


def test_baselines():
    concept, neutral = made_read(), Read(torch.ones(2, WIDTH) / 2, torch.tensor([0, 1]), 2)
    means = difference_of_means(concept, neutral)
    expected = concept.activations.double().mean(0) - 0.5
    torch.testing.assert_close(means.double(), expected / expected.norm(), atol=1e-6, rtol=0)
    direction = strongest_neurons(means, 5)
    assert direction.norm().item() == pytest.approx(1)
    chosen = direction.nonzero()[:, 0]
    assert set(chosen.tolist()) == set(means.abs().sort(descending=True).indices[:5].tolist())
    assert torch.equal(direction[chosen].sign(), means[chosen].sign())
    assert direction[chosen].abs().unique().numel() == 1
    chance = random_directions(atoms(6))
    assert chance.shape == (WIDTH, 6)
    assert ((chance != 0).sum(0) == WIDTH // 4).all()
    assert chance.norm(dim=0).tolist() == pytest.approx([1.0] * 6)


def test_a_planted_direction_is_found():
    """Of a dictionary that has a concept's mean direction among random atoms, that one is chosen; baselines have no
    feature."""
    opt, tokenizer, concepts = small_opt(), small_tokenizer(), all_concepts()[1:4]
    neutral = [text for one in all_concepts()[6:] for text in one.training[::3]]
    planted = read_sentences(opt, tokenizer, LAYERS, concepts[0].training).activations.mean(0)
    plain = read_sentences(opt, tokenizer, LAYERS, neutral).activations.mean(0)
    directions = atoms(6)
    directions[:, 4] = (planted - plain) / (planted - plain).norm()
    layer = LayerDictionary(LAYERS, directions, (Feature(),) * 6)
    found = detect_concepts(opt, tokenizer, Dictionary("", (layer,)), layer, concepts, (neutral[::2], neutral[1::2]))
    assert [one.concept for one in found] == list(concepts)
    assert found[0].systems[FEATURE].feature == 4
    assert found[0].systems[FEATURE].score > 0
    assert found[0].systems[FEATURE].auroc > 0.7
    held = [read_sentences(opt, tokenizer, LAYERS, one.held_out).scores(directions)[:, 4:5] for one in concepts]
    tested = read_sentences(opt, tokenizer, LAYERS, [text for text in neutral[1::2] if concepts[0].absent_from(text)])
    assert found[0].systems[FEATURE].auroc == pytest.approx(auroc(held[0], tested.scores(directions)[:, 4:5]).item())
    assert found[0].systems[FEATURE].others == pytest.approx(auroc(held[0], torch.cat(held[1:])).item())
    for one in found:
        assert set(one.systems) == {FEATURE, COEFFICIENT, MEANS, NEURONS, RANDOM}
        assert all(one.systems[name].feature is None for name in (MEANS, NEURONS, RANDOM))
        assert all(0 <= value <= 1 for each in one.systems.values() for value in (each.auroc, each.others))
        # As many neurons as an atom has.
        assert (one.directions[NEURONS] != 0).sum() == WIDTH // 4
