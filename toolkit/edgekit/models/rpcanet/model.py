"""RPCANet and RPCANet++ as the exporter sees them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.errors import UsageError
from edgekit.files import sha256_of
from edgekit.images import MAX_PIXELS, MIN_SIDE
from edgekit.models.kv import KV
from edgekit.models.metrics import Drop, Metric, Predict, TaskMetrics
from edgekit.models.model import (
    ALL_PARTS,
    LAYERS,
    RUN_PARTS,
    Method,
    Model,
    Observer,
    Request,
    Variation,
    custom_variant,
    is_inside,
)
from edgekit.models.settings import Setting, describe_settings, read_settings, settable
from edgekit.models.shipped import shipped_or
from edgekit_runtime.images import Gray, Mask
from edgekit_runtime.segment import Map
from edgekit_runtime.tensors import Array, MethodSpec, TensorSpec

from .checkpoint import CUSTOM, Checkpoint, load_checkpoint
from .config import DEFAULT_SIZE, VARIANTS
from .data import Dataset, load_dataset
from .generator import generate_frames
from .inference import DeviceRPCANet, output_names, precise_modules
from .metrics import Scores, blocks, score_frames
from .module import RPCANet, first_stages

#: The variant that ships, and where its data set lies below EDGEKIT_DATA.
SHIPPED, SHIPPED_DATA, SHIPPED_FOLDER = "s1", "sirst, train part", "sirst"
#: Frames of the quick task metric at export; `evaluate` takes the whole test part.
METRIC_FRAMES = 16
#: Shares of a frame's sides that a memory budget may leave of them.
SMALLER_FRAMES = (1, 0.75, 0.5)
#: Frames to evaluate on where there is no data.
GENERATED_FRAMES = 16


@dataclass(frozen=True)
class ExportSettings:
    """What `--set` changes at export.

    Attributes:
        stage_outputs: give background, objects and restored image of every stage as well.
        stages: stop after so many; none for all.
    """

    stage_outputs: bool = False
    stages: int | None = None


def load(request: Request) -> RPCANetModel:
    """The model for a request; without a checkpoint, the one that ships.

    Raises:
        UsageError: a variant that does not ship, or a size that no frame can have.
        EdgekitError: the checkpoint or the data does not fit.
    """
    variant = request.variant or SHIPPED
    with shipped_or(request.checkpoint, "rpcanet", variant) as path:
        if request.checkpoint is None and not path.is_file():
            raise UsageError(
                f"no checkpoint of rpcanet {variant} ships: give one with --checkpoint (the authors' .pkl files fit), "
                f"or take --variant {SHIPPED}."
            )
        checkpoint = load_checkpoint(path, request.variant)
        digest = sha256_of(path)
    if checkpoint.variant == CUSTOM:
        checkpoint = replace(checkpoint, variant=custom_variant(request.checkpoint, VARIANTS))
    settings = ExportSettings(**read_settings(request.settings, settable(ExportSettings)))
    dataset = _dataset(request, checkpoint)
    if settings.stages is not None:
        module = first_stages(checkpoint.module, settings.stages)
        checkpoint = replace(checkpoint, module=module, variant=f"{checkpoint.variant}-first-{settings.stages}")
    return RPCANetModel(
        checkpoint, dataset, request.sizes, request.batches, request.seed, digest, settings.stage_outputs
    )


def list_settings() -> list[Setting]:
    """What `--set` takes at export."""
    return describe_settings(ExportSettings)


def _dataset(request: Request, checkpoint: Checkpoint) -> Dataset | None:
    """The data asked for, else what the checkpoint was trained on where it is at hand."""
    if request.data is not None:
        return load_dataset(request.data)
    if "EDGEKIT_DATA" in os.environ and checkpoint.training.get("data") == SHIPPED_DATA:
        folder = Path(os.environ["EDGEKIT_DATA"]) / SHIPPED_FOLDER
        return load_dataset(folder) if folder.is_dir() else None
    return None


class StageReference(nn.Module):
    """The trained module with the outputs that the device gives."""

    def __init__(self, trained: RPCANet, stage_outputs: bool) -> None:
        super().__init__()
        self.trained = trained
        self.stage_outputs = stage_outputs

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        if not self.stage_outputs:
            logits: Tensor = self.trained(image)
            return logits
        stages = self.trained.decompose(image)
        last = stages[-1].target
        return (last, *(output for stage in stages for output in stage if output is not last))


class RPCANetModel(Model):
    """One checkpoint, exported for some frame sizes and batches.

    Args:
        checkpoint: the trained module.
        dataset: images and masks for calibration and the metric; None for generated frames.
        sizes: (height, width) of frames, one method each; empty for 256x256.
        batches: frames per call, one method each.
        seed: for everything random.
        checkpoint_sha256: of the checkpoint's file, for the manifest.
        stage_outputs: give background, objects and restored image of every stage as well.

    Raises:
        UsageError: a size that no frame can have, or a size or batch given twice.
    """

    name = "rpcanet"
    quick_samples = METRIC_FRAMES
    # The few bright pixels of a target are what is looked for; a histogram would clip them.
    observer: Observer = "extremes"
    # Each has tens of thousands of pixels.
    calibration_samples = 8

    def __init__(
        self,
        checkpoint: Checkpoint,
        dataset: Dataset | None = None,
        sizes: Sequence[tuple[int, int]] = (),
        batches: Sequence[int] = (1,),
        seed: int = 0,
        checkpoint_sha256: str | None = None,
        stage_outputs: bool = False,
    ) -> None:
        for height, width in sizes:
            if min(height, width) < MIN_SIDE or height * width > MAX_PIXELS:
                raise UsageError(
                    f"rpcanet takes no frames of {height}x{width}: each side needs {MIN_SIDE} pixels or more, "
                    f"all together at most {MAX_PIXELS >> 20} million."
                )
        if len(set(sizes)) < len(sizes) or len(set(batches)) < len(batches):
            raise UsageError("the same --size or --batch is given twice: give each once.")
        self.checkpoint = checkpoint
        self.dataset = dataset
        self.sizes = tuple(sizes)
        self.batches = tuple(batches)
        self.seed = seed
        self.checkpoint_sha256 = checkpoint_sha256
        self.stage_outputs = stage_outputs
        self._reference = StageReference(checkpoint.module, stage_outputs).eval()
        self._device_module = DeviceRPCANet(checkpoint.module, stage_outputs)
        self.keep_fp32 = precise_modules(self._device_module)

    @property
    def variant(self) -> str:
        return self.checkpoint.variant

    @property
    def reference(self) -> nn.Module:
        return self._reference

    @property
    def device_module(self) -> nn.Module:
        return self._device_module

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width that metrics are taken at: those of the last method."""
        return self.sizes[-1] if self.sizes else DEFAULT_SIZE

    def methods(self, kv: KV = "fp32") -> list[Method]:
        """One per size and batch: `forward`, or `forward_HxW` where sizes are given, with `_bN` for several batches."""
        names = output_names(self.checkpoint.module.config.stages, self.stage_outputs)
        methods = []
        for height, width in self.sizes or (DEFAULT_SIZE,):
            for batch in self.batches:
                name = f"forward_{height}x{width}" if self.sizes else "forward"
                name += f"_b{batch}" if len(self.batches) > 1 else ""
                shape = (batch, 1, height, width)
                outputs = tuple(
                    TensorSpec(output, shape, "float32", "logits" if output == "logits" else "brightness, 1 is white")
                    for output in names
                )
                image = TensorSpec("image", shape, "float32", "brightness, 1 is white")
                methods.append(Method(MethodSpec(name, (image,), outputs), (torch.zeros(shape),)))
        return methods

    def blocks(self) -> list[str]:
        """Per stage: the background, the contrast prior, the objects' trunk and the restoration, as far as they have
        something to round."""
        parts = [
            f"stages.{index}.{part}"
            for index in range(self.checkpoint.module.config.stages)
            for part in ("lowrank", "sparse.contrast", "sparse.trunk", "merge")
        ]
        layers = [
            name
            for name, layer in self._device_module.named_modules()
            if isinstance(layer, LAYERS) and not is_inside(name, self.keep_fp32)
        ]
        return [part for part in parts if any(is_inside(name, [part]) for name in layers)]

    def calibration(self, method: Method, count: int) -> list[tuple[Tensor, ...]]:
        return self._inputs("train", method, count, self.seed)

    def verification(self, method: Method, count: int) -> list[tuple[Tensor, ...]]:
        return self._inputs("test", method, count, self.seed + 1)

    def task_metrics(self, predict: Predict | None, samples: int | None = None) -> TaskMetrics:
        scores = self.evaluate(predict, samples)
        data = self.dataset.describe("test") if self.dataset else "generated frames"
        metrics = (
            Metric("IoU", scores.iou),
            Metric("F1", scores.f1),
            Metric("Pd", scores.detected),
            Metric("Fa", scores.false_alarms, higher_is_better=False),
        )
        return TaskMetrics(metrics, data, scores.images, "images")

    def max_drop(self, recipe: str, kv: KV = "fp32") -> Drop:
        return Drop(0.005)

    def evaluate(self, predict: Predict | None, limit: int | None = None) -> Scores:
        """Scores of the test part by the authors' protocol, at the size and batch of the last method.

        Args:
            predict: runs one method; None for the reference itself.
            limit: at most this many images, evenly spaced; None for all. Without data there are generated frames.

        Raises:
            EdgekitError: no mask has an object, or a picture cannot be read.
        """
        spec = self.methods()[-1].spec
        predict = predict or self._eager
        batch, _, height, width = spec.inputs[0].shape

        def answer(images: Map) -> Map:
            return np.asarray(predict(spec.name, (images,))[0])

        return score_frames(self.test_frames((height, width), limit), answer, batch)

    def pipeline(self) -> dict[str, Any]:
        halo = self.checkpoint.module.config.halo(self.stage_outputs)
        return {"name": "segment", "threshold": 0.0, "halo": halo}

    def variations(self) -> tuple[Variation, ...]:
        if len(self.sizes) > 1:
            return ()
        height, width = self.frame_size
        sizes = [(round(height * share), round(width * share)) for share in SMALLER_FRAMES]
        texts = tuple(f"{high}x{wide}" for high, wide in sizes if min(high, wide) >= MIN_SIDE)
        stages = tuple(str(count) for count in range(self.checkpoint.module.config.stages, 0, -1))
        return Variation("size", texts, RUN_PARTS), Variation("stages", stages, ALL_PARTS)

    def _eager(self, name: str, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        with torch.no_grad():
            return (self.checkpoint.module(torch.from_numpy(inputs[0])).numpy(),)

    def describe(self) -> dict[str, Any]:
        return super().describe() | {
            "checkpoint_sha256": self.checkpoint_sha256,
            "trained_on": self.checkpoint.training.get("data"),
            "calibrated_on": self.dataset.describe("train") if self.dataset else "generated frames",
        }

    def test_frames(self, size: tuple[int, int], limit: int | None = None) -> Iterator[tuple[Gray, Mask]]:
        """Images and masks of the test part, or generated ones, at a size; evenly spaced if limited."""
        if self.dataset is None:
            for frame in generate_frames(limit or GENERATED_FRAMES, size, self.seed + 1):
                yield frame.image, frame.mask
            return
        pairs = self.dataset.part("test")
        count = min(limit or len(pairs), len(pairs))
        for place in range(count):
            yield pairs[place * len(pairs) // count].load(size)

    def _inputs(self, part: str, method: Method, count: int, seed: int) -> list[tuple[Tensor, ...]]:
        """`count` inputs of a method, of random images."""
        batch, _, height, width = method.spec.inputs[0].shape
        images: list[Gray]
        if self.dataset is None:
            images = [frame.image for frame in generate_frames(count * batch, (height, width), seed)]
        else:
            pairs = self.dataset.part(part)
            needed = count * batch
            chosen = np.random.default_rng(seed).choice(len(pairs), needed, replace=needed > len(pairs))
            images = [pairs[index].load((height, width))[0] for index in chosen]
        return [(torch.from_numpy(np.stack(block)[:, None]),) for block in blocks(images, batch)]
