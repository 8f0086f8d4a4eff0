"""Byte-level BPE of the runtime, against the package `tokenizers`."""

# ruff: noqa: RUF001 (characters that look alike are split in different ways)

from __future__ import annotations

import json
import random
import time
from functools import cache
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from tokenizers import decoders, models, pre_tokenizers
from tokenizers.decoders import DecodeStream

from edgekit.models.sea_opt.checkpoint import SHIPPED
from edgekit.models.shipped import shipped_or
from edgekit_runtime import EdgekitError, UsageError
from edgekit_runtime.tokenizer import Tokenizer

TEXTS = [
    "",
    " ",
    "   ",
    " \n \t\n  x",
    "I'm sure they'll say it's what we'd've done, isn't it? 'twas 'S 'Re ''s '",
    "don't   stop    \r\n\r\n   now\u00a0\u2003\u3000!",
    "naïve café e\u0301\u0327 ｆｕｌｌ Ⅷ ½ ²³ ٣٤ ৪ 𝟘𝟙",
    "你好，世界。こんにちは 안녕하세요 สวัสดี",
    "👩\u200d👩\u200d👧\u200d👦🏳\ufe0f\u200d🌈 🇫🇷 ☃\ufe0f 👍🏽",
    "\x00\x01\x1f\x7f\x80\x85\xa0\xad\ufeff\ufffd\uffff\U0010ffff",
    "a" * 5000,
    "ab" * 3000 + "!" * 3000 + " " * 3000 + "0" * 3000,
    "</s> a</s></s>b <s></s",
    "foo(x)[1:]{'k': \"v\"} // #@$%^&*-=_+\\|`~",
]
#: Half of what hypothesis tries is made of what a tokenizer treats in its own way.
PIECES = st.sampled_from(
    [
        *(" ", "  ", "\n", "\t", "\u00a0", "\u2028", "'s", "'ll", "'", "the", " the", "ing", "1", "42", "!", "..."),
        *("é", "e\u0301", "你", "🙂", "\u200d", "\ufe0f", "ſ", "İ", "ß", "\x00", "\ufffd", "</s>", "</s", "<s>"),
    ]
)
TEXT = st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join))


@cache
def shipped_json() -> str:
    """The tokenizer of the SEA-OPT that ships."""
    with shipped_or(None, *SHIPPED) as path, safe_open(path, framework="np") as file:
        return str(json.loads(file.metadata()["edgekit"])["tokenizer"])


def both(text: str, folder: Path) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    """The runtime's tokenizer and the package's, of a tokenizer.json."""
    path = folder / "tokenizer.json"
    path.write_text(text, encoding="utf-8")
    return Tokenizer(path), tokenizers.Tokenizer.from_str(text)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return both(shipped_json(), tmp_path_factory.mktemp("shipped"))


@pytest.fixture(scope="module")
def opt(data_root, tmp_path_factory):
    folder = data_root / "opt_tokenizer"
    if not folder.is_dir():
        pytest.skip(f"no OPT tokenizer in {folder}")
    backend = tokenizers.Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<pad>", "</s>"])
    return both(backend.to_str(), tmp_path_factory.mktemp("opt"))


@pytest.fixture(params=["shipped", "opt"])
def pair(request):
    return request.getfixturevalue(request.param)


def same_tokens(pair: tuple[Tokenizer, tokenizers.Tokenizer], text: str) -> list[int]:
    ours, theirs = pair
    tokens = ours.encode(text)
    assert tokens == theirs.encode(text, add_special_tokens=False).ids
    return tokens


def same_text(pair: tuple[Tokenizer, tokenizers.Tokenizer], tokens: list[int]) -> str:
    """What both give for the tokens, at once and one by one."""
    ours, theirs = pair
    text = ours.decode(tokens)
    assert text == theirs.decode(tokens)
    ours_stream, theirs_stream = ours.stream(), DecodeStream([], True)
    pieces = [ours_stream.text_of(token) for token in tokens]
    assert pieces == [theirs_stream.step(theirs, token) or "" for token in tokens]
    assert text.startswith("".join(pieces))
    return text


def test_texts(pair):
    assert pair[0].size == pair[1].get_vocab_size()
    for text in TEXTS:
        tokens = same_tokens(pair, text)
        assert same_text(pair, tokens) == text.replace("</s>", "")


@settings(max_examples=300, deadline=None)
@given(text=TEXT)
def test_any_text(shipped, text):
    tokens = same_tokens(shipped, text)
    assert same_text(shipped, tokens) == text.replace("</s>", "")


@settings(max_examples=150, deadline=None)
@given(text=TEXT)
def test_any_text_of_opt(opt, text):
    assert same_text(opt, same_tokens(opt, text)) == text.replace("</s>", "").replace("<pad>", "")


@settings(max_examples=300, deadline=None)
@given(tokens=st.lists(st.one_of(st.integers(0, 270), st.integers(0, 9000)), max_size=30))
def test_any_tokens(shipped, tokens):
    """Most sequences of tokens are no UTF-8, and some are no tokens."""
    same_text(shipped, tokens)


