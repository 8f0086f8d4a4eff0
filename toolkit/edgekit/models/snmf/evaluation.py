"""`edgekit explain evaluate`: how the features of a dictionary detect and steer planted concepts, as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.models.features.dictionary import Dictionary, LayerDictionary
from edgekit.models.sea_opt.checkpoint import Checkpoint
from edgekit.models.sea_opt.data import Corpus, load_corpus, token_stream
from edgekit.models.sea_opt.perplexity import likelihood
from edgekit.models.tasks import Evaluation, Progress, ResultTable

from .concept_detection import COEFFICIENT, FEATURE, MEANS, NEURONS, RANDOM, DetectedConcept, detect_concepts
from .concept_steering import (
    PERPLEXITY_TOKENS,
    PROMPTS,
    SPENT,
    SYSTEMS,
    WINDOW,
    Steered,
    SteeredConcept,
    line_prompts,
    steer_concepts,
)
from .concepts import LONGEST, SHORTEST, Concept, all_concepts, sentences
from .steering import TARGETS

#: Neutral sentences that each part of the text must have.
FEWEST = 20
#: KL divergences that the tables show; JSON has all.
SHOWN = (0.05, 0.1, 0.25, 0.5)

DETECTION = {
    "layer": "layer",
    "system": "system",
    "concepts": "concepts",
    "score": "S_CD",
    "positive": "share S_CD > 0",
    "auroc": "AUROC",
    "others": "AUROC, other concepts",
}
DETECTED = {
    "layer": "layer",
    "concept": "concept",
    "feature": "feature",
    "label": "label",
    "score": "S_CD",
    "auroc": "AUROC",
    "auroc_coefficient": "by coefficient",
    "score_means": f"{MEANS} S_CD",
    "auroc_means": f"{MEANS} AUROC",
    "score_neurons": f"{NEURONS} S_CD",
    "auroc_neurons": f"{NEURONS} AUROC",
}
STEERING = {
    "layer": "layer",
    "system": "system",
    "concepts": "concepts",
    "rises": "share that rises",
    **{f"gain_{kl:g}": f"gain at KL {kl:g}, %" for kl in SHOWN},
    "perplexity": f"perplexity at KL {SPENT:g}",
}
STEERED = {
    "layer": "layer",
    "concept": "concept",
    "feature": "feature",
    "label": "label",
    "base": "mass, %",
    "mass_0.1": "KL 0.1",
    "mass_0.5": "KL 0.5",
    "rises": "rises",
    "mass_means_0.1": f"{MEANS}, KL 0.1",
    "mass_means_0.5": "KL 0.5",
    "mass_neurons_0.5": f"{NEURONS}, KL 0.5",
    "mass_random_0.5": "random, KL 0.5",
}
DETECTION_NOTES = (
    "Detection: a sentence's score is the largest cosine similarity of its tokens' activations with the direction. "
    "S_CD: log of the mean score of held-out sentences about the concept over that of neutral ones, which are "
    f"sentences of the text's test part ({SHORTEST} to {LONGEST} words, none of them the concept's). Means over "
    "concepts.",
    f"Each concept's feature is the one with the best AUROC on the training sentences. {MEANS} and {NEURONS} (the same "
    "difference's largest, as many as an atom has) are of the training sentences too. "
    f"{RANDOM.capitalize()}: the best of as many random directions.",
)
STEERING_NOTES = (
    "Steering: the probability of the concept's tokens at the next position, in percent, mean over "
    f"{len(PROMPTS)} prompts and line beginnings of the text's test part, where every direction spends the same mean "
    "KL divergence (nats). Gains are means over concepts.",
    "Each concept's feature (with - for less of it) is the one that makes its tokens likeliest on other prompts; "
    f"{RANDOM}, is the best of as many random directions, on the same prompts. "
    f"Rises: at each KL divergence of {', '.join(f'{kl:g}' for kl in TARGETS)} the mass is above the one before.",
)


@dataclass(frozen=True)
class FeatureEvaluation:
    """What was measured, as tables over systems, and over concepts (`details`)."""

    detection: Evaluation
    steering: Evaluation


def evaluate_features(
    checkpoint: Checkpoint,
    dictionary: Dictionary,
    where: str,
    data: Path,
    layer: int | None,
    progress: Progress,
    concepts: Sequence[Concept] | None = None,
) -> FeatureEvaluation:
    """Detection and steering by the features of one layer, or of all.

    Args:
        where: names the dictionary in errors.
        data: text, a file or a folder with a test part.
        layer: from 1; None for all.
        concepts: None for those of the package.

    Raises:
        UsageError: there is no text, or no such layer.
        EdgekitError: the dictionary is for another checkpoint, that has no tokenizer, or the text is too short.
    """
    dictionary.check_model(checkpoint.module, where)
    layers = dictionary.layers if layer is None else (dictionary.layer(layer),)
    opt, tokenizer = checkpoint.module, checkpoint.tokenizer
    if tokenizer is None:
        raise EdgekitError("the checkpoint has no tokenizer: put tokenizer.json, or vocab.json and merges.txt, there.")
    corpus = load_corpus(data)
    neutral = _neutral(corpus, data)
    concepts = all_concepts() if concepts is None else concepts
    prompts = [*PROMPTS, *line_prompts(corpus.test)]
    text = token_stream(tokenizer, corpus.test)[:PERPLEXITY_TOKENS]
    detection: list[dict[str, Any]] = []
    detected: list[dict[str, Any]] = []
    steering: list[dict[str, Any]] = []
    steered: list[dict[str, Any]] = []
    for one in layers:
        progress.start(f"layer {one.layer}", len(concepts) + 1, "concepts")
        progress.step("detection", 0)
        found = detect_concepts(opt, tokenizer, dictionary, one, concepts, neutral)
        detection += _detection_rows(one, found)
        detected += [_detected_row(one, concept) for concept in found]
        progress.step("steering")
        answers = steer_concepts(opt, tokenizer, one, found, prompts, text, progress.step)
        steering += _steering_rows(one, answers)
        steered += [_steered_row(one, concept) for concept in answers]
        progress.done()
    plain = likelihood(opt, text, min(WINDOW, opt.config.max_position_embeddings)).perplexity
    without = (
        f"Perplexity: {len(text) - 1} tokens of the test part, each direction by itself; without steering {plain:.2f}."
    )
    return FeatureEvaluation(
        Evaluation(ResultTable(DETECTION, detection), ResultTable(DETECTED, detected), DETECTION_NOTES),
        Evaluation(ResultTable(STEERING, steering), ResultTable(STEERED, steered), (*STEERING_NOTES, without)),
    )


def _neutral(corpus: Corpus, data: Path) -> tuple[list[str], list[str]]:
    """Sentences for training and held out; of a text without a test part every second one each."""
    training, held_out = sentences(corpus.train), sentences(corpus.test)
    if corpus.train == corpus.test:
        training, held_out = training[::2], training[1::2]
    if min(len(training), len(held_out)) < FEWEST:
        raise EdgekitError(
            f"{data} has {len(training)} sentences to choose features by and {len(held_out)} to measure on (the "
            f"first of a line, {SHORTEST} to {LONGEST} words, punctuation apart): give {FEWEST} of each, such as "
            f"WikiText-2's."
        )
    return training, held_out


def _detection_rows(layer: LayerDictionary, found: Sequence[DetectedConcept]) -> list[dict[str, Any]]:
    rows = []
    for system in (FEATURE, COEFFICIENT, MEANS, NEURONS, RANDOM):
        each = [one.systems[system] for one in found]
        rows.append(
            {
                "layer": layer.layer,
                "system": system,
                "concepts": len(each),
                "score": _mean([one.score for one in each]),
                "positive": _mean([float(one.score > 0) for one in each]),
                "auroc": _mean([one.auroc for one in each]),
                "others": _mean([one.others for one in each]),
            }
        )
    return rows


def _detected_row(layer: LayerDictionary, found: DetectedConcept) -> dict[str, Any]:
    feature = found.systems[FEATURE]
    assert feature.feature is not None
    return {
        "layer": layer.layer,
        "concept": found.concept.name,
        "feature": f"{layer.layer}:{feature.feature}",
        "label": layer.features[feature.feature].label,
        "score": feature.score,
        "auroc": feature.auroc,
        "others": feature.others,
        "auroc_coefficient": found.systems[COEFFICIENT].auroc,
        "score_means": found.systems[MEANS].score,
        "auroc_means": found.systems[MEANS].auroc,
        "score_neurons": found.systems[NEURONS].score,
        "auroc_neurons": found.systems[NEURONS].auroc,
    }


def _steering_rows(layer: LayerDictionary, answers: Sequence[SteeredConcept]) -> list[dict[str, Any]]:
    rows = []
    for system in SYSTEMS if answers else ():
        each = [(one.base, one.systems[system]) for one in answers]
        gains = {
            f"gain_{kl:g}": _mean([100 * (one.masses[place] - base) for base, one in each])
            for place, kl in enumerate(TARGETS)
        }
        rows.append(
            {
                "layer": layer.layer,
                "system": system,
                "concepts": len(each),
                "rises": _mean([float(one.rises) for _, one in each]),
                **gains,
                "perplexity": _mean([one.perplexity for _, one in each]),
            }
        )
    return rows


def _steered_row(layer: LayerDictionary, found: SteeredConcept) -> dict[str, Any]:
    def masses(name: str, one: Steered) -> Mapping[str, float | None]:
        return {
            f"mass_{name}{kl:g}": None if math.isnan(mass) else 100 * mass
            for kl, mass in zip(TARGETS, one.masses, strict=True)
        }

    return {
        "layer": layer.layer,
        "concept": found.name,
        "feature": f"{'-' if found.sign < 0 else ''}{layer.layer}:{found.feature}",
        "label": layer.features[found.feature].label,
        "base": 100 * found.base,
        "rises": "yes" if found.systems[FEATURE].rises else "no",
        **masses("", found.systems[FEATURE]),
        **masses("means_", found.systems[MEANS]),
        **masses("neurons_", found.systems[NEURONS]),
        **masses("random_", found.systems[RANDOM]),
    }


def _mean(values: Sequence[float]) -> float | None:
    """Of the numbers that there are."""
    real = [value for value in values if not math.isnan(value)]
    return sum(real) / len(real) if real else None
