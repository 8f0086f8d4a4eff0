"""Tokenizers: trained ones, OPT's own, damaged ones; text as its tokens come."""

import pytest

from edgekit.errors import EdgekitError
from edgekit.tokenizer import Tokenizer


def test_a_trained_tokenizer_gives_the_text_back():
    text = "the red cat sees the old tree. " * 20
    tokenizer = Tokenizer.train([text], 300)
    again = Tokenizer.from_json(tokenizer.to_json(), "here")
    assert tokenizer.to_json() == Tokenizer.train([text], 300).to_json()
    assert 256 < tokenizer.size == again.size <= 300
    for sample in (text, "the red cat", "naïve Ω </s> \t\n"):
        tokens = again.encode(sample)
        assert tokens == tokenizer.encode(sample)
        assert again.decode(tokens) == sample or "</s>" in sample
    assert len(again.encode(text)) < len(text) / 2
    assert again.end == 0


def test_text_as_its_tokens_come():
    tokenizer = Tokenizer.train(["abc"], 257)  # the bytes and nothing else
    text = "Ω, 你好: naïve"
    stream = tokenizer.stream()
    pieces = [stream.text_of(token) for token in tokenizer.encode(text)]
    assert "".join(pieces) == text
    assert len(pieces) == len(text.encode())
    assert pieces[:3] == ["", "Ω", ","]


def test_opts_own_tokenizer(data_root):
    folder = data_root / "opt_tokenizer"
    if not folder.is_dir():
        pytest.skip(f"no OPT tokenizer in {folder}")
    tokenizer = Tokenizer.from_folder(folder)
    assert tokenizer is not None
    assert tokenizer.size == 50265
    # As in the model card of facebook/opt-125m, less the token that begins a text there.
    assert tokenizer.encode("Hello, I'm am conscious")[:3] == [31414, 6, 38]
    assert tokenizer.decode(tokenizer.encode("Ω is a letter.")) == "Ω is a letter."


def test_a_damaged_tokenizer(tmp_path):
    assert Tokenizer.from_folder(tmp_path) is None
    (tmp_path / "vocab.json").write_text("{")
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(EdgekitError, match=r"the tokenizer in .* is damaged"):
        Tokenizer.from_folder(tmp_path)
    with pytest.raises(EdgekitError, match="here: the tokenizer is damaged"):
        Tokenizer.from_json("{", "here")
