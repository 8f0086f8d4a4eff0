"""Text to train on and to measure: a file, or a folder of .txt files, of which those named test are the test part."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from edgekit.errors import UsageError
from edgekit.files import read_text
from edgekit.tokenizer import Tokenizer

#: Files whose name has this word are never trained on when a folder is given.
_TEST = re.compile(r"(?:^|[._-])test(?:[._-]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Corpus:
    """Texts as they are in their files, sorted by path.

    Attributes:
        name: of the file or folder.
        train, test: texts by part; of a single file, and of a folder without a test part, both are all of it.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


def load_corpus(path: Path) -> Corpus:
    """The texts of a file, or of all .txt files below a folder.

    Raises:
        UsageError: there is no such file or folder, or no text in it.
        EdgekitError: a file is not UTF-8.
    """
    name = path.resolve().name
    if path.is_file():
        texts = _read([path], path)
        return Corpus(name, texts, texts)
    if not path.is_dir():
        raise UsageError(f"there is no file or folder {path}: give a .txt file, or a folder of them.")
    files = sorted(file for file in path.rglob("*.txt") if file.is_file())
    test = [file for file in files if _TEST.search(file.stem)]
    train = [file for file in files if file not in set(test)]
    if not files:
        raise UsageError(f"{path} holds no .txt files: give a folder of texts, or one file.")
    if not test:
        texts = _read(train, path)
        return Corpus(name, texts, texts)
    return Corpus(name, _read(train, path) if train else (), _read(test, path))


class Encoder(Protocol):
    """A tokenizer, of training or of a bundle."""

    begin: int | None

    def encode(self, text: str) -> list[int]: ...


def documents(tokenizer: Tokenizer, texts: Iterable[str]) -> list[Tensor]:
    """The tokens of each text, int64, to train on: the end of a document follows where the tokenizer has one."""
    end = [] if tokenizer.end is None else [tokenizer.end]
    return [torch.tensor(tokenizer.encode(text) + end, dtype=torch.int64) for text in texts]


def token_stream(tokenizer: Encoder, texts: Iterable[str]) -> Tensor:
    """The tokens of texts one after the other, int64, to measure on; first the one that begins a text, if there is."""
    tokens = [] if tokenizer.begin is None else [tokenizer.begin]
    for text in texts:
        tokens += tokenizer.encode(text)
    return torch.tensor(tokens, dtype=torch.int64)


def hold_out(texts: Iterable[Tensor], share: float) -> tuple[Tensor, Tensor]:
    """One stream of tokens to train on, and one of what is held out: the last share of every text."""
    cuts = [(tokens, len(tokens) - int(share * len(tokens))) for tokens in texts]
    return torch.cat([tokens[:cut] for tokens, cut in cuts]), torch.cat([tokens[cut:] for tokens, cut in cuts])


def _read(files: Iterable[Path], where: Path) -> tuple[str, ...]:
    texts = tuple(read_text(file, "convert it, or leave it out") for file in files)
    if not any(text.strip() for text in texts):
        raise UsageError(f"{where} holds no text: give .txt files with some words in them.")
    return texts
