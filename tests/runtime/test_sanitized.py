"""The session and the tasks through their C++ headers, under sanitizers; against the eager models.

A sanitizer that finds something ends the program: each test asks for its answers, and for no report.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.bundle import Bundle
from edgekit.models.rpcanet.checkpoint import load_checkpoint as load_rpcanet
from edgekit.models.sea_opt.checkpoint import load_checkpoint as load_sea_opt
from edgekit.models.stackvae_g.checkpoint import load_checkpoint as load_stackvae_g
from edgekit.signing import load_private_key, make_keys, sign
from edgekit_runtime import Session
from edgekit_runtime.detect_anomalies import AnomalyPipeline
from edgekit_runtime.generate import Generation, TextGenerator

from .mutated_json import mutated

pytestmark = pytest.mark.slow

PROMPT = "the red cat"


@pytest.fixture(params=["sanitized", "thread_checked"])
def machine(request, built):
    return built(request.param)


@pytest.fixture(scope="module")
def windows() -> list[np.ndarray]:
    """Inputs of the pump's first method: channels that stay near their own levels."""
    generator = np.random.default_rng(0)
    levels, steps = generator.uniform(0, 1, (4, 1, 5, 1)), generator.normal(0, 0.03, (4, 1, 5, 16))
    return list(np.clip(levels + steps.cumsum(axis=-1), 0, 1).astype(np.float32))


@pytest.fixture(scope="module")
def wanted(windows, pump_checkpoint) -> list[np.ndarray]:
    """The eager module's answers."""
    module = load_stackvae_g(pump_checkpoint).module
    with torch.no_grad():
        return [module(torch.from_numpy(window))[:, :, -1].numpy() for window in windows]


@pytest.fixture(scope="module")
def eager_text(text_checkpoints):
    """Logits after the last of some tokens."""
    module = load_sea_opt(text_checkpoints / "sea.safetensors").module

    def logits(tokens: list[int]) -> np.ndarray:
        with torch.no_grad():
            return module(torch.tensor([tokens]))[0, -1].numpy()

    return logits


def check(found: bytes, wanted: np.ndarray) -> None:
    assert np.ptp(wanted) > 0.01  # or any constant would pass
    np.testing.assert_allclose(np.frombuffer(found, np.float32).reshape(wanted.shape), wanted, atol=2e-4)


def test_sessions_in_several_threads(machine, pump_bundle, windows, wanted):
    answers = machine.session("threads", [pump_bundle], *windows)
    assert len(answers) == 4 * len(windows)
    for index, answer in enumerate(answers):
        check(answer, wanted[index % len(windows)])


def test_one_session_from_two_threads(machine, pump_bundle, windows, wanted):
    found = machine.session("turns", [pump_bundle], *windows)
    assert len(found) == 10
    for call, state, pool, *answers in (found[:5], found[5:]):
        assert call == state == b"this session is in use by another thread: open a session for each, or take turns."
        assert pool == b"a session is running: change its threads before or after."
        for answer in answers:
            check(answer, wanted[0])


def test_other_numbers_of_threads(machine, pump_bundle, windows, wanted):
    *answers, sentence = machine.session("pool", [pump_bundle], np.concatenate([*windows, *windows]))
    assert sentence == b"-1 threads: give 1 or more, or 0 for one a core."
    assert len(answers) == 4
    for answer in answers:
        check(answer, np.concatenate([*wanted, *wanted]))


def test_traced_runs(machine, pump_bundle, windows, wanted):
    *answers, first, second, third = machine.session("trace", [pump_bundle], windows[0])
    assert len(answers) == 6
    for answer in answers:
        check(answer, wanted[0])
    assert b"XnnpackBackend" in first
    assert first == second == third


def test_states(machine, text_bundle, eager_text):
    texts = np.random.default_rng(1).integers(0, 290, (2, 10))
    found = machine.session("states", [text_bundle], *texts)
    halves = [eager_text(list(text[:5])) for text in texts]
    wholes = [eager_text(list(text)) for text in texts]
    for answer, row in zip(found[:5], (*halves, *wholes, wholes[1]), strict=True):
        check(answer, row)
    assert b"were given: was it saved by another bundle?" in found[5]
    assert found[6] == b"state 'other' is in use: use another one first."
    check(found[7], wholes[1])
    assert len(found) == 8


