"""An explanation: how much of which feature each token of a text had, as `edgekit run --explain --json` gives it.

    {"layers": [4, 6],
     "tokens": [{"token": 17, "text": " the",
                 "layers": [{"unexplained": 0.12, "features": [{"feature": 12, "value": 1.3, "label": "Monday"}]}]}],
     "steering": [{"layer": 4, "feature": 12, "label": "Monday", "kl": 0.1, "alpha": 3.2}]}

What a bundle is steered by for good comes first in `steering`, with `"built_in": true`.

`layers` of a token are in the order of the first list. One entry for each token that the program was given: the last
one of a text was not, so it has no features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.feature_words import token_text


@dataclass(frozen=True)
class LayerUse:
    """What was used of one layer, as tables.

    Attributes:
        layer: from 1.
        features: those used most, F, by falling sum of their values.
        labels: of these.
        values: (F, T) float64, 0 where a token has none of a feature.
        unexplained: (T,) float64, the share of a token's activations that no feature explains.
        others: features that were used too, and were left out.
    """

    layer: int
    features: tuple[int, ...]
    labels: tuple[str, ...]
    values: npt.NDArray[np.float64]
    unexplained: npt.NDArray[np.float64]
    others: int


def word(token: Mapping[str, Any]) -> str:
    """A token of an explanation for people; its number where it has no text, as a special one."""
    return token_text(token["text"]) or f"<{token['token']}>"


def layer_use(explanation: Mapping[str, Any], place: int, most: int) -> LayerUse:
    """The features of a layer that a text used most; of one sum the lower number first.

    Args:
        explanation: of T tokens.
        place: of the layer, from 0, in the explanation's list.
        most: features that are kept.
    """
    of_tokens = [token["layers"][place] for token in explanation["tokens"]]
    sums: dict[int, float] = {}
    labels: dict[int, str] = {}
    for found in of_tokens:
        for used in found["features"]:
            sums[used["feature"]] = sums.get(used["feature"], 0.0) + used["value"]
            labels[used["feature"]] = used["label"]
    order = sorted(sums, key=lambda feature: (-sums[feature], feature))
    kept = order[:most]
    row_of = {feature: row for row, feature in enumerate(kept)}
    values = np.zeros((len(kept), len(of_tokens)))
    for column, found in enumerate(of_tokens):
        for used in found["features"]:
            if used["feature"] in row_of:
                values[row_of[used["feature"]], column] = used["value"]
    unexplained = np.array([found["unexplained"] for found in of_tokens], np.float64)
    named = tuple(labels[feature] for feature in kept)
    return LayerUse(explanation["layers"][place], tuple(kept), named, values, unexplained, len(order) - len(kept))
