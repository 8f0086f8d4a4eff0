"""RPCANet as the exporter sees it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.model import Request
from edgekit.models.rpcanet.checkpoint import Checkpoint, save_checkpoint
from edgekit.models.rpcanet.config import VARIANTS, RPCANetConfig
from edgekit.models.rpcanet.data import load_dataset
from edgekit.models.rpcanet.generator import Frame, generate_frames, write_dataset
from edgekit.models.rpcanet.metrics import score
from edgekit.models.rpcanet.model import RPCANetModel, load

TINY = RPCANetConfig(2, True, 8, 5)


@pytest.fixture
def checkpoint(build) -> Checkpoint:
    return Checkpoint(build(TINY), "custom", {"data": "frames"})


def answer(image: np.ndarray) -> np.ndarray:
    """A stand-in for a program: brightness over the mean."""
    return (image - image.mean(axis=(1, 2, 3), keepdims=True)) * 40


def test_methods(checkpoint):
    (method,) = RPCANetModel(checkpoint).methods()
    assert method.spec.name == "forward"
    assert method.spec.inputs[0].shape == (1, 1, 256, 256)
    assert [(spec.name, spec.shape) for spec in method.spec.outputs] == [("logits", (1, 1, 256, 256))]
    methods = RPCANetModel(checkpoint, sizes=[(32, 48), (64, 64)], batches=[1, 2]).methods()
    assert [method.spec.name for method in methods] == [
        "forward_32x48_b1",
        "forward_32x48_b2",
        "forward_64x64_b1",
        "forward_64x64_b2",
    ]
    assert methods[1].samples[0].shape == methods[1].spec.outputs[0].shape == (2, 1, 32, 48)
    (method,) = RPCANetModel(checkpoint, sizes=[(32, 48)], stage_outputs=True).methods()
    assert method.spec.name == "forward_32x48"
    assert [spec.name for spec in method.spec.outputs] == [
        "logits",
        *("background_1", "target_1", "restored_1"),
        *("background_2", "restored_2"),
    ]


@pytest.mark.parametrize("stage_outputs", [False, True])
def test_reference_and_device_module_agree(checkpoint, stage_outputs: bool):
    model = RPCANetModel(checkpoint, sizes=[(32, 24)], stage_outputs=stage_outputs)
    (method,) = model.methods()
    (inputs,) = model.verification(method, 1)
    assert inputs[0].shape == method.spec.inputs[0].shape
    wanted, got = model.reference(*inputs), model.device_module(*inputs)
    if not stage_outputs:
        wanted, got = (wanted,), (got,)
    assert len(wanted) == len(got) == len(method.spec.outputs)
    for expected, found, spec in zip(wanted, got, method.spec.outputs, strict=True):
        assert found.shape == spec.shape
        assert (found - expected).abs().max() <= 5e-6 * expected.abs().max()


def test_parameters_and_kept_modules(build):
    model = RPCANetModel(Checkpoint(build(VARIANTS["s1"]), "s1", {}))
    assert model.parameters() == 493_597
    assert model.describe() == {
        "name": "rpcanet",
        "variant": "s1",
        "parameters": 493_597,
        "checkpoint_sha256": None,
        "trained_on": None,
        "calibrated_on": "generated frames",
    }
    known = {name for name, _ in model.device_module.named_modules()}
    assert set(model.keep_fp32) <= known
    assert "stages.0.sparse.skip" in model.keep_fp32
    assert model.pipeline() == {"name": "segment", "threshold": 0.0, "halo": None}


def test_calibration_and_verification_are_apart_and_repeatable(checkpoint, generated):
    train = {pair.load((32, 32))[0].tobytes() for pair in load_dataset(generated).part("train")}
    for dataset in (None, load_dataset(generated)):
        model = RPCANetModel(checkpoint, dataset, sizes=[(32, 32)], batches=[2])
        (method,) = model.methods()
        calibration, verification = model.calibration(method, model.calibration_samples), model.verification(method, 2)
        assert len(calibration) == 8
        assert len(verification) == 2
        seen = {image.numpy().tobytes() for (images,) in calibration for image in images}
        assert not seen & {image.numpy().tobytes() for (images,) in verification for image in images}
        if dataset is not None:
            assert seen <= train
        again = model.calibration(method, model.calibration_samples)
        assert all(torch.equal(a[0], b[0]) for a, b in zip(calibration, again, strict=True))


@pytest.mark.parametrize("batch", [1, 3])
def test_evaluation_is_the_protocol(checkpoint, generated, batch: int):
    """Whatever the batch, and also where it does not divide the images."""
    dataset = load_dataset(generated)
    model = RPCANetModel(checkpoint, dataset, sizes=[(32, 40)], batches=[batch])
    calls = []

    def predict(name, inputs):
        calls.append((name, inputs[0].shape))
        assert inputs[0].dtype == np.float32
        return (answer(inputs[0]),)

    loaded = [pair.load((32, 40)) for pair in dataset.part("test")]
    wanted = score((answer(image[None, None])[0, 0], mask) for image, mask in loaded)
    assert model.evaluate(predict) == wanted
    assert set(calls) == {("forward_32x40", (batch, 1, 32, 40))}
    assert len(calls) == -(-4 // batch)
    found = model.task_metrics(predict)
    values = {metric.name: metric.value for metric in found.metrics}
    assert values == {"IoU": wanted.iou, "F1": wanted.f1, "Pd": wanted.detected, "Fa": wanted.false_alarms}
    assert found.gated.name == "IoU"
    assert [metric.name for metric in found.metrics if not metric.higher_is_better] == ["Fa"]
    assert (found.data, found.samples, found.unit) == ("frames, test part", 4, "images")
    assert model.task_metrics(predict, 2).samples == 2
    assert model.evaluate(predict, 2) == score((answer(x[None, None])[0, 0], y) for x, y in loaded[::2])


def test_without_data_there_are_generated_frames(checkpoint):
    model = RPCANetModel(checkpoint, sizes=[(32, 32)])
    found = model.task_metrics(lambda name, inputs: (answer(inputs[0]),), 3)
    assert (found.data, found.samples) == ("generated frames", 3)
    assert found.gated.value > 0


def test_masks_without_objects(checkpoint, tmp_path):
    frames = [Frame(frame.image, np.zeros_like(frame.mask)) for frame in generate_frames(3, (32, 32), 0)]
    write_dataset(tmp_path / "empty", frames[:1], frames[1:])
    model = RPCANetModel(checkpoint, load_dataset(tmp_path / "empty"), sizes=[(32, 32)])
    with pytest.raises(EdgekitError, match="none of 2 masks has an object"):
        model.evaluate(lambda name, inputs: inputs)


def test_load(tmp_path, checkpoint, generated, monkeypatch):
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(checkpoint, path)
    model = load(Request(checkpoint=path, data=generated, sizes=((48, 32),), batches=(1, 2), seed=5))
    assert (model.variant, model.seed, len(model.methods())) == ("tiny", 5, 2)
    assert model.dataset.name == "frames"
    # Data is found by itself only where the checkpoint was trained on it.
    monkeypatch.setenv("EDGEKIT_DATA", str(tmp_path))
    write_dataset(tmp_path / "sirst", generate_frames(1, (32, 32), 0), generate_frames(1, (32, 32), 1))
    assert load(Request(checkpoint=path)).dataset is None
    save_checkpoint(replace(checkpoint, training={"data": "sirst, train part"}), path)
    assert load(Request(checkpoint=path)).dataset.name == "sirst"
    assert (
        load(Request(checkpoint=path)).describe()["checkpoint_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    )
    staged = load(Request(checkpoint=path, settings={"stage-outputs": "true"}))
    assert len(staged.methods()[0].spec.outputs) == 6
    with pytest.raises(UsageError, match="did you mean 'stage_outputs'"):
        load(Request(checkpoint=path, settings={"stage_output": "true"}))
    with pytest.raises(UsageError, match="'maybe' is not true or false"):
        load(Request(checkpoint=path, settings={"stage_outputs": "maybe"}))
    with pytest.raises(UsageError, match="no checkpoint of rpcanet s9 ships"):
        load(Request(variant="s9"))


@pytest.mark.parametrize("size", [(8, 64), (1, 1), (20_000, 20_000)])
def test_impossible_sizes(checkpoint, size: tuple[int, int]):
    with pytest.raises(UsageError, match=f"no frames of {size[0]}x{size[1]}"):
        RPCANetModel(checkpoint, sizes=[size])


def test_sizes_given_twice(checkpoint):
    with pytest.raises(UsageError, match="twice"):
        RPCANetModel(checkpoint, sizes=[(32, 32), (32, 32)])
