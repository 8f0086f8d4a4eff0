"""What a language model thinks of: the features of its bundle, and of each token of a text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit_runtime import _native
from edgekit_runtime.errors import UsageError
from edgekit_runtime.tensors import Array
from edgekit_runtime.tokenizer import Tokenizer, utf8


@dataclass(frozen=True)
class Steered:
    """One feature, and by how much texts are steered by it.

    Attributes:
        layer: from 1.
        feature: from 0.
        label: a few words.
        kl: nats that it costs, KL(before || after) of the next token; with a minus sign for less of the feature.
        alpha: the same as what is added to every token: a coefficient, in units of activations.
        built_in: whether the program has it for good (`edgekit export --set steer=`).
    """

    layer: int
    feature: int
    label: str
    kl: float
    alpha: float
    built_in: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "layer": self.layer,
            "feature": self.feature,
            "label": self.label,
            "kl": self.kl,
            "alpha": self.alpha,
            **({"built_in": True} if self.built_in else {}),
        }


class Features:
    """The features that a bundle was exported with: k of each of L tapped layers.

    A feature is named "4:12", which is number 12 of layer 4, or "12" where one layer is tapped.

    Attributes:
        layers: numbers of the tapped layers, from 1.
        count: k, features of each layer.
        shown: s, most features of a token and layer that an explanation has.
        built_in: what every text is steered by for good; what `steering` gives comes on top of it.
    """

    def __init__(self, native: _native.Features) -> None:
        self._native = native
        self.layers: tuple[int, ...] = tuple(native.layers)
        self.count: int = native.count
        self.shown: int = native.shown
        self.built_in: tuple[Steered, ...] = tuple(
            Steered(self.layers[index], feature, native.label(index, feature), kl, alpha, built_in=True)
            for index, feature, kl, alpha in native.built_in()
        )

    def find(self, name: str) -> tuple[int, int]:
        """Layer and feature of a name.

        Raises:
            UsageError: there is no such feature; the message says which there are.
        """
        index, feature = self._native.find(utf8(name))
        return self.layers[index], feature

    def label(self, layer: int, feature: int) -> str:
        """A few words for a feature of a layer that is counted from 1; "" where there are none.

        Raises:
            UsageError: there is no such feature.
        """
        return self._native.label(*self._place(layer, feature))

    def calibrated(self, layer: int, feature: int) -> tuple[tuple[float, float], ...]:
        """Amounts (kl, alpha) that a feature was calibrated for, by rising KL; see `Steered`.

        Raises:
            UsageError: there is no such feature.
        """
        return tuple(self._native.calibrated(*self._place(layer, feature)))

    def steering(self, amounts: Mapping[str, float]) -> tuple[Array, tuple[Steered, ...]]:
        """What texts are steered by: u (L, k) float32 for the program, and the same in words.

        Args:
            amounts: KL in nats by the feature's name, with a minus sign for less of it. Between calibrated amounts, and
                between none and the smallest, alpha is nearly in proportion to the root of the KL.

        Raises:
            UsageError: a feature does not exist or is named twice, or its KL is beyond what was calibrated.
        """
        u: Array = np.zeros((len(self.layers), self.count), np.float32)
        steered: list[Steered] = []
        for name, kl in amounts.items():
            index, feature, alpha = self._native.steer(utf8(name), float(kl), u)
            layer = self.layers[index]
            if any((one.layer, one.feature) == (layer, feature) for one in steered):
                raise UsageError(f"feature {name} is given twice, the other time as {layer}:{feature}: give it once.")
            steered.append(Steered(layer, feature, self._native.label(index, feature), float(kl), alpha))
        return u, tuple(steered)

    def _place(self, layer: int, feature: int) -> tuple[int, int]:
        index, feature = self._native.find(utf8(f"{layer}:{feature}"))
        return index, feature


@dataclass(frozen=True)
class Explanation:
    """What the tokens of a text were about: T that the program was given; the last one that it chose is none of them.

    Attributes:
        tokens: (T,) int64, ids.
        features: (T, L, s) int64, features of each token and tapped layer, by falling value.
        values: (T, L, s) float32, their coefficients in units of activations; 0 where a token has fewer than s.
        unexplained: (T, L) float32, share of the activations' squares that these features leave, from 0 to 1.
        known: the bundle's features.
        position: tokens before the first of these; 0 for a text.
    """

    tokens: Array
    features: Array
    values: Array
    unexplained: Array
    known: Features
    position: int = 0

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers of the tapped layers, from 1."""
        return self.known.layers

    def to_dict(self, tokenizer: Tokenizer, steered: tuple[Steered, ...] = ()) -> dict[str, Any]:
        """As plain values, the same as `edgekit-run --explain --json` prints: layers, tokens, steering."""
        return {
            "layers": list(self.layers),
            "tokens": [
                {"token": int(token), "text": tokenizer.decode([int(token)]), "layers": self._layers(place)}
                for place, token in enumerate(self.tokens)
            ],
            "steering": [one.to_dict() for one in steered],
        }

    def _layers(self, place: int) -> list[dict[str, Any]]:
        found = []
        for index, layer in enumerate(self.layers):
            pairs = zip(self.features[place, index].tolist(), self.values[place, index].tolist(), strict=True)
            features = [
                {"feature": feature, "value": _rounded(value), "label": self.known.label(layer, feature)}
                for feature, value in pairs
                if value > 0
            ]
            found.append({"unexplained": _rounded(float(self.unexplained[place, index])), "features": features})
        return found


def _rounded(number: float) -> float:
    """Not negative, to six digits behind the point, as the runner does."""
    return math.floor(1e6 * number + 0.5) / 1e6
