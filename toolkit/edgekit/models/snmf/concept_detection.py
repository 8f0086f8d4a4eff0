"""Which concepts a layer's features detect, with the baselines beside them: chosen on training sentences, measured on
held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgekit.models.features.dictionary import Dictionary, LayerDictionary
from edgekit.models.features.explain_graph import Explain
from edgekit.models.sea_opt.opt import OPT
from edgekit.tokenizer import Tokenizer

from .baselines import difference_of_means, random_directions, strongest_neurons
from .concepts import Concept
from .detection import Read, auroc, detection_score, read_sentences

#: What is measured, by its name in tables: similarity with a feature's atom, its coefficient, and similarity with
#: the two baselines.
FEATURE, COEFFICIENT, MEANS, NEURONS = "feature", "feature, coefficient", "DiffMeans", "neurons"
#: As features, but random directions.
RANDOM = "random, chosen alike"


@dataclass(frozen=True)
class Detected:
    """How one system tells sentences about a concept from others.

    Attributes:
        feature: its number; None for what is no feature.
        score: S_CD against neutral sentences.
        auroc: against the same.
        others: AUROC against sentences about the other concepts.
    """

    feature: int | None
    score: float
    auroc: float
    others: float


@dataclass(frozen=True)
class DetectedConcept:
    """One concept in one layer.

    Attributes:
        systems: what each found.
        directions: (da,) of the baselines, by system.
    """

    concept: Concept
    systems: Mapping[str, Detected]
    directions: Mapping[str, Tensor]


def detect_concepts(
    opt: OPT,
    tokenizer: Tokenizer,
    dictionary: Dictionary,
    layer: LayerDictionary,
    concepts: Sequence[Concept],
    neutral: tuple[Sequence[str], Sequence[str]],
) -> list[DetectedConcept]:
    """The feature of each concept, and how well it and the baselines detect it.

    Args:
        opt: in eval mode.
        layer: of the dictionary.
        concepts: two or more.
        neutral: sentences of a text, for training and held out; those with a concept's words do not count for it.
    """

    def read(sentences: Sequence[str]) -> Read:
        return read_sentences(opt, tokenizer, layer.layer, sentences)

    training = [read(concept.training) for concept in concepts]
    held_out = [read(concept.held_out) for concept in concepts]
    plain = [read(part) for part in neutral]
    # Of each part, which sentences are neutral for each concept.
    absent = [[[at for at, text in enumerate(part) if one.absent_from(text)] for part in neutral] for one in concepts]
    neurons = int((layer.atoms != 0).sum(0).float().median())
    means = [difference_of_means(one, plain[0].select(places[0])) for one, places in zip(training, absent, strict=True)]
    directions = {MEANS: means, NEURONS: [strongest_neurons(one, neurons) for one in means]}
    chance = random_directions(layer.atoms)
    columns: dict[str, Callable[[Read], Tensor]] = {
        FEATURE: lambda one: one.scores(layer.atoms),
        COEFFICIENT: _Coefficients(dictionary, layer).scores,
        RANDOM: lambda one: one.scores(chance),
        MEANS: lambda one: one.scores(torch.stack(directions[MEANS], 1)),
        NEURONS: lambda one: one.scores(torch.stack(directions[NEURONS], 1)),
    }
    systems: list[dict[str, Detected]] = [{} for _ in concepts]
    for name, score in columns.items():
        trained, measured, of_plain = ([score(one) for one in part] for part in (training, held_out, plain))
        for index, places in enumerate(absent):
            column = index
            if name not in directions:
                column = int(auroc(trained[index], of_plain[0][places[0]]).argmax())
            others = torch.cat([one for other, one in enumerate(measured) if other != index])
            parts = (one[:, column : column + 1] for one in (measured[index], of_plain[1][places[1]], others))
            systems[index][name] = _detected(column if name in (FEATURE, COEFFICIENT) else None, *parts)
    return [
        DetectedConcept(one, systems[index], {name: part[index] for name, part in directions.items()})
        for index, one in enumerate(concepts)
    ]


class _Coefficients:
    """A sentence's largest coefficient (count, k) of each feature of a layer, as a bundle solves for them."""

    def __init__(self, dictionary: Dictionary, layer: LayerDictionary) -> None:
        self._atoms = layer.atoms
        self._explain = Explain(Dictionary(dictionary.model_sha256, (layer,)), layer.atoms.shape[1])

    @torch.no_grad()
    def scores(self, read: Read) -> Tensor:
        taps = torch.cat((read.activations @ self._atoms, read.activations.square().sum(1, keepdim=True)), 1)
        features, values, _ = self._explain(taps[:, None])
        return read.largest(torch.zeros(len(taps), taps.shape[1] - 1).scatter_add(1, features[:, 0], values[:, 0]))


def _detected(feature: int | None, concept: Tensor, neutral: Tensor, others: Tensor) -> Detected:
    return Detected(
        feature,
        detection_score(concept, neutral).item(),
        auroc(concept, neutral).item(),
        auroc(concept, others).item(),
    )