@cache
def byte_pieces() -> tuple[str, ...]:
    return tuple(sorted(pre_tokenizers.ByteLevel.alphabet()))


def made(merges: list[tuple[str, str]], added: list[dict] | None = None, **changes: object) -> str:
    """A tokenizer.json of all bytes and these merges; added tokens that are none of its pieces come after them."""
    pieces = [*byte_pieces(), *dict.fromkeys(left + right for left, right in merges)]
    fields = json.loads(shipped_json())
    fields["model"] |= {"vocab": {piece: token for token, piece in enumerate(pieces)}, "merges": merges}
    fields["added_tokens"] = []
    for token in added or []:
        if token["content"] not in pieces:
            pieces.append(token["content"])
        fields["added_tokens"].append(token | {"id": pieces.index(token["content"]), "single_word": False})
    return json.dumps(fields | changes)


@pytest.mark.slow
def test_every_code_point_is_split_as_there(tmp_path):
    """Merges of a letter, a number, a space and another character with any byte show where words end."""
    pair = both(made([(left, right) for left in "a1!Ġ" for right in byte_pieces()]), tmp_path)
    # Planes 4 to 13 have no characters: of them, and of the private use at the end, some are enough.
    codes = [*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xF0000), *range(0x40000, 0x110000, 61)]
    for start in range(0, len(codes), 1 << 14):
        characters = map(chr, codes[start : start + (1 << 14)])
        same_tokens(pair, "".join(f"a{c}1{c}!{c}  {c} {c}\n" for c in characters))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_merges(tmp_path_factory, data):
    """Merges in any order, also such as no training gives."""
    pieces, merges = list("abĠ"), []
    for _ in range(data.draw(st.integers(1, 12))):
        merge = tuple(data.draw(st.sampled_from(pieces)) for _ in "12")
        if merge not in merges:
            merges.append(merge)
            pieces.append("".join(merge))
    order = data.draw(st.permutations(merges))
    text = data.draw(st.text("ab ", max_size=60))
    spelled = [" ".join(merge) for merge in order]
    folder = tmp_path_factory.mktemp("merges")
    tokens = same_tokens(both(made(order), folder), text)
    fields = json.loads(made(order))
    fields["model"]["merges"] = ["#version: 0.2", *spelled]
    assert same_tokens(both(json.dumps(fields), folder), text) == tokens


#: `tokenizers` 0.23 panics where a token of white space that takes more of it is beside another that takes some.
ADDED = st.fixed_dictionaries(
    {
        "content": st.text("ab <é", min_size=1, max_size=4),
        "lstrip": st.booleans(),
        "rstrip": st.booleans(),
        "normalized": st.booleans(),
        "special": st.booleans(),
    }
).filter(lambda token: not (token["lstrip"] and token["content"].startswith(" ")))


@settings(max_examples=200, deadline=None)
@given(
    added=st.lists(ADDED, max_size=5, unique_by=lambda token: token["content"]),
    text=st.text("ab <é\n", max_size=40),
    adds_space=st.booleans(),
)
def test_any_added_tokens(tmp_path_factory, added, text, adds_space):
    words = {"type": "ByteLevel", "add_prefix_space": adds_space, "trim_offsets": True, "use_regex": True}
    pair = both(made([("a", "b"), ("Ġ", "a")], added, pre_tokenizer=words), tmp_path_factory.mktemp("added"))
    same_text(pair, same_tokens(pair, text))


def test_long_words_take_no_longer_than_others(pair):
    """n log n: a word of a million letters, in a time that n squared would pass at once."""
    word = "".join(random.Random(0).choices("abcdefgh", k=1_000_000))
    start = time.perf_counter()
    tokens = pair[0].encode(word)
    assert time.perf_counter() - start < 10
    assert pair[0].decode(tokens) == word


def test_text_that_is_no_unicode(shipped):
    with pytest.raises(UsageError, match="the text is not UTF-8 at byte 3"):
        shipped[0].encode("abc\ud800d")
    native = shipped[0]._native
    for wrong in (b"ab\xff", b"ab\xc0\x80", b"ab\xe2\x82", b"ab\xf5\x80\x80\x80", b"ab\xed\xa0\x80"):
        with pytest.raises(UsageError, match="the text is not UTF-8 at byte 2"):
            native.encode(wrong)


def changed(**model: object) -> str:
    fields = json.loads(shipped_json())
    fields["model"] |= model
    return json.dumps(fields)


def with_fields(**changes: object) -> str:
    return json.dumps(json.loads(shipped_json()) | changes)


