"""Byte-level BPE by the package `tokenizers`: OPT's own vocabulary, or one that is trained on the text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError, UsageError
from edgekit.files import read_json_object

if TYPE_CHECKING:
    import tokenizers

#: Ends a document; OPT's own name for it.
END = "</s>"
#: Special tokens by their names in tokenizer_config.json, and what begins a text where that names no token.
_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
_BEGIN = "<|endoftext|>"


class Tokenizer:
    """Text to token ids and back; every text has tokens, for all bytes have.

    Attributes:
        begin: the token that begins a text, as the post-processor has it; None where there is none.

    Raises:
        UsageError: the package `tokenizers` is not installed (from every way to make one).
        EdgekitError: the post-processor adds anything else to a text.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend
        added = backend.encode("", add_special_tokens=True).ids
        text = backend.encode("a", add_special_tokens=False).ids
        if len(added) > 1 or backend.encode("a", add_special_tokens=True).ids != added + text:
            raise EdgekitError(
                "the tokenizer adds more to a text than one token before it: take the rest out of the "
                "post_processor in tokenizer.json."
            )
        self.begin: int | None = added[0] if added else None

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
        """From `tokenizer.json`, or `vocab.json` and `merges.txt`, as Hugging Face's folders have them; None without.

        Special tokens, the one that begins a text among them, are those of `tokenizer.json`, or else of
        `tokenizer_config.json` and `special_tokens_map.json`.

        Raises:
            EdgekitError: a file is damaged.
        """
        vocabulary, merges, whole = (folder / name for name in ("vocab.json", "merges.txt", "tokenizer.json"))
        if not whole.is_file() and not (vocabulary.is_file() and merges.is_file()):
            return None
        package = _package()
        from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors

        try:
            if whole.is_file():
                backend = package.Tokenizer.from_file(str(whole))
            else:
                backend = package.Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
        except Exception as error:  # the package raises nothing more special
            raise EdgekitError(f"the tokenizer in {folder} is damaged ({error}): copy it again.") from error
        if whole.is_file():
            return cls(backend)
        config: dict[str, Any] = {}
        for path in (folder / "special_tokens_map.json", folder / "tokenizer_config.json"):
            if path.is_file():
                config |= read_json_object(path)
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=config.get("add_prefix_space") is True)
        backend.decoder = decoders.ByteLevel()
        special = [_added_token(config[name]) for name in _SPECIAL if config.get(name)]
        # Those that are not in the vocabulary have no weights.
        special = [token for token in special if backend.token_to_id(token["content"]) is not None]
        backend.add_special_tokens([AddedToken(**token, special=True) for token in special])
        if config.get("add_bos_token") is True:
            begin = _added_token(config.get("bos_token") or _BEGIN)["content"]
            token = backend.token_to_id(begin)
            if token is None:
                raise EdgekitError(f"the tokenizer in {folder} has no token {begin!r}, its bos_token: copy it again.")
            backend.post_processor = processors.TemplateProcessing(
                single=[begin, "$A"], special_tokens=[(begin, token)]
            )
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
        """Token ids; the token that begins a text is not added."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids."""
        return self._backend.decode(list(tokens))

    def name(self, token: int) -> str:
        """One token as text; a special one, which is no text, by its name."""
        return self.decode([token]) or self._backend.id_to_token(token) or ""

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


def _added_token(value: object) -> dict[str, Any]:
    """Content and treatment of white space of a special token, which is written as text or as an object."""
    if isinstance(value, dict):
        return {name: value[name] for name in ("content", "lstrip", "rstrip", "single_word") if name in value}
    return {"content": str(value)}


def _package() -> ModuleType:
    try:
        import tokenizers
    except ImportError as error:
        raise UsageError("text needs the package tokenizers: pip install tokenizers.") from error
    return tokenizers
