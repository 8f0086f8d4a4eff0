"""Byte-level BPE by the package `tokenizers`: OPT's own vocabulary, or one that is trained on the text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from edgekit.errors import EdgekitError, UsageError

if TYPE_CHECKING:
    import tokenizers

#: Ends a document; OPT's own name for it.
END = "</s>"


class Tokenizer:
    """Text to token ids and back; every text has tokens, for all bytes have.

    Raises:
        UsageError: the package `tokenizers` is not installed (from every way to make one).
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend

    @classmethod
    def train(cls, texts: Iterable[str], pieces: int) -> Tokenizer:
        """A vocabulary of at most `pieces` for the texts; the end of a document is token 0."""
        package = _package()
        from tokenizers import decoders, models, pre_tokenizers, trainers

        backend = package.Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=pieces,
            special_tokens=[END],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
        return cls(backend)

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer | None:
        """From `vocab.json` and `merges.txt`, or `tokenizer.json`, as Hugging Face's folders have them; None without.

        Raises:
            EdgekitError: a file is damaged.
        """
        vocabulary, merges, whole = (folder / name for name in ("vocab.json", "merges.txt", "tokenizer.json"))
        if not whole.is_file() and not (vocabulary.is_file() and merges.is_file()):
            return None
        package = _package()
        from tokenizers import decoders, models, pre_tokenizers

        try:
            if whole.is_file():
                return cls(package.Tokenizer.from_file(str(whole)))
            backend = package.Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
        except Exception as error:  # the package raises nothing more special
            raise EdgekitError(f"the tokenizer in {folder} is damaged ({error}): copy it again.") from error
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        return cls(backend)

    @classmethod
    def from_json(cls, text: str, where: str) -> Tokenizer:
        """From what `to_json` gave; `where` begins the sentence of an error.

        Raises:
            EdgekitError: it is damaged.
        """
        package = _package()
        try:
            return cls(package.Tokenizer.from_str(text))
        except Exception as error:  # the package raises nothing more special
            raise EdgekitError(f"{where}: the tokenizer is damaged ({error}): copy it again.") from error

    def to_json(self) -> str:
        return self._backend.to_str()

    @property
    def size(self) -> int:
        """How many token ids there are."""
        return self._backend.get_vocab_size()

    @property
    def end(self) -> int | None:
        """The token that ends a document."""
        return self._backend.token_to_id(END)

    def encode(self, text: str) -> list[int]:
        """Token ids; no special tokens are added."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids."""
        return self._backend.decode(list(tokens))

    def stream(self) -> TextStream:
        """Text of tokens that come one by one."""
        return TextStream(self._backend)


class TextStream:
    """Turns tokens into text as they come; a character that several tokens share is given with its last one."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        from tokenizers.decoders import DecodeStream

        self._backend = backend
        self._stream = DecodeStream([], True)

    def text_of(self, token: int) -> str:
        """What the next token adds to the text; "" while a character is not whole, and for special tokens."""
        return self._stream.step(self._backend, token) or ""


def _package() -> ModuleType:
    try:
        import tokenizers
    except ImportError as error:
        raise UsageError("text needs the package tokenizers: pip install tokenizers.") from error
    return tokenizers
