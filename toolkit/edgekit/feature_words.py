"""Features as words for people: tokens that can be read, ranges of steering."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.models.features.dictionary import Feature


def token_text(token: str) -> str:
    """A token on a line of its own width: spaces in front and behind are left out, line breaks and tabs are written
    as "\\n" and "\\t"; one of spaces only is "␣" for each."""
    shown = token.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in shown)
    return shown.strip() or "\N{OPEN BOX}" * len(shown)


def tokens_text(tokens: Iterable[str], most: int | None = None) -> str:
    """The first few, each once however it is spelled: "Monday, Tuesday"."""
    shown: dict[str, str] = {}
    for token in tokens:
        word = token_text(token)
        shown.setdefault(word.casefold(), word)
    return ", ".join(list(shown.values())[:most])


def range_text(feature: Feature) -> str:
    """KL divergences that steering by it is calibrated for, in nats: "-0.5 to 0.5"; "" without any."""
    found = [0.0, *(kl for kl, _ in feature.steering)]
    return f"{min(found):g} to {max(found):g}" if feature.steering else ""
