"""Text generation: a prompt in, the text that follows out, token by token."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from edgekit_runtime import _native
from edgekit_runtime.errors import UsageError
from edgekit_runtime.explain import Explanation, Features, Steered
from edgekit_runtime.session import Session
from edgekit_runtime.tensors import Array
from edgekit_runtime.tokenizer import Tokenizer, utf8

NAME = "generate_text"
#: A bundle's file with the vocabulary.
TOKENIZER_FILE = "tokenizer.json"
#: How often a text that another thread generates is asked whether it is at its end; Ctrl-C is seen as often.
PAUSE = 0.01


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


@dataclass
class Generation:
    """How a generation went; filled as it goes on.

    Attributes:
        prompt_tokens, generated_tokens: how many.
        prompt_seconds, generated_seconds: time in the program for the prompt, and from then on.
        text: what was generated so far.
        tokens: the same as token ids.
        reason: why it ended: "end" (the text's own), "length" (the tokens that were asked for), "context" (no room),
            "cancelled".
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

    Attributes:
        features: what the model thinks of; None where the bundle has no features.
        steered: what texts are steered by, what the program has for good first; without it () while they are not, or by
            an array.

    Raises:
        UsageError: the bundle is for another task.
        EdgekitError: the bundle's tokenizer or settings do not fit.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._native = _native.TextGenerator(session._native)
        context, chunk, vocabulary, end, k_budget, begin, longest = self._native.settings
        self.settings = TextSettings(
            context,
            chunk,
            vocabulary,
            end if end >= 0 else None,
            k_budget or None,
            begin if begin >= 0 else None,
            longest or None,
        )
        self.tokenizer = Tokenizer.of(self._native.tokenizer, self.settings.begin)
        native = self._native.features
        self.features: Features | None = None if native is None else Features(native)
        self.steered: tuple[Steered, ...] = self._built_in
        self._explains = False
        self._current: Generation | None = None
        # A started text may ask for the interpreter to call `take`: it ends before the interpreter does.
        weakref.finalize(self, _end, self._native)

    @property
    def _built_in(self) -> tuple[Steered, ...]:
        return () if self.features is None else self.features.built_in

    def encode(self, text: str) -> list[int]:
        """The tokens of a prompt, behind the one that begins every text where there is one.

        Raises:
            UsageError: it is empty, or there is no room for it.
        """
        return self._native.encode(utf8(text))

    def logits(self, tokens: list[int], position: int, every: bool = False) -> Array:
        """What the program gives for the next tokens: logits (V,) after the last one, or (T, V) after every one.
        They are steered and explained as texts are.

        Args:
            tokens: any number, from `position` on; position 0 begins a new text.
            position: tokens before these.
            every: whether all are wanted.

        Raises:
            UsageError: no tokens, one that is not in the vocabulary, or more than there is room for.
        """
        width = self.settings.vocabulary
        found: Array = np.empty((len(tokens), width) if every else width, np.float32)
        self._native.logits(tokens, position, every, found)
        self._current = None
        return found

    def steer(self, amounts: Mapping[str, float] | Array | None) -> None:
        """Makes the texts to come, and what `logits` is given, more or less of some features. Ends a text on its way.

        Args:
            amounts: KL in nats by the feature's name, such as {"4:12": 0.1}; see `Features.steering`. Or coefficients
                (L, k) float32 that are added to every token. None for no more.

        Raises:
            UsageError: the bundle has no features, one does not exist, or its KL is beyond what was calibrated; or a
                started text is not at its end.
        """
        u: Array | None = None
        steered: tuple[Steered, ...] = ()
        if isinstance(amounts, Mapping):
            u, steered = self._known_features().steering(amounts)
        elif amounts is not None:
            known = self._known_features()
            u = np.ascontiguousarray(amounts, np.float32)
            if u.shape != (len(known.layers), known.count):
                raise UsageError(f"u is {u.shape}: give one number for each of {len(known.layers)} x {known.count}.")
        self._native.steer(u)
        self.steered, self._current = self._built_in + steered, None

    @property
    def explain(self) -> bool:
        """Whether the features of every token are found, for `explanation`. Turning it on or off ends a text on its
        way; the program's method for it is loaded when it is first wanted.

        Raises:
            UsageError: the bundle has no features, or a started text is not at its end.
        """
        return self._explains

    @explain.setter
    def explain(self, on: bool) -> None:
        if on != self._explains:
            self._native.explain(on)
            self._explains, self._current = on, None

    def explanation(self) -> Explanation:
        """What the tokens of the last text were about, as far as it went; of no tokens where it was not explained.

        Raises:
            UsageError: the bundle has no features, or a started text is not at its end.
        """
        known = self._known_features()
        if self.is_running:
            raise UsageError("a text is being generated: wait for its end, or cancel it.")
        position, tokens, features, values, unexplained = self._native.explanation()
        return Explanation(tokens, features, values, unexplained, known, position)

    def _known_features(self) -> Features:
        if self.features is None:
            self._native.explain(True)  # says what to do
        assert self.features is not None
        return self.features

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
            seed: of the draws, which are the same on every machine.
            went: filled on the way.

        Raises:
            UsageError: the prompt is empty or too long, or a setting makes no sense. From the iterator: another text
                was begun meanwhile.
        """
        _check(max_tokens, temperature, seed)
        return self._generate(self.encode(prompt), max_tokens, temperature, seed, went or Generation())

    def _generate(
        self, tokens: list[int], max_tokens: int, temperature: float, seed: int, went: Generation
    ) -> Iterator[str]:
        self._native.begin(tokens, max_tokens, temperature, seed)
        self._current = went
        more = True
        while more:
            if self._current is not went:
                raise UsageError("another text was begun since: take texts one after the other.")
            more, token, piece = self._native.step()
            went.prompt_tokens, went.prompt_seconds, went.generated_seconds, went.reason = self._native.progress()
            if token >= 0:
                went.tokens.append(token)
                went.generated_tokens += 1
                went.text += piece
                yield piece

    def start(
        self,
        prompt: str,
        max_tokens: int = 100,
        temperature: float = 0.0,
        seed: int = 0,
        take: Callable[[str], object] | None = None,
    ) -> None:
        """Generates on a thread of its own, as `generate` does; `wait` gives the result.

        Args:
            prompt, max_tokens, temperature, seed: as in `generate`.
            take: called by that thread with each piece; False ends the text.

        Raises:
            UsageError: as in `generate`, or another started text is not at its end.
        """
        _check(max_tokens, temperature, seed)
        self._native.start(utf8(prompt), max_tokens, temperature, seed, take)
        self._current = None

    @property
    def is_running(self) -> bool:
        """Whether a started text is not at its end."""
        return self._native.is_running

    def wait(self) -> Generation:
        """The result of a started text, once it is at its end. Ctrl-C cancels it.

        Raises:
            UsageError: none was started.
            EdgekitError: the program failed.
        """
        try:
            while self._native.is_running:
                time.sleep(PAUSE)
        except BaseException:
            self._native.cancel()
            self._native.wait()
            raise
        self._native.wait()
        prompt_tokens, prompt_seconds, generated_seconds, reason = self._native.progress()
        tokens, text = self._native.tokens(), self._native.text()
        return Generation(prompt_tokens, len(tokens), prompt_seconds, generated_seconds, text, tokens, reason)

    def cancel(self) -> None:
        """Ends the text that goes on before its next token; from any thread."""
        self._native.cancel()


def _end(native: _native.TextGenerator) -> None:
    if native.is_running:
        native.cancel()
        with contextlib.suppress(Exception):  # nobody waits for the result
            native.wait()


def _check(max_tokens: int, temperature: float, seed: int) -> None:
    if not 0 <= seed < 1 << 64:
        raise UsageError(f"the seed is {seed}: give 0 to 2**64 - 1.")
    _native.check_sampling(max_tokens, temperature, seed)
