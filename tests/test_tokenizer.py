"""Tokenizers: trained ones, OPT's own, damaged ones; text as its tokens come."""

import json

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
    assert (again.name(0), again.name(again.encode("r")[0])) == ("</s>", "r")


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


TEXTS = ("Hello world", " the red cat", "one</s> two<pad>", "naïve Ω\n")
#: How OPT's folders are written: special tokens as objects or as text, with and without the one that begins a text.
CONFIGS = {
    "objects": {
        "add_bos_token": True,
        "bos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": False, "rstrip": False, "normalized": True},
        "eos_token": "</s>",
        "pad_token": "<pad>",
    },
    "text": {"add_bos_token": True, "bos_token": "</s>"},
    "space": {"add_bos_token": True, "bos_token": "</s>", "add_prefix_space": True},
    "no begin": {"add_bos_token": False, "bos_token": "</s>"},
    "absent": {"bos_token": "</s>"},
    "no file": None,
}


@pytest.fixture
def hf_folder(tmp_path):
    """Writes vocab.json, merges.txt and tokenizer_config.json as a folder of OPT has them."""

    def write(values):
        trained = json.loads(Tokenizer.train(["Hello world, the red cat " * 9], 300).to_json())["model"]
        words = {"</s>": 300, "<pad>": 301} | {word: id for word, id in trained["vocab"].items() if word != "</s>"}
        (tmp_path / "vocab.json").write_text(json.dumps(words))
        merges = "".join(" ".join(pair) + "\n" for pair in trained["merges"])
        (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}")
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "opt"}))
        if values is not None:
            values = {"tokenizer_class": "GPT2Tokenizer"} | values
            (tmp_path / "tokenizer_config.json").write_text(json.dumps(values))
        return tmp_path

    return write


@pytest.mark.parametrize("name", CONFIGS)
def test_ids_are_transformers_own(hf_folder, name):
    transformers = pytest.importorskip("transformers", reason="compares with transformers, which is not installed")
    folder = hf_folder(CONFIGS[name])
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert ids_of(Tokenizer.from_folder(folder)) == [theirs(text)["input_ids"] for text in TEXTS]
    # What transformers saves is one file with a post-processor; what we save comes back.
    theirs.save_pretrained(folder / "saved")
    if CONFIGS[name] is not None:
        again = Tokenizer.from_folder(folder / "saved")
        assert ids_of(again) == [theirs(text)["input_ids"] for text in TEXTS]
        assert ids_of(Tokenizer.from_json(again.to_json(), "here")) == ids_of(again)


def ids_of(tokenizer):
    assert tokenizer is not None
    begin = [] if tokenizer.begin is None else [tokenizer.begin]
    return [begin + tokenizer.encode(text) for text in TEXTS]


def test_special_tokens_beside_the_vocabulary(hf_folder):
    folder = hf_folder({"add_bos_token": True})
    with pytest.raises(EdgekitError, match=r"has no token '<\|endoftext\|>'"):
        Tokenizer.from_folder(folder)
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": "</s>"}))
    assert Tokenizer.from_folder(folder).begin == 300
    (folder / "tokenizer_config.json").write_text('{"add_bos_token": yes}')
    with pytest.raises(EdgekitError, match="line 1, column 19"):
        Tokenizer.from_folder(folder)


def test_more_than_a_token_that_begins_a_text(hf_folder):
    import tokenizers

    backend = tokenizers.Tokenizer.from_str(Tokenizer.train(["abc"], 257).to_json())
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single=["$A", "</s>"], special_tokens=[("</s>", 0)]
    )
    with pytest.raises(EdgekitError, match="adds more to a text than one token before it"):
        Tokenizer.from_json(backend.to_str(), "here")


def test_a_damaged_tokenizer(tmp_path):
    assert Tokenizer.from_folder(tmp_path) is None
    (tmp_path / "vocab.json").write_text("{")
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(EdgekitError, match=r"the tokenizer in .* is damaged"):
        Tokenizer.from_folder(tmp_path)
    with pytest.raises(EdgekitError, match="here: the tokenizer is damaged"):
        Tokenizer.from_json("{", "here")
