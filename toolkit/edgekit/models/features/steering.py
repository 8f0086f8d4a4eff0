"""How much of a feature is added for what that may cost: KL targets to coefficients, by the calibrated rows."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from edgekit.errors import UsageError

from .dictionary import Dictionary, Feature
from .listed import Listed, ListedLayer


@dataclass(frozen=True)
class Amount:
    """How much of a feature is added.

    Attributes:
        layer: from 1.
        feature: from 0.
        kl: what that may cost, in nats; below 0 for less of it.
        alpha: its coefficient, in units of activations.
    """

    layer: int
    feature: int
    kl: float
    alpha: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def coefficient(feature: Feature, kl: float, where: str) -> float:
    """The alpha of a KL target in nats, between 0 and the calibrated rows.

    For small changes KL grows with alpha's square: on straight lines between the rows' roots.

    Args:
        feature: with its rows.
        kl: below 0 for less of the feature.
        where: names the feature in errors.

    Raises:
        UsageError: it is beyond what was calibrated.
    """
    rows = sorted({(0.0, 0.0), *feature.steering})
    lowest, highest = rows[0][0], rows[-1][0]
    if len(rows) == 1:
        raise UsageError(f"{where} was not calibrated: leave it out, or fit the dictionary again.")
    if not lowest <= kl <= highest:
        raise UsageError(f"{where} was calibrated from KL {lowest:g} to {highest:g}, not {kl:g}: give one in between.")
    place = bisect_left(rows, (kl, -math.inf))
    (kl_after, after) = rows[place]
    if kl_after == kl:
        return after
    (kl_before, before) = rows[place - 1]
    below, here, above = (math.copysign(math.sqrt(abs(one)), one) for one in (kl_before, kl, kl_after))
    return before + (after - before) * (here - below) / (above - below)


def coefficients(amounts: Iterable[Amount], count: int) -> Mapping[int, Tensor]:
    """Coefficients (k,) float32 by layer, of `count` features each."""
    found: dict[int, Tensor] = {}
    for one in amounts:
        found.setdefault(one.layer, torch.zeros(count))[one.feature] = one.alpha
    return found


def read_steering(text: str, dictionary: Dictionary, origin: str) -> tuple[Amount, ...]:
    """What FEATURE=KL,... says, where FEATURE is a name as `Listed.find` takes it.

    Args:
        text: what a user wrote.
        dictionary: whose features these are.
        origin: names it in errors.

    Raises:
        UsageError: not of this form, no such feature, one that is named twice, or a KL beyond what was calibrated.
    """
    listed = Listed(origin, tuple(ListedLayer(layer.layer, layer.features, []) for layer in dictionary.layers))
    found: list[Amount] = []
    seen = set()
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            kl = float(number)
        except ValueError as error:
            raise UsageError(f"steer={text}: {part!r} is not FEATURE=KL, such as 4:12=0.1 or 4:12=-0.1.") from error
        layer, feature = listed.find(name.strip())
        where = f"feature {layer.layer}:{feature}"
        if where in seen:
            raise UsageError(f"steer={text}: {where} is named twice.")
        seen.add(where)
        found.append(Amount(layer.layer, feature, kl, coefficient(layer.features[feature], kl, where)))
    return tuple(found)