END = {"id": 0, "content": "</s>"} | dict.fromkeys(("lstrip", "rstrip", "normalized"), False)
DAMAGED = {
    "nothing": ("", "no JSON object"),
    "cut short": ("{", "no JSON object"),
    "deep": ("[" * 100_000, "no JSON object"),
    "no vocabulary": (lambda: changed(vocab=None), "no vocabulary"),
    "a gap": (lambda: changed(vocab={"a": 0, "b": 2}), "0 to 1, each once"),
    "twice": (lambda: changed(vocab={"a": 0, "b": 0}), "0 to 1, each once"),
    "vocabulary of lists": (lambda: changed(vocab={"a": [0]}), "a token is not a number from 0"),
    "vocabulary a list": (lambda: changed(vocab=["a"]), "its vocabulary is a list"),
    "merges an object": (lambda: changed(merges={"a": "b"}), "its merges are no list"),
    "merge of lists": (lambda: changed(merges=[[["a", "b"]]]), "a merge is not two pieces"),
    "no number": (lambda: changed(vocab={"a": "0"}), "a token is not a number from 0"),
    "negative": (lambda: changed(vocab={"a": -1}), "a token is not a number from 0"),
    "bytes": (lambda: changed(vocab={"a": 0}), "no token for the byte 0"),
    "no merges": (lambda: changed(merges=None), "no merges"),
    "three": (lambda: changed(merges=[["a", "b", "c"]]), "a merge is not two pieces"),
    "three words": (lambda: changed(merges=["a b c"]), "the merge 'a b c' is not two pieces"),
    "mixed": (lambda: changed(merges=["t h", ["h", "e"]]), "not all alike"),
    "unknown piece": (lambda: changed(merges=[["a", "ZZZZ"]]), "the piece 'ZZZZ', which is no token"),
    "merge twice": (lambda: changed(merges=[["h", "e"], ["h", "e"]]), "a merge twice"),
    "another id": (
        lambda: with_fields(added_tokens=[END | {"id": 1, "single_word": False, "special": True}]),
        "'</s>' has another id than 0",
    ),
    "no flag": (lambda: with_fields(added_tokens=[END | {"single_word": False}]), "'special' is not true or false"),
    "no text": (lambda: with_fields(added_tokens=[END | {"content": ""}]), "does not have 1 to 1024 bytes"),
}
REFUSED = {
    "normalizer": (lambda: with_fields(normalizer={"type": "NFC"}), "a normalizer"),
    "truncation": (lambda: with_fields(truncation={"max_length": 3}), "a truncation"),
    "padding": (lambda: with_fields(padding={"pad_id": 3}), "a padding"),
    "words": (lambda: with_fields(pre_tokenizer={"type": "Whitespace"}), "a pre_tokenizer other than ByteLevel"),
    "no words": (lambda: with_fields(pre_tokenizer=None), "a pre_tokenizer other than ByteLevel"),
    "no regex": (
        lambda: with_fields(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}),
        "use_regex false",
    ),
    "decoder": (lambda: with_fields(decoder={"type": "WordPiece"}), "a decoder other than ByteLevel"),
    "model": (lambda: changed(type="Unigram"), "a model other than BPE"),
    "dropout": (lambda: changed(dropout=0.1), "a dropout"),
    "prefix": (lambda: changed(continuing_subword_prefix="##"), "a continuing_subword_prefix"),
    "suffix": (lambda: changed(end_of_word_suffix="</w>"), "a end_of_word_suffix"),
    "merges": (lambda: changed(ignore_merges=True), "ignore_merges"),
    "unknown": (lambda: changed(temperature=1), "a field 'model.temperature'"),
    "unknown above": (lambda: with_fields(more=1), "a field 'more'"),
    "version": (lambda: with_fields(version="2.0"), "another version than 1.0"),
    "single word": (
        lambda: with_fields(added_tokens=[END | {"single_word": True, "special": True}]),
        "'</s>' with single_word",
    ),
}


@pytest.mark.parametrize("name", [*DAMAGED, *REFUSED])
def test_files_that_do_not_do(name, tmp_path):
    text, says = (DAMAGED | REFUSED)[name]
    path = tmp_path / "tokenizer.json"
    path.write_text(text if isinstance(text, str) else text())
    end = "is damaged .*: copy or export the bundle again" if name in DAMAGED else "which this library does not do"
    with pytest.raises(EdgekitError, match=end) as failed:
        Tokenizer(path)
    assert says in str(failed.value)
    assert str(path) in str(failed.value)


def test_no_file(tmp_path):
    with pytest.raises(EdgekitError, match=r"tokenizer.json is missing: export the bundle again"):
        Tokenizer(tmp_path / "tokenizer.json")


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, 1 << 20), byte=st.integers(0, 255))
def test_a_changed_byte_is_no_crash(tmp_path_factory, place, byte):
    """What is still valid loads and gives the text back; all else is refused."""
    data = bytearray(shipped_json().encode())
    data[place % len(data)] = byte
    path = tmp_path_factory.mktemp("byte") / "tokenizer.json"
    path.write_bytes(data)
    try:
        tokenizer = Tokenizer(path)
    except EdgekitError:
        return
    assert tokenizer.size >= 256
    tokenizer.decode(tokenizer.encode("the red cat sees the old house"))
