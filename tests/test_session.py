"""A session runs what was exported, gives answers that stay, and refuses what does not fit."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

import edgekit
from edgekit import Session
from edgekit.bundle import Bundle
from edgekit.errors import EdgekitError, UsageError
from edgekit.models.stackvae_g.checkpoint import load_checkpoint


def windows(bundle: Path, batch: int, seed: int = 0) -> np.ndarray:
    """Smooth random series in [0, 1], as scaled telemetry is."""
    (spec,) = Bundle.open(bundle).program.methods[0].inputs
    generator = np.random.default_rng(seed)
    steps = generator.normal(0.0, 0.03, (batch, *spec.shape[1:]))
    starts = generator.uniform(0.2, 0.8, (batch, spec.shape[1], 1))
    return np.clip(starts + steps.cumsum(axis=2), 0.0, 1.0).astype(np.float32)


def eager(checkpoint: Path, inputs: np.ndarray) -> np.ndarray:
    """The newest step of the trained module's own reconstruction."""
    with torch.no_grad():
        return load_checkpoint(checkpoint).module(torch.from_numpy(inputs))[:, :, -1].numpy()


@pytest.fixture(scope="module")
def shipped():
    place = resources.files("edgekit.models.stackvae_g") / "checkpoints" / "machine-2-1.safetensors"
    with resources.as_file(place) as path:
        yield path


@pytest.fixture(scope="module")
def pump(pump_bundle) -> Session:
    return Session(pump_bundle)


def test_fp32_answers_are_the_eager_modules(fp32_bundle, shipped):
    session = Session(str(fp32_bundle))
    for seed in range(4):
        inputs = windows(fp32_bundle, 1, seed)
        (answer,) = session.run(inputs)
        expected = eager(shipped, inputs)
        assert np.ptp(expected) > 0.05  # or any constant would pass
        np.testing.assert_allclose(answer, expected, atol=1e-5)
        assert answer.dtype == np.float32


def test_int8_answers_are_near_the_eager_modules(int8_bundle, shipped):
    session = Session(int8_bundle)
    inputs = [windows(int8_bundle, 1, seed) for seed in range(8)]
    answers = np.concatenate([session.run(item)[0] for item in inputs])
    expected = eager(shipped, np.concatenate(inputs))
    noise, signal = np.square(answers - expected).mean(), np.square(expected - expected.mean()).mean()
    assert 0 < noise < 0.03 * signal


def test_method_is_picked_by_the_inputs_shape(pump, pump_bundle, pump_checkpoint):
    assert [method.name for method in pump.methods] == ["forward_b1", "forward_b8"]
    inputs = windows(pump_bundle, 8)
    expected = eager(pump_checkpoint, inputs)
    (together,) = pump.run(inputs)
    alone = np.concatenate([pump.run(inputs[row : row + 1])[0] for row in range(8)])
    named = pump.run(inputs, method="forward_b8")[0]
    for answer in (together, alone, named):
        np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_unknown_shapes_list_those_that_exist(pump):
    with pytest.raises(UsageError, match=r"takes 2x5x16; it has 1x5x16; 8x5x16"):
        pump.run(np.zeros((2, 5, 16), np.float32))
    with pytest.raises(UsageError, match="takes no inputs"):
        pump.run()


def test_wrong_requests(pump):
    good = np.zeros((1, 5, 16), np.float32)
    with pytest.raises(EdgekitError, match="input 'windows' is float64"):
        pump.run(good.astype(np.float64))
    with pytest.raises(EdgekitError, match=r"\(8, 5, 16\) is needed"):
        pump.run(good, method="forward_b8")
    with pytest.raises(UsageError, match="takes 1 inputs, 2 were given"):
        pump.run(good, good, method="forward_b1")
    with pytest.raises(UsageError, match="no method 'backward'; it has forward_b1, forward_b8"):
        pump.run(good, method="backward")


def test_answers_and_inputs_are_the_callers_own(pump, pump_bundle):
    first_input, second_input = windows(pump_bundle, 8, seed=1), windows(pump_bundle, 8, seed=2)
    kept_input = first_input.copy()
    (first,) = pump.run(first_input)
    kept = first.copy()
    (second,) = pump.run(second_input)
    assert not np.array_equal(second, kept)
    np.testing.assert_array_equal(first, kept)  # a second run wrote over nothing
    first[:] = -1.0
    np.testing.assert_array_equal(pump.run(first_input)[0], kept)
    np.testing.assert_array_equal(first_input, kept_input)


