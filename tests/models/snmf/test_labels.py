"""Labels: the tokens at which a feature is strong, the text around them, and the logit lens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.models.snmf.labels import AROUND, CONTEXTS, LENS, label_features, lens

from .small import LAYERS, SHAPES, atoms, small_opt, small_tokenizer

TEXT = (
    " They met every Monday evening in the town hall . \n On Friday the council voted again , and on Monday too . \n"
    " The shop is closed on Sunday ."
)


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return torch.tensor(small_tokenizer().encode(TEXT))


def places(tokens: torch.Tensor, word: str) -> list[int]:
    """Where a word of one token is."""
    (token,) = small_tokenizer().encode(word)
    return (tokens == token).nonzero()[:, 0].tolist()


def test_tokens_are_those_with_most_of_the_feature(tokens: torch.Tensor):
    coefficients = torch.zeros(3, len(tokens))
    the, dot = places(tokens, " the"), places(tokens, " .")
    assert len(the) == 2
    assert len(dot) == 3
    coefficients[0, dot] = torch.tensor([1.0, 3.0, 2.0])
    coefficients[0, the] = 2.5
    coefficients[0, 0] = 4.0  # the strongest place, but of a token that is there once
    coefficients[1, the[0]] = 1e-3
    starts = torch.tensor([0, len(tokens) // 2])
    found = label_features(small_opt(), small_tokenizer(), 1, atoms(3), coefficients, tokens, starts)
    names = [small_tokenizer().name(int(tokens[place])) for place in (dot[0], the[0], 0)]
    assert found[0].tokens == tuple(names)
    assert found[0].label == f"., the, {names[2].strip()}"
    assert [(one.tokens, one.label) for one in found[1:]] == [((" the",), "the"), ((), "(never used)")]
    assert found[0].mean == pytest.approx((1 + 3 + 2 + 5 + 4) / len(tokens))
    assert found[2].mean == found[2].maximum == 0
    assert found[2].contexts == ()
    # The strongest place of each token, as the text has it.
    before = small_tokenizer().decode(tokens[max(int(starts[1]), dot[1] - AROUND) : dot[1]].tolist())
    assert found[0].contexts[0].startswith(" ".join((before + " «.»").split()))


def test_contexts_stay_in_their_window():
    text = small_tokenizer().encode(" one two three four five six seven eight nine ten" * 6)
    tokens = torch.tensor(text)
    coefficients = torch.zeros(1, len(tokens))
    coefficients[0, 40] = 1.0
    for starts, first, last in (([0], 40 - AROUND, 41 + AROUND), ([0, 38, 45], 38, 45)):
        (feature,) = label_features(
            small_opt(), small_tokenizer(), 1, atoms(1), coefficients, tokens, torch.tensor(starts)
        )
        (context,) = feature.contexts
        expected = small_tokenizer().decode(tokens[first:last].tolist())
        assert context.replace("«", "").replace("»", "").split() == expected.split()
        assert context.count("«") == context.count("»") == 1


def test_maximum_is_a_quantile(tokens: torch.Tensor):
    many = torch.arange(4000) % 50
    coefficients = torch.rand(1, 4000, generator=torch.Generator().manual_seed(0))
    (feature,) = label_features(
        small_opt(), small_tokenizer(), 1, atoms(1), coefficients, many + 300, torch.tensor([0])
    )
    assert feature.maximum == pytest.approx(np.quantile(coefficients.numpy(), 0.999), abs=1e-3)
    assert len(feature.contexts) == CONTEXTS
    assert len(set(feature.tokens)) == len(feature.tokens) > 1


@pytest.mark.parametrize("shape", SHAPES)
def test_the_lens_in_float64(shape: str):
    opt, directions = small_opt(shape), atoms(4)
    decoder = opt.decoder
    weight = {name: value.double().numpy() for name, value in decoder.state_dict().items()}
    for layer in (1, LAYERS):
        seen = directions.T.double().numpy() @ weight[f"layers.{layer - 1}.fc2.weight"].T
        name = f"layers.{LAYERS - 1}.final_layer_norm" if shape == "post" else "final_layer_norm"
        normal = (seen - seen.mean(1, keepdims=True)) / np.sqrt(seen.var(1, keepdims=True) + 1e-5)
        seen = normal * weight[f"{name}.weight"]
        if shape == "post":
            seen = seen @ weight["project_out.weight"].T
        expected = seen @ weight["embed_tokens.weight"].T
        np.testing.assert_allclose(lens(opt, layer, directions).numpy(), expected, atol=1e-4)


def test_promoted_are_real_words(tokens: torch.Tensor):
    """No row that pads the head, no special token, no piece of a character: they get the largest logits here."""
    tokenizer, opt = small_tokenizer(), small_opt(more=3)
    pieces = [token for token in range(tokenizer.size) if "\ufffd" in tokenizer.decode([token])]
    assert pieces
    first = lens(opt, 2, atoms(1))[0]
    last = opt.decoder.layers[1].fc2.weight @ atoms(1)[:, 0]
    seen = opt.decoder.final_layer_norm(last) - opt.decoder.final_layer_norm.bias
    for row in (tokenizer.size, tokenizer.size + 2, tokenizer.end, pieces[0]):
        opt.decoder.embed_tokens.weight[row] = 100 * seen
    (feature,) = label_features(opt, tokenizer, 2, atoms(1), torch.zeros(1, len(tokens)), tokens, torch.tensor([0]))
    assert len(feature.promoted) == len(feature.suppressed) == LENS
    real = [
        token for token in range(tokenizer.size) if "\ufffd" not in (text := tokenizer.decode([token])) and text.strip()
    ]
    order = sorted(real, key=lambda token: -first[token].item())
    assert feature.promoted == tuple(tokenizer.name(token) for token in order[:LENS])
    assert feature.suppressed == tuple(tokenizer.name(token) for token in order[::-1][:LENS])
