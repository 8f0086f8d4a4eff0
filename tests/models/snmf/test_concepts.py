"""Planted concepts: their sentences are apart, and their tokens are those of the words."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from edgekit.models.sea_opt.checkpoint import SHIPPED, load_checkpoint
from edgekit.models.shipped import shipped_or
from edgekit.models.snmf.concepts import LONGEST, SHORTEST, Concept, all_concepts, sentences, training_text
from edgekit.tokenizer import Tokenizer

from .small import small_tokenizer


@pytest.fixture(scope="module")
def shipped_tokenizer() -> Tokenizer:
    with shipped_or(None, *SHIPPED) as path:
        tokenizer = load_checkpoint(path).tokenizer
    assert tokenizer is not None
    return tokenizer


def test_held_out_sentences_are_other_ones():
    values = json.loads((resources.files("edgekit.models.snmf") / "concepts.json").read_text(encoding="utf-8"))
    templates = [
        one for part in values.values() for name in ("training", "held_out") for one in part[name]["templates"]
    ]
    assert len(set(templates)) == len(templates)
    assert all(template.count("{}") == 1 for template in templates)
    concepts = all_concepts()
    assert [one.name for one in concepts] == list(values)
    assert 12 <= len(concepts) <= 24
    every = [text for one in concepts for text in one.training + one.held_out]
    assert len(set(every)) == len(every)
    for one in concepts:
        assert min(len(one.training), len(one.held_out)) >= 15
        assert not set(one.training) & set(one.held_out)
        for text in one.training + one.held_out:
            assert 4 <= len(text.split()) <= LONGEST
            assert text.endswith((" .", " !", " ?")), text
            assert text == " ".join(text.split())


def test_most_sentences_have_a_word_of_the_concept():
    for one in all_concepts():
        absent = [text for text in one.training + one.held_out if one.absent_from(text)]
        assert len(absent) <= 0.6 * len(one.training + one.held_out), (one.name, absent)
    concept = Concept("x", ("King",), (), ())
    assert not concept.absent_from("The king ruled .")
    assert concept.absent_from("The kings ruled .")


def test_the_training_text_is_the_training_sentences():
    lines = training_text().splitlines()
    assert [line.strip() for line in lines] == [text for one in all_concepts() for text in one.training]
    assert not any(text in training_text() for one in all_concepts() for text in one.held_out)


def test_tokens_are_whole_words_of_the_shipped_model(shipped_tokenizer: Tokenizer):
    without = [one.name for one in all_concepts() if not one.token_ids(shipped_tokenizer)]
    assert without == ["weekdays"]
    for one in all_concepts():
        names = {shipped_tokenizer.name(token) for token in one.token_ids(shipped_tokenizer)}
        assert names <= {f" {word}" for word in one.words}
        assert not names or len(names) >= 5, one.name


def test_too_few_tokens_are_none():
    (word,) = [word for word in ("the",) if len(small_tokenizer().encode(f" {word}")) == 1]
    few = Concept("few", (word, "unheardofword"), (), ())
    assert few.token_ids(small_tokenizer()) == []


def test_sentences_of_a_text():
    text = (
        " = A heading with enough words in it . = \n"
        " The first sentence of this line is taken . The second one is not taken at all . \n"
        " Too short . \n"
        f" {'long ' * LONGEST}. \n"
        " No end to this line of six words \n"
        " Is this question taken as well ? \n"
    )
    assert sentences([text]) == ["The first sentence of this line is taken .", "Is this question taken as well ?"]
    assert sentences([]) == []
    assert SHORTEST == 6