def test_text(machine, text_bundle, eager_text):
    tokenizer = TextGenerator(Session(text_bundle)).tokenizer
    tokens, size = tokenizer.encode(PROMPT), tokenizer.size
    before = len(tokens)
    for _ in range(12):
        tokens.append(int(eager_text(tokens)[:size].argmax()))
    text = tokenizer.decode(tokens[before:]).rstrip(
        "\N{REPLACEMENT CHARACTER}"
    )  # a character is given when it is whole
    found = machine.session("text", [text_bundle], np.frombuffer(PROMPT.encode(), np.uint8))
    for start in (0, 3):  # generate() and start()
        assert np.frombuffer(found[start], np.int64).tolist() == tokens[before:]
        assert found[start + 1].decode() == text
        assert found[start + 2] == b"length"
    assert np.frombuffer(found[6], np.int64).tolist() == tokens[before : before + 3]
    assert found[8] == b"cancelled"
    assert found[9] == b"a text is being generated: wait for its end, or cancel it."
    assert text.startswith(found[11].decode())
    assert found[12] == b"cancelled"
    assert found[13] == b"the prompt is empty: give some text to go on with."
    assert np.frombuffer(found[14], np.int64).tolist() == tokens[before:]  # in two goes
    assert found[15] == b"the text is to stand behind 95 tokens: give 0 to 94."
    assert found[16] == b"the text is to stand behind -1 tokens: give 0 to 94."
    assert len(found) == 17


def test_explained_text(machine, explained_bundle, text_bundle):
    generator = TextGenerator(Session(explained_bundle))
    prompt = generator.encode(PROMPT)
    found = machine.session("explain", [explained_bundle, text_bundle], np.frombuffer(PROMPT.encode(), np.uint8))

    def check_text(parts: list[bytes]) -> None:
        went = Generation()
        list(generator.generate(PROMPT, 12, went=went))
        assert np.frombuffer(parts[0], np.int64).tolist() == went.tokens
        why = generator.explanation()
        assert np.frombuffer(parts[1], np.int64).tolist() == why.tokens.tolist()
        if generator.explain:
            assert why.tokens.tolist() == [*prompt, *went.tokens[:-1]]
            assert np.ptp(why.unexplained) > 0.01
        features, values = np.frombuffer(parts[2], np.int64), np.frombuffer(parts[3], np.float32)
        clear = np.abs(np.diff(why.values, axis=-1, append=-1)).min(axis=-1) > 1e-3
        np.testing.assert_array_equal(features.reshape(why.features.shape)[clear], why.features[clear])
        np.testing.assert_allclose(values.reshape(why.values.shape), why.values, atol=2e-4)
        unexplained = np.frombuffer(parts[4], np.float32).reshape(why.unexplained.shape)
        np.testing.assert_allclose(unexplained, why.unexplained, atol=2e-4)

    generator.explain = True
    check_text(found[:5])
    assert found[5] == b"a text is being generated: wait for its end, or cancel it."
    check_text(found[6:11])
    assert found[11] == b"feature 1:2 was calibrated for a KL from -0.5 to 0.5, not 0.7: give one in between."
    assert found[12] == b"there is no feature 1:12: layer 1 has 0 to 11."
    assert found[13] == b"feature 2:7 was not calibrated: choose another to steer by."
    generator.steer({"1:2": 0.3, "2:5": -0.2})
    u, _ = generator.features.steering({"1:2": 0.3, "2:5": -0.2})
    np.testing.assert_array_equal(np.frombuffer(found[14], np.float32).reshape(u.shape), u)
    check_text(found[15:20])
    for sentence in found[20:22]:
        assert sentence.endswith(b"export it with `--set dictionary=shipped`, or another dictionary.")
    generator.steer(None)
    generator.explain = False
    check_text(found[22:])


def test_damaged_features(built, explained_bundle, resealed, tmp_path):
    """Changed by chance, and files that nest and grow; under AddressSanitizer alone, for it is one thread."""
    draw, bundles = random.Random(2), []
    text = (explained_bundle / "features.json").read_bytes()
    files = [text, b"[" * 3_000_000, b'{"schema":' * 300_000, b'{"schema": 1, "layers": [' + b"0," * 10**6 + b"0]}"]
    files += [mutated(text, number, draw) for number in range(60)]
    for number, data in enumerate(files):
        bundles.append(shutil.copytree(explained_bundle, tmp_path / str(number), copy_function=os.link))
        (bundles[-1] / "features.json").unlink()
        (bundles[-1] / "features.json").write_bytes(data)
    one_layer = resealed(explained_bundle, one_layer_alone)
    sentences = built("sanitized").session("features", [*bundles, one_layer])
    assert len(sentences) == len(bundles) + 1
    assert sentences[0] == sentences[-1] == b""
    for sentence in filter(None, sentences):
        assert b"features.json" in sentence
        assert sentence.endswith(b".")
    assert 20 < sum(map(bool, sentences)) < len(sentences) - 2


