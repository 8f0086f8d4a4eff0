"""Planted concepts: sentences of our own about things that a small language model can know, and their tokens.

`concepts.json` has for each concept its words and, for training and held-out sentences apart, templates and what fills
their gap; both are other ones in the held-out sentences. Punctuation stands apart, as in WikiText.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from edgekit.tokenizer import Tokenizer

#: Words of a sentence that is taken out of a text, such as the concepts' sentences have.
SHORTEST, LONGEST = 6, 20
#: A concept is steered to if so many of its words are tokens.
FEWEST_TOKENS = 3


@dataclass(frozen=True)
class Concept:
    """Something that sentences can be about.

    Attributes:
        words: that stand for it.
        training, held_out: sentences about it.
    """

    name: str
    words: tuple[str, ...]
    training: tuple[str, ...]
    held_out: tuple[str, ...]

    def token_ids(self, tokenizer: Tokenizer) -> list[int]:
        """Tokens of the words that are one token after a space; [] where these are fewer than `FEWEST_TOKENS`."""
        encoded = [tokenizer.encode(f" {word}") for word in self.words]
        found = sorted({tokens[0] for tokens in encoded if len(tokens) == 1})
        return found if len(found) >= FEWEST_TOKENS else []

    def absent_from(self, sentence: str) -> bool:
        """Whether none of its words is in the sentence."""
        return not {word.casefold() for word in self.words} & set(sentence.casefold().split())


@functools.cache
def all_concepts() -> tuple[Concept, ...]:
    """The concepts that come with the package."""
    text = (resources.files(__package__) / "concepts.json").read_text(encoding="utf-8")
    return tuple(
        Concept(name, tuple(values["words"].split()), _filled(values["training"]), _filled(values["held_out"]))
        for name, values in json.loads(text).items()
    )


def training_text() -> str:
    """The training sentences of all concepts, one a line, for a dictionary that is to know the concepts."""
    return "".join(f" {sentence} \n" for concept in all_concepts() for sentence in concept.training)


def sentences(texts: Iterable[str]) -> list[str]:
    """The first sentence of every line, where it is as long as the concepts' are; no headings."""
    found = []
    for text in texts:
        for line in text.splitlines():
            match = re.match(r"(.+? [.!?])(?: |$)", line.strip())
            if match and not line.strip().startswith("=") and SHORTEST <= len(match[1].split()) <= LONGEST:
                found.append(match[1])
    return found


def _filled(part: dict[str, str | list[str]]) -> tuple[str, ...]:
    templates, fillers = part["templates"], str(part["fillers"]).split()
    return tuple(template.format(filler) for template in templates for filler in fillers)
