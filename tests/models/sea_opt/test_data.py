"""Texts: parts by name, what is held out, tokens that give the text back."""

import pytest
import torch

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.sea_opt.data import documents, hold_out, load_corpus, token_stream
from edgekit.models.sea_opt.perplexity import count_words, windows
from edgekit.tokenizer import Tokenizer


def test_parts_of_a_folder(tmp_path):
    for name in ("b/test.txt", "a.txt", "wiki.test.txt", "b/contest.txt", "valid.txt", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    corpus = load_corpus(tmp_path)
    assert corpus.train == ("a.txt", "b/contest.txt", "valid.txt")
    assert corpus.test == ("b/test.txt", "wiki.test.txt")
    single = load_corpus(tmp_path / "b" / "test.txt")
    assert (single.name, single.train) == ("test.txt", single.test)
    for name in ("b/test.txt", "wiki.test.txt"):
        (tmp_path / name).unlink()
    (tmp_path / "a.txt").write_text("a.txt", encoding="utf-8-sig")  # Windows' editors put a mark first
    whole = load_corpus(tmp_path)
    assert whole.train == ("a.txt", "b/contest.txt", "valid.txt")
    assert whole.train is whole.test


def test_text_that_does_not_fit(tmp_path):
    for path, kind, says in (
        (tmp_path / "none", UsageError, "no file or folder"),
        (tmp_path, UsageError, "no .txt files"),
    ):
        with pytest.raises(kind, match=says):
            load_corpus(path)
    (tmp_path / "a.txt").write_text(" \n")
    with pytest.raises(UsageError, match=r"holds no text: give \.txt files"):
        load_corpus(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"abc\xff")
    with pytest.raises(EdgekitError, match=r"a.txt is not UTF-8 text \(byte 3\)"):
        load_corpus(tmp_path)


def test_held_out_is_the_end_of_every_text():
    train, held_out = hold_out([torch.arange(100), torch.arange(200, 250)], 0.1)
    assert torch.equal(held_out, torch.cat([torch.arange(90, 100), torch.arange(245, 250)]))
    assert torch.equal(train, torch.cat([torch.arange(90), torch.arange(200, 245)]))


def test_windows_predict_every_token_but_the_first_once():
    for count in (2, 11, 12, 21, 22):
        pairs = windows(torch.arange(count), 10)
        assert torch.equal(torch.cat([targets for _, targets in pairs]), torch.arange(1, count))
        for inputs, targets in pairs:
            assert torch.equal(inputs + 1, targets)
            assert inputs[0] % 10 == 0
    assert count_words(" one  two\nthree ") == 3


def test_documents_end(words):
    texts = [(words / "one.txt").read_text(), "a"]
    tokenizer = Tokenizer.train(texts, 300)
    assert [tokens[-1].item() for tokens in documents(tokenizer, texts)] == [tokenizer.end] * 2 == [0, 0]
    assert token_stream(tokenizer, texts).tolist() == [token for text in texts for token in tokenizer.encode(text)]
