"""Text from a bundle, against the eager model that it was made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.errors import UsageError
from edgekit.models.sea_opt.checkpoint import load_checkpoint
from edgekit.models.sea_opt.opt import OPT
from edgekit.pipelines.attention_maps import attention_map
from edgekit_runtime import Session
from edgekit_runtime.generate import Generation, TextGenerator

PROMPT = "the red cat sees the old house, the tall dog likes"


@pytest.fixture(scope="module")
def generator(text_bundle):
    return TextGenerator(Session(text_bundle))


@pytest.fixture(scope="module")
def eager(text_checkpoints) -> OPT:
    return load_checkpoint(text_checkpoints / "sea.safetensors").module


def greedy(eager: OPT, generator: TextGenerator, count: int) -> list[int]:
    """The likeliest tokens that there is a text for, each from the whole sequence before it."""
    tokens, words = generator.encode(PROMPT), generator.tokenizer.size
    assert words < generator.settings.vocabulary
    for _ in range(count):
        tokens.append(int(eager(torch.tensor([tokens]))[0, -1, :words].argmax()))
    return tokens[-count:]


def test_greedy_text_is_the_eager_models(generator, eager):
    tokens = generator.encode(PROMPT)
    assert len(tokens) % generator.settings.chunk  # the last chunk is ragged
    went = Generation()
    text = "".join(generator.generate(PROMPT, 20, went=went))
    assert went.tokens == greedy(eager, generator, 20)
    assert (went.prompt_tokens, went.generated_tokens, went.reason) == (len(tokens), 20, "length")
    assert text == went.text
    assert generator.tokenizer.decode(went.tokens).startswith(text)


def test_logits_of_every_token(generator, eager):
    tokens = torch.randint(0, 300, (90,), generator=torch.Generator().manual_seed(3))
    whole = eager(tokens[None])[0].numpy()
    np.testing.assert_allclose(generator.logits(tokens.tolist(), 0, every=True), whole, atol=1e-4)
    generator.logits(tokens[:50].tolist(), 0)
    np.testing.assert_allclose(generator.logits(tokens[50:].tolist(), 50), whole[-1], atol=1e-4)


def test_a_text_left_early_does_no_harm(generator, eager):
    expected = greedy(eager, generator, 6)
    pieces = generator.generate(PROMPT, 50, temperature=2.0)
    next(pieces)
    went = Generation()
    list(generator.generate(PROMPT, 6, went=went))
    assert went.tokens == expected


def test_it_ends_where_the_context_does(generator):
    went = Generation()
    list(generator.generate(PROMPT, 1000, went=went))
    assert went.reason in ("context", "end")
    assert went.reason == "end" or went.prompt_tokens + went.generated_tokens == generator.settings.context + 1


def test_a_seed_repeats_a_text(generator):
    texts = ["".join(generator.generate(PROMPT, 15, 1.5, seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("",), "the prompt is empty"),
        (("cat " * 200,), "the bundle takes 95 and one to generate"),
        (("cat", 0), "0 tokens to generate"),
        (("cat", 5, -1.0), "the temperature is -1"),
        (("cat", 5, float("nan")), "the temperature is nan"),
    ],
)
def test_prompts_and_settings_that_make_no_sense(generator, arguments, says):
    with pytest.raises(UsageError, match=says):
        generator.generate(*arguments)


def test_tokens_that_there_are_not(generator):
    with pytest.raises(UsageError, match="token 300 is not in the vocabulary, 0 to 299"):
        generator.logits([300], 0)
    with pytest.raises(UsageError, match="0 tokens after 5"):
        generator.logits([], 5)
    with pytest.raises(UsageError, match="3 tokens after 94: give 1 to 2"):
        generator.logits([1, 2, 3], 94)


def test_maps_are_what_attention_does(generator, eager):
    tokens = generator.encode(PROMPT) * 2
    found = attention_map(generator, tokens, 1, 2)
    hidden = eager.decoder.embed(torch.tensor([tokens]))
    hidden, _ = eager.decoder.layers[0](hidden)
    _, attended = eager.decoder.layers[1](hidden)
    attention = eager.decoder.layers[1].self_attn
    normed = eager.decoder.layers[1].self_attn_layer_norm(hidden)
    v = attention.v_proj(normed).unflatten(-1, (4, 16))[0, :, 2]
    estimate = attention.estimator(
        attended.q, attended.k, attention.v_proj(normed).unflatten(-1, (4, 16)).transpose(1, 2)
    )
    g0, g1 = (gate[0, 2] for gate in estimate.gates.split(1, -1))
    # The sparse map times v, mixed as the paper has it, is what the layer gives.
    context = g1 * g0 * (torch.from_numpy(found.sparse) @ v) + (1 - g1) * estimate.v_mean[0, 2]
    torch.testing.assert_close(context, attended.context[0, 2], atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(found.estimated.sum(1), 1, atol=1e-5)
    assert not np.triu(found.estimated, 1).any()
    assert not found.sparse[~found.chosen].any()
