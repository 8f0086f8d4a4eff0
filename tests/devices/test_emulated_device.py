"""Bundles for arm64, copied to an emulated device, against this machine's session and the eager fp32 model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from edgekit.kernels.gpu_images import MACHINE_CODE, carried, unpack
from edgekit.models.rpcanet.checkpoint import load_checkpoint as load_rpcanet
from edgekit.models.rpcanet.generator import generate_frames
from edgekit.models.sea_opt.checkpoint import SHIPPED as SEA_OPT
from edgekit.models.sea_opt.checkpoint import load_checkpoint as load_sea_opt
from edgekit.models.shipped import shipped_or
from edgekit.models.stackvae_g.checkpoint import load_checkpoint as load_stackvae_g
from edgekit.models.stackvae_g.generator import generate_telemetry
from edgekit_runtime import Session
from edgekit_runtime.detect_anomalies import AnomalyPipeline
from edgekit_runtime.generate import Generation, TextGenerator
from edgekit_runtime.images import read_gray, write_png
from edgekit_runtime.segment import SegmentPipeline

from ..machines import EmulatedDevice

pytestmark = pytest.mark.slow

PROMPT = " The city was founded in the year"
STEPS = 16
STACKVAE_G = "stackvae_g", "machine-2-1"
#: Below this gap between the two largest logits, another token may be as right.
LEAST_GAP = 1e-3


@pytest.fixture
def export(cli, monkeypatch, tmp_path) -> Callable[..., Path]:
    """Exports a model for arm64: `export("rpcanet", "--size", "64x64")`."""

    def call(model: str, *options: object, recipe: str = "fp32") -> Path:
        # Models then use their generators.
        monkeypatch.delenv("EDGEKIT_DATA", raising=False)
        folder = tmp_path / "bundles"
        arguments = ("--device", "raspberry-pi-5", "--recipe", recipe, "-q", "-o", folder)
        assert cli("export", model, *arguments, *options).code == 0
        (bundle,) = folder.iterdir()
        return bundle

    return call


@pytest.mark.parametrize(("recipe", "form"), [("fp32", "pte"), ("int8", "pte"), ("fp32", "tflite")])
def test_anomalies(emulated_device, export, tmp_path, recipe, form):
    bundle = export("stackvae-g", "--format", form, recipe=recipe)
    with shipped_or(None, *STACKVAE_G) as path:
        checkpoint = load_stackvae_g(path)
    scaling, window = checkpoint.scaling, checkpoint.config.window
    scaled = generate_telemetry(checkpoint.statistics, 200, seed=3).values
    scaled[150:160, :3] += 1
    rows = (scaled * scaling.range + scaling.low).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    done = emulated_device.run(bundle, "--input", tmp_path / "rows.npy", "--output", tmp_path / "answers.json")
    assert (done.returncode, done.stderr) == (0, "")
    answers = json.loads((tmp_path / "answers.json").read_text())
    unscored, answers = answers[: window - 1], answers[window - 1 :]
    assert all(answer["score"] is None and not answer["alarm"] for answer in unscored)
    scores = np.array([answer["score"] for answer in answers])
    alarms = np.array([answer["alarm"] for answer in answers])
    pipeline = AnomalyPipeline(Session(bundle))
    names = pipeline.detector.channels
    ranked = np.array([[names.index(channel) for channel in answer["ranked_channels"]] for answer in answers])
    np.testing.assert_array_equal(np.sort(ranked), np.broadcast_to(np.arange(len(names)), ranked.shape))

    here = pipeline.detect(rows)
    np.testing.assert_allclose(scores, here.scores[window - 1 :], rtol=1e-5)
    np.testing.assert_array_equal(alarms, here.alarms[window - 1 :])
    check_order(ranked, here.errors[window - 1 :])
    assert 0 < alarms.sum() < len(alarms)  # or any constant would pass
    if recipe == "fp32":
        windows = np.lib.stride_tricks.sliding_window_view(scaling(rows), window, axis=0).copy()
        with torch.no_grad():
            eager = checkpoint.module(torch.from_numpy(windows))[:, :, -1].numpy()
        errors = np.square(eager - windows[:, :, -1])
        np.testing.assert_allclose(scores, errors.sum(axis=1), rtol=1e-4)
        np.testing.assert_array_equal(alarms, errors.sum(axis=1) > pipeline.detector.alarm_threshold)
        check_order(ranked, errors)


def check_order(ranked: np.ndarray, errors: np.ndarray) -> None:
    """Channels by falling error; those that are as wrong as each other, to rounding, in any order."""
    ordered = np.take_along_axis(errors, ranked, axis=1)
    assert (np.diff(ordered) <= 1e-4 * errors.max(axis=1, keepdims=True)).all()


@pytest.mark.parametrize("variant", ["s1", "v1"])
def test_objects(emulated_device, export, v1_checkpoint, tmp_path, variant):
    given = v1_checkpoint if variant == "v1" else None  # only S1 ships
    bundle = export("rpcanet", "--size", "64x64", *(() if given is None else ("--checkpoint", given)))
    write_png(np.uint8(255 * generate_frames(1, (64, 64), seed=5)[0].image), tmp_path / "frame.png")
    image = read_gray(tmp_path / "frame.png")
    done = emulated_device.run(bundle, "--input", tmp_path / "frame.png", "--output", tmp_path / "mask.png", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    mask, objects = read_gray(tmp_path / "mask.png") > 0.5, json.loads(done.stdout)["objects"]

    here = SegmentPipeline(Session(bundle)).segment(image)
    with shipped_or(given, "rpcanet", variant) as path, torch.no_grad():
        logits = load_rpcanet(path, variant).module(torch.from_numpy(image)[None, None])[0, 0].numpy()
    largest = float(np.abs(logits).max())
    assert np.abs(logits).min() > 1e-5 * largest  # rounding turns no pixel of this frame over
    np.testing.assert_allclose(here.logits, logits, atol=1e-5 * largest)
    np.testing.assert_array_equal(mask, here.mask)
    np.testing.assert_array_equal(mask, logits > 0)
    labels, count = ndimage.label(logits > 0, np.ones((3, 3)))
    peaks = sorted(ndimage.maximum(logits, labels, range(1, count + 1)), reverse=True)
    assert count > 0
    np.testing.assert_allclose([item["peak"] for item in objects], peaks, atol=1e-5 * largest)
    for found, expected in zip(objects, here.objects, strict=True):
        assert found.pop("peak") == pytest.approx(expected.peak, abs=1e-5 * largest)
        assert found.items() <= expected.to_dict().items()


def test_text(emulated_device, shipped_text_bundle):
    arguments = ("--prompt", PROMPT, "--max-tokens", STEPS, "--json")
    done = emulated_device.run(shipped_text_bundle, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    went = Generation()
    list(TextGenerator(Session(shipped_text_bundle)).generate(PROMPT, STEPS, went=went))
    assert (answer["text"], answer["generated_tokens"]) == (went.text, STEPS)

    with shipped_or(None, *SEA_OPT) as path:
        checkpoint = load_sea_opt(path)
    tokenizer, tokens = checkpoint.tokenizer, checkpoint.tokenizer.encode(PROMPT)
    begin = len(tokens)
    while len(tokens) < begin + STEPS:
        with torch.no_grad():
            logits = checkpoint.module(torch.tensor([tokens]))[0, -1, : tokenizer.size]
        best = logits.topk(2)
        if best.values[0] - best.values[1] < LEAST_GAP:
            break
        tokens.append(int(best.indices[0]))
    assert len(tokens) > begin
    assert answer["text"].startswith(tokenizer.decode(tokens[begin:]))
    assert answer["generated_tokens"] > len(tokens) - begin or answer["text"] == tokenizer.decode(tokens[begin:])


def test_a_text_explained_and_steered(emulated_device, export, text_checkpoints, small_dictionary):
    """The small language model: the same text, of which every token has the same features as here."""
    settings = ("--set", "chunk=16", "--set", f"dictionary={small_dictionary}", "--set", "shown=3")
    bundle = export("sea-opt", "--checkpoint", text_checkpoints / "sea.safetensors", *settings)
    for steer in ({}, {"1:2": 0.3, "2:5": -0.2}):
        check_explained(emulated_device, bundle, steer)


def check_explained(device: EmulatedDevice, bundle: Path, steer: dict[str, float]) -> None:
    """A text of an emulated device, against this machine's."""
    prompt = "the red cat sees the old house"
    options = [word for name, kl in steer.items() for word in ("--steer", f"{name}={kl}")]
    done = device.run(bundle, "--prompt", prompt, "--max-tokens", STEPS, "--explain", "--json", *options)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)

    generator, went = TextGenerator(Session(bundle)), Generation()
    generator.explain = True
    generator.steer(steer)
    list(generator.generate(prompt, STEPS, went=went))
    here = generator.explanation()
    assert (answer["text"], answer["generated_tokens"]) == (went.text, STEPS)
    wanted = here.to_dict(generator.tokenizer, generator.steered)
    assert answer["explanation"]["steering"] == wanted["steering"]
    assert [token["token"] for token in answer["explanation"]["tokens"]] == here.tokens.tolist()
    # Where one coefficient is much like the next, either may come first.
    clear = -np.diff(here.values, axis=-1, append=0).max(axis=-1) > LEAST_GAP
    assert clear.mean() > 0.8
    for place, (token, same) in enumerate(zip(answer["explanation"]["tokens"], wanted["tokens"], strict=True)):
        for index, (layer, other) in enumerate(zip(token["layers"], same["layers"], strict=True)):
            assert layer["unexplained"] == pytest.approx(other["unexplained"], abs=1e-4)
            if clear[place, index]:
                assert [feature["feature"] for feature in layer["features"]] == here.features[place, index].tolist()
                found = [feature["value"] for feature in layer["features"]]
                np.testing.assert_allclose(found, here.values[place, index], atol=1e-4)


def test_a_jetsons_operators_stay_on_its_cpu_without_a_driver(emulated_device, shipped_text_bundle):
    """The library carries code for its GPU and looks for a driver, which no emulator has; NEON gives the answer."""
    code = carried(shipped_text_bundle / "lib" / "libedgekit_ops.so")
    assert (8, 7) in {(image.major, image.minor) for image in unpack(code) if image.kind == MACHINE_CODE}
    arguments = ("--prompt", PROMPT, "--max-tokens", 4, "--json", "--gpu")
    off, on = (emulated_device.run(shipped_text_bundle, *arguments, choice) for choice in ("off", "on"))
    assert (off.returncode, off.stderr, on.returncode) == (0, "", 0)
    assert on.stderr.count("there is no libcuda.so.1") == 1
    assert json.loads(on.stdout)["text"] == json.loads(off.stdout)["text"]
