"""Text of the runtime's generator, against the program run by hand with `tokenizers`, and against the eager model."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import tokenizers
import torch

from edgekit.models.sea_opt.checkpoint import load_checkpoint
from edgekit_runtime import EdgekitError, Session, UsageError
from edgekit_runtime.generate import Generation, TextGenerator

PROMPT = "the red cat sees the old house, the tall dog likes"


class Pcg32:
    """PCG-XSH-RR of 64 bits of state, from the paper; doubles of 53 bits from two outputs."""

    def __init__(self, seed: int) -> None:
        self.state = 0
        self.bits()
        self.state = (self.state + seed) % 2**64
        self.bits()

    def bits(self) -> int:
        state = self.state
        self.state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        word, turn = ((state >> 18 ^ state) >> 27) % 2**32, state >> 59
        return (word >> turn | word << (32 - turn)) % 2**32

    def random(self) -> float:
        high, low = self.bits(), self.bits()
        return ((high << 32 | low) >> 11) / 2**53


def by_hand(
    session: Session, prompt: str, count: int, temperature: float = 0, seed: int = 0
) -> tuple[list[int], list[int], str]:
    """Tokens of the prompt, tokens that follow, their text: one token at a time through the program."""
    tokenizer = tokenizers.Tokenizer.from_file(str(session.path / "tokenizer.json"))
    draws, given, found = Pcg32(seed), tokenizer.encode(prompt, add_special_tokens=False).ids, []

    def logits(token: int, position: int) -> np.ndarray:
        inputs = np.array([token]), np.array(position), np.array([0])
        return session.run(*inputs, method="extend")[0][0, : tokenizer.get_vocab_size()].astype(np.float64)

    for position, token in enumerate(given):
        row = logits(token, position)
    while len(found) < count:
        if temperature == 0:
            token = int(row.argmax())
        else:
            weights = np.exp((row - row.max()) / temperature)
            token = int(np.searchsorted(weights.cumsum(), draws.random() * weights.sum(), side="right"))
        if token == session.manifest["pipeline"]["end"]:
            break
        found.append(token)
        row = logits(token, len(given) + len(found) - 1)
    return given, found, tokenizer.decode(found)


@pytest.fixture(scope="module")
def session(text_bundle):
    return Session(text_bundle)


@pytest.fixture
def generator(session) -> Iterator[TextGenerator]:
    generator = TextGenerator(session)
    yield generator
    generator.cancel()


def greedy(generator: TextGenerator, count: int) -> list[int]:
    went = Generation()
    list(generator.generate(PROMPT, count, went=went))
    return went.tokens


@pytest.fixture(scope="module")
def expected(session) -> list[int]:
    """The likeliest tokens after PROMPT."""
    return by_hand(session, PROMPT, 20)[1]


def test_the_likeliest_text(generator, session):
    prompt = f"{PROMPT} {PROMPT}, {PROMPT}"
    given, found, text = by_hand(session, prompt, 40)
    assert generator.encode(prompt) == given
    assert len(given) % generator.settings.chunk  # the last chunk is ragged
    assert len(given) > generator.settings.chunk
    went = Generation()
    pieces = list(generator.generate(prompt, 40, went=went))
    assert went.tokens == found
    assert "".join(pieces) == went.text
    assert text.startswith(went.text)
    assert len(pieces) == went.generated_tokens == 40
    assert (went.prompt_tokens, went.reason) == (len(given), "length")
    assert went.prompt_seconds > 0 < went.generated_seconds


def test_the_eager_models_text(generator, text_checkpoints):
    eager = load_checkpoint(text_checkpoints / "sea.safetensors").module
    tokens = generator.encode(PROMPT)
    for _ in range(12):
        row = eager(torch.tensor([tokens]))[0, -1, : generator.tokenizer.size]
        tokens.append(int(row.argmax()))
    assert greedy(generator, 12) == tokens[-12:]


def test_logits_of_every_token(generator, text_checkpoints):
    eager = load_checkpoint(text_checkpoints / "sea.safetensors").module
    tokens = torch.randint(0, 300, (90,), generator=torch.Generator().manual_seed(3))
    whole = eager(tokens[None])[0].numpy()
    np.testing.assert_allclose(generator.logits(tokens.tolist(), 0, every=True), whole, atol=1e-4)
    generator.logits(tokens[:50].tolist(), 0)
    np.testing.assert_allclose(generator.logits(tokens[50:].tolist(), 50), whole[-1], atol=1e-4)


@pytest.mark.parametrize(("temperature", "seed"), [(1.0, 0), (0.5, 7), (3.0, 2**64 - 1), (1e-300, 1)])
def test_drawn_texts(generator, session, temperature, seed):
    went = Generation()
    list(generator.generate(PROMPT, 40, temperature, seed, went))
    assert went.tokens == by_hand(session, PROMPT, 40, temperature, seed)[1]


def test_draws_are_softmax(generator):
    """First tokens of many seeds, beside the weights that they were drawn by."""
    size, counts = generator.tokenizer.size, 600
    row = generator.logits(generator.encode("the"), 0)[:size].astype(np.float64)
    weights = np.exp((row - row.max()) / 2)
    found = np.zeros(size)
    for seed in range(counts):
        went = Generation()
        list(generator.generate("the", 1, 2.0, seed, went))
        for token in went.tokens or [generator.settings.end]:
            found[token] += 1
    wanted = weights / weights.sum()
    top = wanted.argsort()[-5:]
    np.testing.assert_allclose(found[top] / counts, wanted[top], atol=4 * np.sqrt(0.25 / counts))


def test_it_ends_where_the_context_does(generator):
    went = Generation()
    list(generator.generate(PROMPT, 1000, went=went))
    assert went.reason in ("context", "end")
    assert went.reason == "end" or went.prompt_tokens + went.generated_tokens == generator.settings.context + 1


def test_it_ends_where_the_text_does(text_bundle, expected, resealed):
    new = [place for place, token in enumerate(expected) if token not in expected[:place]]
    assert len(new) > 1
    end = expected[new[-1]]
    bundle = resealed(text_bundle, lambda folder, fields: fields["pipeline"].update(end=end))
    generator, went = TextGenerator(Session(bundle)), Generation()
    list(generator.generate(PROMPT, 60, went=went))
    assert (went.tokens, went.reason) == (expected[: new[-1]], "end")
    generator.start(PROMPT, 60)
    assert generator.wait().reason == "end"


def test_a_text_left_early_does_no_harm(generator, expected):
    pieces = generator.generate(PROMPT, 50, temperature=2.0)
    next(pieces)
    assert greedy(generator, 20) == expected
    with pytest.raises(UsageError, match="another text was begun since"):
        next(pieces)
    pieces = generator.generate(PROMPT, 50)
    next(pieces)
    generator.logits([1, 2, 3], 0)
    with pytest.raises(UsageError, match="another text was begun since"):
        next(pieces)


def test_a_started_text(generator, expected):
    with pytest.raises(UsageError, match="no text was started"):
        generator.wait()
    pieces: list[str] = []
    generator.start(PROMPT, 20, take=pieces.append)
    went = generator.wait()
    assert not generator.is_running
    assert (went.tokens, went.text, went.reason) == (expected, "".join(pieces), "length")
    assert went.prompt_seconds > 0 < went.generated_seconds
    generator.start(PROMPT, 5)
    assert generator.wait().tokens == expected[:5]
    with pytest.raises(UsageError, match="no text was started"):
        generator.wait()


def test_a_started_text_has_the_generator(generator, expected):
    first, go_on = threading.Event(), threading.Event()

    def take(piece: str) -> None:
        first.set()
        assert go_on.wait(20)

    generator.start(PROMPT, 20, take=take)
    assert first.wait(20)
    assert generator.is_running
    for call in (
        lambda: generator.start(PROMPT),
        lambda: generator.logits([1], 0),
        lambda: list(generator.generate(PROMPT)),
    ):
        with pytest.raises(UsageError, match="a text is being generated: wait for its end, or cancel it"):
            call()
    assert generator.encode("the") == generator.tokenizer.encode("the")
    go_on.set()
    assert generator.wait().tokens == expected


@pytest.mark.parametrize("how", ["cancel", "false", "raise"])
def test_a_cancelled_text(generator, expected, how):
    count = 0

    def take(piece: str) -> bool:
        nonlocal count
        count += 1
        if count == 3 and how == "cancel":
            generator.cancel()
        if count == 3 and how == "raise":
            raise RuntimeError("enough")
        return count < 3 or how == "cancel"

    generator.start(PROMPT, 30, take=take)
    if how == "raise":
        with pytest.raises(RuntimeError, match="enough"):
            generator.wait()
    else:
        went = generator.wait()
        assert (went.tokens, went.reason) == (expected[:3], "cancelled")
    assert count == 3
    assert greedy(generator, 20) == expected


def test_cancel_ends_an_iterator_too(generator, expected):
    went = Generation()
    pieces = generator.generate(PROMPT, 30, went=went)
    next(pieces)
    generator.cancel()
    assert list(pieces) == []
    assert (went.tokens, went.reason) == (expected[:1], "cancelled")
    generator.cancel()  # nothing goes on: the next text is not touched
    assert greedy(generator, 20) == expected


def test_a_generator_that_is_dropped_ends_its_text(session, expected):
    for seed in range(5):
        generator = TextGenerator(session)
        seen = threading.Event()
        generator.start("the", 90, 1.0, seed, lambda piece, seen=seen: seen.set())
        assert seen.wait(20)
        del generator
        gc.collect()
    assert greedy(TextGenerator(session), 20) == expected


@pytest.mark.parametrize("started", [False, True])
def test_ctrl_c(generator, expected, started):
    """The interrupt comes while a text goes on; the session is usable afterwards."""

    def endless() -> None:
        for seed in range(10_000):
            if started:
                generator.start(PROMPT, 40, 1.0, seed)
                generator.wait()
            else:
                list(generator.generate(PROMPT, 40, 1.0, seed))

    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        endless()
    assert time.monotonic() - begun < 20
    assert not generator.is_running
    assert greedy(generator, 20) == expected


def test_the_interpreter_is_free_while_the_program_runs(generator, session):
    """Another thread counts on while tokens are generated; on a busy machine it may miss some of the times."""
    counted, stop = [0], threading.Event()

    def count() -> None:
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    moved = 0
    for _ in range(50):
        generator.start(PROMPT, 40)
        before = counted[0]
        assert generator.wait().generated_tokens == 40
        moved = max(moved, counted[0] - before)
    stop.set()
    thread.join()
    assert moved > 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("",), "the prompt is empty"),
        (("cat " * 200,), "the bundle takes 95 and one to generate"),
        (("cat\ud800",), "the text is not UTF-8 at byte 3"),
        (("cat", 0), "0 tokens to generate"),
        (("cat", 5, -1.0), "the temperature is -1"),
        (("cat", 5, float("nan")), "the temperature is nan"),
        (("cat", 5, float("inf")), "the temperature is inf"),
        (("cat", 5, 1.0, -1), "the seed is -1"),
        (("cat", 5, 1.0, 1 << 64), "the seed is 18446744073709551616"),
    ],
)
def test_prompts_and_settings_that_make_no_sense(generator, arguments, says):
    for call in (generator.generate, generator.start):
        with pytest.raises(UsageError, match=says):
            call(*arguments)
    assert not generator.is_running


def test_a_kernel_that_would_end_the_process(session):
    """A token beyond the word embeddings, past the generator's checks: ExecuTorch's kernel aborts there."""

    def run(token: int) -> np.ndarray:
        return session.run(np.array([token]), np.array(0), np.array([0]), method="extend")[0]

    before = run(5)
    for _ in range(2):
        with pytest.raises(EdgekitError, match=r"method 'extend' of .* failed: .*10000"):
            run(10_000)
        np.testing.assert_array_equal(run(5), before)


def test_tokens_that_there_are_not(generator):
    for token in (-1, 300):
        with pytest.raises(UsageError, match=f"token {token} is not in the vocabulary, 0 to 299"):
            generator.logits([token], 0)
    with pytest.raises(UsageError, match="0 tokens after 5"):
        generator.logits([], 5)
    with pytest.raises(UsageError, match="3 tokens after 94: give 1 to 2"):
        generator.logits([1, 2, 3], 94)
    with pytest.raises(UsageError, match="1 tokens after 96: give 1 to 0"):
        generator.logits([1], 96)
    with pytest.raises(UsageError, match="1 tokens after -1"):
        generator.logits([1], -1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"context": 0}, "no valid field 'context'"),
        ({"context": 1 << 40}, "no valid field 'context'"),
        ({"chunk": "16"}, "no valid field 'chunk'"),
        ({"chunk": 32}, "no method 'extend' that fits"),
        ({"vocabulary": 301}, "no method 'extend' that fits"),
        ({"vocabulary": None}, "no valid field 'vocabulary'"),
        ({"end": -1}, "no valid field 'end'"),
        ({"k_budget": True}, "no valid field 'k_budget'"),
        ({"name": "segment"}, "has the task segment, not generate_text"),
    ],
)
def test_settings_of_a_manifest(text_bundle, resealed, change, says):
    bundle = resealed(text_bundle, lambda folder, fields: fields["pipeline"].update(change))
    session = Session(bundle)
    with pytest.raises(EdgekitError, match=says):
        TextGenerator(session)


def test_settings(generator, session):
    assert {"name": "generate_text", **generator.settings.to_dict()} == session.manifest["pipeline"]


def test_a_bundle_without_its_tokenizer(text_bundle, resealed):
    bundle = resealed(text_bundle, lambda folder, fields: (folder / "tokenizer.json").unlink())
    with pytest.raises(EdgekitError, match=r"tokenizer.json is missing: export the bundle again"):
        TextGenerator(Session(bundle))


def test_a_tokenizer_of_another_model(text_bundle, resealed, tmp_path):
    """More tokens than the program has."""

    def change(folder, fields):
        backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        backend.add_tokens([f"more{number}" for number in range(300)])
        backend.save(str(folder / "tokenizer.json"))

    with pytest.raises(EdgekitError, match=r"tokens, the program 300: export it again"):
        TextGenerator(Session(resealed(text_bundle, change)))


def test_an_interpreter_that_ends_with_a_text_on_its_way(text_bundle):
    code = (
        "import sys; from edgekit_runtime import Session; from edgekit_runtime.generate import TextGenerator\n"
        "generator = TextGenerator(Session(sys.argv[1])); generator.start('the', 90, 1.0, 1, print)\n"
    )
    command = [sys.executable, "-c", code, str(text_bundle)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_the_model_that_ships(shipped_text_bundle):
    session = Session(shipped_text_bundle)
    generator = TextGenerator(session)
    prompt = "The history of the city begins in the early nineteenth century, when " * 12
    assert len(generator.encode(prompt)) > generator.settings.chunk
    for temperature in (0.0, 0.9):
        went = Generation()
        list(generator.generate(prompt, 30, temperature, 5, went))
        assert went.tokens == by_hand(session, prompt, 30, temperature, 5)[1]
