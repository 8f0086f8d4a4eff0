"""Text to tokens and back, byte-level BPE."""

from __future__ import annotations

import os
from collections.abc import Sequence

from edgekit_runtime import _native


class Tokenizer:
    """Text to token ids and back, as the package `tokenizers` does it; every text has tokens, for all bytes have.

    Args:
        path: a tokenizer.json.

    Attributes:
        begin: the token in front of every text; None where there is none. A bundle's settings know it, not the file.

    Raises:
        EdgekitError: it is missing or damaged, or no byte-level BPE.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._native = _native.Tokenizer(os.fspath(path))
        self.begin: int | None = None

    @classmethod
    def of(cls, native: _native.Tokenizer, begin: int | None) -> Tokenizer:
        """One that is loaded already."""
        tokenizer = cls.__new__(cls)
        tokenizer._native = native
        tokenizer.begin = begin
        return tokenizer

    @property
    def size(self) -> int:
        """How many token ids there are."""
        return self._native.size

    def encode(self, text: str) -> list[int]:
        """Token ids; no special tokens are added.

        Raises:
            UsageError: the text has half a surrogate pair, which is no character.
        """
        return self._native.encode(utf8(text))

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids, without special tokens."""
        return self._native.decode(list(tokens))

    def name(self, token: int) -> str:
        """One token as text; its number where it is none, as a special one."""
        return self.decode([token]) or str(token)

    def stream(self) -> TextStream:
        """Text of tokens that come one by one."""
        return TextStream(self._native)


class TextStream:
    """Turns tokens into text as they come; a character that several tokens share is given with its last one."""

    def __init__(self, tokenizer: _native.Tokenizer) -> None:
        self._native = _native.TextStream(tokenizer)

    def text_of(self, token: int) -> str:
        """What the next token adds to the text; "" while a character is not whole, and for special tokens."""
        return self._native.text_of(token)


def utf8(text: str) -> bytes:
    """A text's bytes; half a surrogate pair goes along, for the library to say where it is."""
    return text.encode("utf-8", "surrogatepass")
