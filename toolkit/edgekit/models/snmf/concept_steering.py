"""How likely the tokens of a concept become for the KL divergence that is spent, by features and by the baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from edgekit.models.features.dictionary import LayerDictionary
from edgekit.models.sea_opt.opt import OPT
from edgekit.models.sea_opt.perplexity import likelihood
from edgekit.tokenizer import Tokenizer

from .baselines import random_directions
from .concept_detection import FEATURE, MEANS, NEURONS, RANDOM, DetectedConcept
from .steering import TARGETS, SteeredPrompt, find_alphas, prompt_tokens, steered

#: Where a concept's feature is chosen, at which KL divergence; and where it is measured, besides lines of a text.
TRAINING_PROMPTS = ("It is known that the", "There was a", "He said that", "At that time , the", "This is the first")
PROMPTS = ("I think that", "She was one of the", "The next day ,", "It was a")
CHOICE = 0.25
#: Lines of the text whose first words are further prompts.
LINES, LINE_WORDS = 8, 8
#: Perplexity under steering by that KL divergence, on so many tokens of the text, in windows of so many.
SPENT, PERPLEXITY_TOKENS, WINDOW = 0.25, 1025, 512
#: The feature that is chosen so, the one that detects the concept, the baselines, and a random direction chosen so.
DETECTOR = "feature that detects"
SYSTEMS = (FEATURE, DETECTOR, MEANS, NEURONS, RANDOM)


@dataclass(frozen=True)
class Steered:
    """What steering by one direction does.

    Attributes:
        masses: mean probability of the concept's tokens next, by KL target; NaN where that is not reached.
        rises: every mass is above the one before, and above that without steering.
        perplexity: of the text, steered by `SPENT`; NaN likewise.
    """

    masses: tuple[float, ...]
    rises: bool
    perplexity: float


@dataclass(frozen=True)
class SteeredConcept:
    """One concept in one layer.

    Attributes:
        feature: its number.
        sign: 1 for more of the feature, -1 for less.
        base: the mean probability of its tokens without steering.
        systems: by name.
    """

    name: str
    feature: int
    sign: int
    base: float
    systems: Mapping[str, Steered]


def line_prompts(texts: Sequence[str], count: int = LINES) -> list[str]:
    """The first words of lines that are evenly spread over the texts; no headings."""
    lines = [line.split() for text in texts for line in text.splitlines() if not line.strip().startswith("=")]
    long = [line for line in lines if len(line) >= 2 * LINE_WORDS]
    return [" ".join(line[:LINE_WORDS]) for line in long[:: max(1, len(long) // count)][:count]]


def steer_concepts(
    opt: OPT,
    tokenizer: Tokenizer,
    layer: LayerDictionary,
    found: Sequence[DetectedConcept],
    prompts: Sequence[str],
    text: Tensor,
    on_concept: Callable[[str], None] = lambda name: None,
) -> list[SteeredConcept]:
    """Of every concept that has tokens: the feature that makes them likeliest, and its baselines.

    The feature, and whether more or less of it, is chosen on `TRAINING_PROMPTS` at KL `CHOICE`. All directions are
    calibrated to the same mean divergence on `prompts`, where the mass is measured.

    Args:
        opt: in eval mode.
        text: (n,) int64, for the perplexity.
        on_concept: told of every concept that is done.
    """
    planted = [one for one in found if one.concept.token_ids(tokenizer)]
    if not planted:
        return []
    tokens = [torch.tensor(one.concept.token_ids(tokenizer)) for one in planted]
    training, measured = (
        [SteeredPrompt(opt, prompt_tokens(tokenizer, prompt), layer.layer) for prompt in part]
        for part in (TRAINING_PROMPTS, prompts)
    )
    either, best = _chosen(training, layer.atoms, tokens)
    detectors = [one.systems[FEATURE].feature for one in planted]
    directions = {FEATURE: either[:, best], DETECTOR: layer.atoms[:, detectors]}
    directions |= {name: torch.stack([one.directions[name] for one in planted], 1) for name in (MEANS, NEURONS)}
    chance, likeliest = _chosen(training, random_directions(layer.atoms), tokens)
    directions[RANDOM] = chance[:, likeliest]
    alphas = {name: find_alphas(measured, part) for name, part in directions.items()}
    masses = {name: _masses(measured, part, alphas[name], tokens) for name, part in directions.items()}
    spent = TARGETS.index(SPENT)
    answers = []
    for index, one in enumerate(planted):
        base = torch.stack([prompt.base[tokens[index]].exp().sum() for prompt in measured]).mean().item()
        systems = {}
        for name, direction in directions.items():
            row = masses[name][index, :, index].tolist()
            alpha = alphas[name][index, spent]
            perplexity = _perplexity(opt, layer.layer, alpha * direction[:, index], text)
            rises = all(after > before for before, after in pairwise([base, *row]))
            systems[name] = Steered(tuple(row), rises, perplexity)
        feature, less = int(best[index]) % layer.atoms.shape[1], int(best[index]) >= layer.atoms.shape[1]
        answers.append(SteeredConcept(one.concept.name, feature, -1 if less else 1, base, systems))
        on_concept(one.concept.name)
    return answers


def _chosen(prompts: Sequence[SteeredPrompt], directions: Tensor, tokens: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Directions (da, k) and their opposites, and which of these makes each set of tokens likeliest at KL `CHOICE`."""
    either = torch.cat((directions, -directions), 1)
    masses = _masses(prompts, either, find_alphas(prompts, either, (CHOICE,)), tokens)[:, 0]
    return either, masses.nan_to_num(0).argmax(0)


def _masses(prompts: Sequence[SteeredPrompt], directions: Tensor, alphas: Tensor, tokens: Sequence[Tensor]) -> Tensor:
    """The mean probability over prompts (k, m, sets) of each set of tokens, for (da, k) times alphas (k, m)."""
    changes = (alphas.nan_to_num(0)[:, :, None] * directions.T[:, None]).flatten(0, 1)
    rows = []
    for part in changes.split(512):
        sums = torch.zeros(len(part), len(tokens))
        for prompt in prompts:
            likely = prompt.log_probabilities(part).exp()
            sums += torch.stack([likely[:, one].sum(1) for one in tokens], 1)
        rows.append(sums / len(prompts))
    return torch.cat(rows).view(*alphas.shape, -1).masked_fill(alphas.isnan()[:, :, None], torch.nan)


def _perplexity(opt: OPT, layer: int, change: Tensor, text: Tensor) -> float:
    if change.isnan().any():
        return torch.nan
    with steered(opt, layer, change):
        return likelihood(opt, text, min(WINDOW, opt.config.max_position_embeddings)).perplexity
