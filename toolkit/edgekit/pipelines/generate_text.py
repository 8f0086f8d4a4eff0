"""Text generation: a prompt in, the text that follows out, token by token."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import EdgekitError, UsageError
from edgekit.session import Session
from edgekit.tensors import Array
from edgekit.tokenizer import Tokenizer

NAME = "generate_text"
TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class TextSettings:
    """What the manifest says of the pipeline.

    Attributes:
        context: tokens that there is room for, prompt and answer together.
        chunk: most tokens that the program takes at once.
        vocabulary: logits per token; the tokenizer may have fewer tokens.
        end: the token that ends a text; None where there is none.
        k_budget: tokens that a head and row attends to; None for dense attention.
        begin: the token in front of every text; None where there is none.
        longest: tokens that the model was trained for, the most that `context` can be; None where it is not known.
    """

    context: int
    chunk: int
    vocabulary: int
    end: int | None
    k_budget: int | None
    begin: int | None = None
    longest: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TextSettings:
        """From a manifest's `pipeline`.

        Raises:
            EdgekitError: a value is missing or makes no sense.
        """
        try:
            given = {name: values[name] for name in ("context", "chunk", "vocabulary", "end", "k_budget")}
        except KeyError as error:
            raise EdgekitError(f"the manifest's pipeline lacks {error}: export the bundle again.") from error
        given |= {name: values.get(name) for name in ("begin", "longest")}  # older bundles lack them
        for name, value in given.items():
            optional = value is None and name in ("begin", "end", "k_budget", "longest")
            least = 0 if name in ("begin", "end") else 1
            if not optional and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise EdgekitError(f"the manifest's pipeline has {name} {value!r}: export the bundle again.")
        return cls(**given)


@dataclass
class Generation:
    """How a generation went; filled as it goes on.

    Attributes:
        prompt_tokens, generated_tokens: how many.
        prompt_seconds, generated_seconds: time in the program for the prompt, and from then on.
        text: what was generated so far.
        tokens: the same as token ids.
        reason: why it ended: "end" (the text's own), "length" (the tokens that were asked for), "context" (no room).
    """

    prompt_tokens: int = 0
    generated_tokens: int = 0
    prompt_seconds: float = 0.0
    generated_seconds: float = 0.0
    text: str = ""
    tokens: list[int] = field(default_factory=list)
    reason: str = ""


class TextGenerator:
    """Goes on with texts, one at a time.

    Args:
        session: of a bundle with this pipeline.

    Raises:
        EdgekitError: the bundle's tokenizer or settings do not fit.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.settings = TextSettings.from_dict(session.bundle.manifest["pipeline"])
        path = session.bundle.path / TOKENIZER_FILE
        self.tokenizer = read_tokenizer(path)
        if self.tokenizer.size > self.settings.vocabulary:
            raise EdgekitError(
                f"{path} has {self.tokenizer.size} tokens, the program {self.settings.vocabulary}: export it again."
            )

    def encode(self, text: str) -> list[int]:
        """The tokens of a prompt, behind the one that begins every text where there is one.

        Raises:
            UsageError: it is empty, or there is no room for it.
        """
        tokens = self.tokenizer.encode(text)
        if not tokens:
            raise UsageError("the prompt is empty: give some text to go on with.")
        if self.settings.begin is not None:
            tokens.insert(0, self.settings.begin)
        if len(tokens) >= self.settings.context:
            longest, room = self.settings.longest or 0, self.settings.context
            more = f", or export it with --set context= up to {longest}" if longest > room else ""
            raise UsageError(
                f"the prompt has {len(tokens)} tokens, the bundle takes {room - 1} and one to generate: "
                f"shorten it{more}."
            )
        return tokens

    def logits(self, tokens: list[int], position: int, every: bool = False) -> Array:
        """What the program gives for the next tokens: logits (V,) after the last one, or (T, V) after every one.

        Args:
            tokens: any number, from `position` on; position 0 begins a new text.
            position: tokens before these.
            every: whether all are wanted.

        Raises:
            UsageError: no tokens, one that is not in the vocabulary, or more than there is room for.
        """
        room = self.settings.context - position
        if not 1 <= len(tokens) <= room:
            raise UsageError(f"{len(tokens)} tokens after {position}: give 1 to {room}.")
        for token in tokens:
            if not 0 <= token < self.settings.vocabulary:
                raise UsageError(f"token {token} is not in the vocabulary, 0 to {self.settings.vocabulary - 1}.")
        parts = []
        for start in range(0, len(tokens), self.settings.chunk):
            part = np.array(tokens[start : start + self.settings.chunk])
            rows = np.arange(len(part)) if every else np.array([len(part) - 1])
            parts.append(self.session.run(part, np.array(position + start), rows, method="extend")[0])
        return np.concatenate(parts) if every else np.asarray(parts[-1][0])

    def generate(
        self,
        prompt: str,
        max_tokens: int = 100,
        temperature: float = 0.0,
        seed: int = 0,
        went: Generation | None = None,
    ) -> Iterator[str]:
        """Pieces of the text that follows a prompt, as they come. A generation that is left early does no harm.

        Args:
            prompt: text.
            max_tokens: most tokens that are generated.
            temperature: 0 takes the likeliest token; otherwise tokens are drawn, the flatter the higher.
            seed: of the draws.
            went: filled on the way.

        Raises:
            UsageError: the prompt is empty or too long, or a setting makes no sense.
        """
        if max_tokens < 1:
            raise UsageError(f"{max_tokens} tokens to generate: give 1 or more.")
        if not 0 <= temperature < float("inf"):
            raise UsageError(f"the temperature is {temperature}: give 0 for the likeliest token, or a number above.")
        tokens = self.encode(prompt)
        return self._generate(tokens, max_tokens, temperature, seed, went or Generation())

    def _generate(
        self, tokens: list[int], max_tokens: int, temperature: float, seed: int, went: Generation
    ) -> Iterator[str]:
        draws, stream = np.random.default_rng(seed), self.tokenizer.stream()
        start = time.perf_counter()
        logits = self.logits(tokens, 0)
        went.prompt_tokens, went.prompt_seconds = len(tokens), time.perf_counter() - start
        length = len(tokens)
        while True:
            token = choose(logits[: self.tokenizer.size], temperature, draws)
            if token == self.settings.end:
                went.reason = "end"
                return
            went.tokens.append(token)
            went.generated_tokens += 1
            piece = stream.text_of(token)
            went.text += piece
            yield piece
            if went.generated_tokens == max_tokens or length == self.settings.context:
                went.reason = "length" if went.generated_tokens == max_tokens else "context"
                return
            start = time.perf_counter()
            logits = self.logits([token], length)
            went.generated_seconds += time.perf_counter() - start
            length += 1


def choose(logits: Array, temperature: float, draws: np.random.Generator) -> int:
    """A token by logits (V,): the likeliest at temperature 0, otherwise drawn from softmax(logits / temperature)."""
    if temperature == 0:
        return int(np.argmax(logits))
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    return int(draws.choice(len(weights), p=weights / weights.sum()))


def read_tokenizer(path: Path) -> Tokenizer:
    """A bundle's tokenizer.

    Raises:
        EdgekitError: it is missing or damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EdgekitError(f"{path} is missing or damaged: export the bundle again.") from error
    return Tokenizer.from_json(text, str(path))