def one_layer_alone(folder: Path, fields: dict[str, Any]) -> None:
    """A bundle whose features are one layer's, so that they are named without it."""
    path = folder / "features.json"
    features = json.loads(path.read_text())
    del features["layers"][1:]
    path.write_text(json.dumps(features))
    fields["pipeline"]["explain"]["layers"] = [1]


def test_segment(machine, local_bundle, local_checkpoint):
    image = np.random.default_rng(2).random((50, 70), np.float32)
    logits, mask = machine.session("segment", [local_bundle], np.array(image.shape, np.int32), image)
    with torch.no_grad():
        wanted = load_rpcanet(local_checkpoint).module(torch.from_numpy(image)[None, None])[0, 0].numpy()
    check(logits, wanted)
    assert 0 < np.frombuffer(mask, np.uint8).mean() < 1


def test_detect_anomalies(machine, pump_bundle, pump_checkpoint):
    detector = AnomalyPipeline(Session(pump_bundle)).detector
    scaled = np.random.default_rng(3).random((40, 5), np.float32)
    rows = (scaled * detector.scaling.range + detector.scaling.low).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(scaled, 16, axis=0)
    with torch.no_grad():
        module = load_stackvae_g(pump_checkpoint).module
        newest = module(torch.from_numpy(windows.copy()))[:, :, -1].numpy()
    wanted = np.square(newest - scaled[15:]).sum(axis=1)
    at_once, one_by_one, together = machine.session("anomalies", [pump_bundle], rows)
    for scores in (at_once, together):
        assert np.isnan(np.frombuffer(scores, np.float32)[:15]).all()
        check(scores[4 * 15 :], wanted)
    check(one_by_one, wanted)


def test_refusals(machine, pump_bundle, windows, wanted, copy_of, tmp_path):
    changed = copy_of(pump_bundle)
    content = bytearray((changed / "program.pte").read_bytes())
    content[len(content) // 2] ^= 1
    (changed / "program.pte").write_bytes(content)
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "manifest.json").write_bytes((pump_bundle / "manifest.json").read_bytes())
    says = [
        b"there is no method 'backward'; it has forward_b1, forward_b8.",
        b"method 'forward_b1' has 1 inputs, 0 were given.",
        b"method 'forward_b1' has 1 outputs, 0 were given.",
        b"input 'windows' of method 'forward_b1' is float32 1x5x17, float32 1x5x16 is needed.",
        b"input 'windows' of method 'forward_b1' is float32 1, float32 1x5x16 is needed.",
        b"input 'windows' of method 'forward_b1' is no tensor, float32 1x5x16 is needed.",
        b"input 'windows' of method 'forward_b1' is float64 1x5x16, float32 1x5x16 is needed.",
        b"input 'windows' of method 'forward_b1' has no memory.",
        *[b"input 'windows' of method 'forward_b1' has a value that is not finite: fill it or leave it out."] * 2,
        f"there is no bundle {tmp_path}/nowhere: `edgekit export` makes one.".encode(),
        f"{changed}/program.pte was changed after export: copy the bundle again or export it anew.".encode(),
        f"{missing}/LICENSES.txt is missing: copy the bundle again.".encode(),
    ]
    found = machine.session("refusals", [pump_bundle, tmp_path / "nowhere", changed, missing], *windows)
    assert found[::2] == says
    for answer in found[1::2]:
        check(answer, wanted[0])


def test_signatures(machine, pump_bundle, copy_of, tmp_path):
    make_keys(tmp_path / "key")
    signed, cut, odd = (Path(shutil.copytree(pump_bundle, tmp_path / name)) for name in ("signed", "cut", "odd"))
    for folder in (signed, cut, odd):
        sign(Bundle.open(folder), load_private_key(tmp_path / "key"))
    text = (cut / "manifest.sig").read_bytes()
    (cut / "manifest.sig").write_bytes(text[:-9])
    (odd / "manifest.json").write_bytes((odd / "manifest.json").read_bytes().replace(b'"seed": 0', b'"seed": 1'))
    taken, unsigned, damaged, other = machine.session(
        "signatures", [tmp_path / "key.pub", signed, pump_bundle, cut, odd]
    )
    assert taken == b"taken"
    assert b"is not signed, and a signature is required" in unsigned
    assert damaged == f"{cut}/manifest.sig is damaged: copy the bundle again.".encode()
    assert b"has a signature that does not fit its manifest" in other


def test_an_allocator_that_has_no_more(machine, pump_bundle, windows, wanted):
    *sentences, answer = machine.session("memory", [pump_bundle], *windows)
    assert len(sentences) >= 2
    for sentence in sentences:
        assert b"memory" in sentence
        assert sentence.endswith(b".")
        assert sentence.count(b". ") == 0
    check(answer, wanted[0])
