"""A dictionary and an explanation as a language model's features give them, made up; nothing here was measured."""

from __future__ import annotations

import random
from typing import Any

import torch

from edgekit.models.features.dictionary import Dictionary, Feature, LayerDictionary, unit_atoms

WORDS = (
    *("the", "of", "and", "a", "in", "to", "was", "is", "for", "on", "with", "by", "he", "at", "from", "his", "it"),
    *("an", "were", "which", "first", "after", "also", "who", "has", "film", "season", "team", "album", "song", "city"),
    *("year", "game", "war", "river", "church", "station", "north", "road", "series", "Monday", "2004", ",", "."),
)
KLS = (0.025, 0.05, 0.1, 0.15, 0.25, 0.35, 0.5)
#: Of the tokens of `made_explanation`, so many are the prompt's.
PROMPT = 12


def made_dictionary(layers: tuple[int, ...] = (4, 6), features: int = 24, width: int = 40) -> Dictionary:
    """Features with labels of three words each, steering on both sides, and two levels above them."""
    return Dictionary("0" * 64, tuple(_layer(number, features, width) for number in layers), {"k": features})


def _layer(number: int, features: int, width: int) -> LayerDictionary:
    draw = random.Random(number)
    generator = torch.Generator().manual_seed(number)
    atoms, _ = unit_atoms(torch.randn(width, features, generator=generator))
    levels = [
        torch.rand(above, below, generator=generator) ** 6
        for above, below in ((features // 2, features), (features // 4, features // 2))
    ]
    labels = [tuple(", ".join(draw.sample(WORDS, 3)) for _ in level) for level in levels]
    made = tuple(_feature(draw) for _ in range(features))
    return LayerDictionary(number, atoms, made, tuple(levels), tuple(labels))


def _feature(draw: random.Random) -> Feature:
    tokens = tuple(f" {word}" for word in draw.sample(WORDS, 10))
    alpha = draw.uniform(2, 9)
    steering = sorted((sign * kl, sign * alpha * kl**0.5) for kl in KLS for sign in (-1, 1))
    return Feature(
        label=", ".join(token.strip() for token in tokens[:3]),
        tokens=tokens,
        contexts=tuple(f"{' '.join(draw.sample(WORDS, 9))} «{token.strip()}» and so on" for token in tokens[:5]),
        promoted=tuple(f" {word}" for word in draw.sample(WORDS, 15)),
        suppressed=tuple(f" {word}" for word in draw.sample(WORDS, 15)),
        mean=draw.uniform(0.1, 1),
        maximum=draw.uniform(2, 5),
        steering=tuple(steering),
    )


def made_explanation(tokens: int = 30, dictionary: Dictionary | None = None, steered: bool = True) -> dict[str, Any]:
    """Of a text of so many tokens: 1 to 5 features a token and layer, the largest first."""
    dictionary = dictionary or made_dictionary()
    draw = random.Random(tokens)
    steering = [{"layer": 4, "feature": 3, "label": _label(dictionary, 0, 3), "kl": -0.1, "alpha": -2.5}]
    return {
        "layers": [one.layer for one in dictionary.layers],
        "tokens": [
            {
                "token": draw.randrange(6000),
                "text": f" {draw.choice(WORDS)}",
                "layers": [
                    {"unexplained": draw.uniform(0.05, 0.6), "features": _used(draw, dictionary, place)}
                    for place in range(len(dictionary.layers))
                ],
            }
            for _ in range(tokens)
        ],
        "steering": steering if steered else [],
    }


def _used(draw: random.Random, dictionary: Dictionary, place: int) -> list[dict[str, Any]]:
    count = dictionary.count
    features = draw.sample(range(count), draw.randint(1, min(5, count)))
    values = sorted((draw.lognormvariate(0, 0.8) for _ in features), reverse=True)
    return [
        {"feature": feature, "value": value, "label": _label(dictionary, place, feature)}
        for feature, value in zip(features, values, strict=True)
    ]


def _label(dictionary: Dictionary, place: int, feature: int) -> str:
    return dictionary.layers[place].features[feature].label