def test_arrays_of_any_layout(pump, pump_bundle):
    inputs = windows(pump_bundle, 8)
    turned = np.ascontiguousarray(inputs.transpose(2, 1, 0)).transpose(2, 1, 0)
    assert not turned.flags.c_contiguous
    np.testing.assert_array_equal(pump.run(turned)[0], pump.run(inputs)[0])
    locked = inputs.copy()
    locked.flags.writeable = False
    np.testing.assert_array_equal(pump.run(locked)[0], pump.run(inputs)[0])


def test_sessions_do_not_disturb_each_other(pump, fp32_bundle, pump_bundle):
    inputs = windows(pump_bundle, 1)
    (before,) = pump.run(inputs)
    Session(fp32_bundle).run(windows(fp32_bundle, 1))
    np.testing.assert_array_equal(pump.run(inputs)[0], before)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.7, 0.9999])
def test_a_changed_byte_in_the_program_is_refused(pump_bundle, copy_of, place: float):
    program = copy_of(pump_bundle) / "program.pte"
    content = bytearray(program.read_bytes())
    content[int(place * len(content))] ^= 0x10
    program.write_bytes(content)
    with pytest.raises(EdgekitError, match=r"program\.pte was changed after export"):
        Session(program.parent)


def test_a_missing_operator_is_named(pump_bundle, resealed):
    def ask(folder: Path, fields: dict) -> None:
        fields["programs"][0]["operators"].append("edgekit::no_such_operator.out")

    with pytest.raises(
        EdgekitError,
        match=r"needs edgekit::no_such_operator\.out, which this runtime does not have: install the edgekit-runtime",
    ):
        Session(resealed(pump_bundle, ask))


def test_a_missing_delegate_is_named(pump_bundle, resealed):
    def ask(folder: Path, fields: dict) -> None:
        fields["programs"][0]["delegates"].append("NeuralBackend")

    with pytest.raises(EdgekitError, match="needs NeuralBackend, which"):
        Session(resealed(pump_bundle, ask))


@pytest.mark.parametrize(("needed", "fits"), [("99.0", False), ("1.10", False), ("1.5", True), ("0.7", True)])
def test_minimum_runtime(pump_bundle, resealed, needed: str, fits: bool):
    def ask(folder: Path, fields: dict) -> None:
        fields["minimum_runtime"]["executorch"] = needed

    bundle = resealed(pump_bundle, ask)
    if fits:
        Session(bundle)
        return
    with pytest.raises(EdgekitError, match=rf"needs ExecuTorch {needed} or newer, this runtime has 1\.\d"):
        Session(bundle)


def test_a_program_that_is_none(pump_bundle, resealed):
    bundle = resealed(pump_bundle, lambda folder, fields: (folder / "program.pte").write_bytes(b"no program" * 100))
    with pytest.raises(EdgekitError, match=r"program\.pte cannot be loaded .*export it again"):
        Session(bundle)


def test_a_method_that_the_program_lacks(pump_bundle, resealed):
    def ask(folder: Path, fields: dict) -> None:
        fields["programs"][0]["methods"][0]["name"] = "backward"

    with pytest.raises(EdgekitError, match="has another method 'backward' than its manifest says"):
        Session(resealed(pump_bundle, ask))


def test_a_session_leaves_the_bundle_as_it_is(pump_bundle):
    def state() -> dict[str, str]:
        files = [path for path in pump_bundle.rglob("*") if path.is_file()]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = state()
    Session(pump_bundle).run(windows(pump_bundle, 8))
    assert state() == before


def test_nothing_of_the_runtime_reaches_the_terminal(pump_bundle, capfd):
    Session(pump_bundle).run(windows(pump_bundle, 8))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("recipe", ["fp32", "int8-dynamic"])
def test_programs_that_differ_in_a_bias_alone(tmp_path, recipe):
    """Packed weights hold biases, and are found by the bytes of the weights: no session may take another program's."""
    layer = torch.nn.Linear(64, 32).requires_grad_(False)
    module = torch.nn.Sequential(layer).eval()
    options = {"device": "linux-x86_64", "recipe": recipe, "output_dir": tmp_path, "native": False}
    sessions = []
    for name in ("one", "other"):
        sessions.append(Session(edgekit.export_module(module, (torch.rand(3, 64),), name=name, **options).path))
        layer.bias += 10
    x = np.random.default_rng(0).random((3, 64), np.float32)
    (one,), (other,) = (session.run(x) for session in sessions)
    np.testing.assert_allclose(other - one, np.full_like(one, 10), atol=1e-3)
    del sessions[0]
    again = Session(tmp_path / f"other-linux-x86_64-{recipe}")
    np.testing.assert_array_equal(again.run(x)[0], other)
