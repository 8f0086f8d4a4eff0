"""StackVAE-G as the exporter sees it."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.errors import UsageError
from edgekit.files import sha256_of
from edgekit.models.kv import KV
from edgekit.models.metrics import Drop, Metric, Predict, TaskMetrics
from edgekit.models.model import Method, Model, Request, custom_variant
from edgekit.models.settings import Setting, refuse_settings
from edgekit.models.shipped import shipped_or
from edgekit_runtime import detect_anomalies
from edgekit_runtime.detect_anomalies import FloatArray
from edgekit_runtime.series import Series
from edgekit_runtime.tensors import MethodSpec, TensorSpec

from .checkpoint import Checkpoint, load_checkpoint
from .data import Entity, load_entities
from .generator import generate_telemetry
from .inference import LastStepReconstruction, eager_reconstruct
from .metrics import evaluate_scores
from .module import StackVAEG
from .scoring import Reconstruct, score_windows

#: The shipped checkpoint's entity and where its data set keeps it, below EDGEKIT_DATA.
SHIPPED = "machine-2-1"
SHIPPED_DATA = Path("smd") / f"{SHIPPED}.npz"

#: Readings in the training windows that show the ranges of the last hidden features.
EQUALISED_READINGS = 1 << 23

#: Rows of generated telemetry where no data is at hand, and faults planted among them.
GENERATED_ROWS, GENERATED_FAULTS = 4000, 12


def load(request: Request) -> StackVAEGModel:
    """The model for a request; without a checkpoint, the one that ships."""
    if request.sizes:
        raise UsageError("stackvae-g takes no --size: its window and channels come with the checkpoint.")
    refuse_settings(request.settings, "stackvae-g")
    with shipped_or(request.checkpoint, "stackvae_g", SHIPPED) as path:
        checkpoint = load_checkpoint(path)
        entity, digest = _entity(request, checkpoint), sha256_of(path)
    # Every checkpoint has channels of its own.
    variant = "base" if request.checkpoint is None else custom_variant(request.checkpoint, ("base",))
    return StackVAEGModel(checkpoint, entity, request.batches, request.seed, digest, variant)


def list_settings() -> list[Setting]:
    """What `--set` takes at export: nothing."""
    return []


def _entity(request: Request, checkpoint: Checkpoint) -> Entity | None:
    """The entity that the checkpoint was trained on, if its data is at hand."""
    path = request.data
    if path is None and "EDGEKIT_DATA" in os.environ and checkpoint.training.get("data") == SHIPPED:
        path = Path(os.environ["EDGEKIT_DATA"]) / SHIPPED_DATA
        if not path.is_file():
            return None
    if path is None:
        return None
    entities = load_entities(path)
    return match_entity(entities, checkpoint, path).with_channels(checkpoint.channels)


def match_entity(entities: list[Entity], checkpoint: Checkpoint, path: Path) -> Entity:
    """The entity that the checkpoint was trained on; a single one is taken as it is."""
    if len(entities) == 1:
        return entities[0]
    trained_on = checkpoint.training.get("data")
    for entity in entities:
        if entity.name == trained_on:
            return entity
    raise UsageError(f"{path} holds {len(entities)} entities, none named {trained_on!r}: give the file of one.")


class _NewestStep(nn.Module):
    """The trained module, cut to the output that the device gives."""

    def __init__(self, trained: StackVAEG) -> None:
        super().__init__()
        self.trained = trained

    def forward(self, windows: Tensor) -> Tensor:
        reconstruction: Tensor = self.trained(windows)[..., -1]
        return reconstruction


class StackVAEGModel(Model):
    """One checkpoint, exported for some batch sizes."""

    name = "stackvae-g"
    # enc1 takes the readings: one step of int8 for all channels costs machine-2-1 more than 0.002 of ROC AUC.
    # newest has 201 parameters; int8 there would put a floor of one step under every residual.
    keep_fp32 = ("enc1", "newest")

    def __init__(
        self,
        checkpoint: Checkpoint,
        entity: Entity | None,
        batches: tuple[int, ...] = (1,),
        seed: int = 0,
        checkpoint_sha256: str | None = None,
        variant: str = "base",
    ) -> None:
        self.checkpoint = checkpoint
        self.entity = entity
        self.batches = batches
        self.seed = seed
        self.checkpoint_sha256 = checkpoint_sha256
        self._variant = variant
        self._reference = _NewestStep(checkpoint.module).eval()

    @property
    def variant(self) -> str:
        return self._variant

    @property
    def reference(self) -> nn.Module:
        return self._reference

    @cached_property
    def device_module(self) -> nn.Module:
        module = LastStepReconstruction(self.checkpoint.module).eval()
        config = self.checkpoint.config
        count = max(1, EQUALISED_READINGS // (config.channels * config.window))
        module.equalise(self._windows(self._train_rows, count, self.seed))
        return module

    def methods(self, kv: KV = "fp32") -> list[Method]:
        config = self.checkpoint.config
        methods = []
        for batch in self.batches:
            windows = TensorSpec("windows", (batch, config.channels, config.window), "float32", "scaled readings")
            newest = TensorSpec("reconstruction", (batch, config.channels), "float32", "scaled readings")
            spec = MethodSpec(f"forward_b{batch}" if len(self.batches) > 1 else "forward", (windows,), (newest,))
            methods.append(Method(spec, (torch.zeros(windows.shape),)))
        return methods

    def calibration(self, method: Method, count: int) -> list[tuple[Tensor, ...]]:
        return self._draw(self._train_rows, method, count, self.seed)

    def verification(self, method: Method, count: int) -> list[tuple[Tensor, ...]]:
        return self._draw(self._test_rows[0], method, count, self.seed + 1)

    def task_metrics(self, predict: Predict | None, samples: int | None = None) -> TaskMetrics | None:
        rows, labels = self._test_rows
        window = self.checkpoint.config.window
        if labels is None:
            return None
        count = len(rows) - window + 1
        kept = count if samples is None else min(samples, count)
        places = np.arange(kept) * count // max(kept, 1)
        wanted = labels[places + window - 1]
        if not wanted.any() or wanted.all():
            return None
        if predict is None:
            errors = score_windows(rows, window, eager_reconstruct(self.reference), places=places)
        else:
            errors = score_windows(rows, window, self._reconstruct(predict), self.batches[-1], places)
        found = evaluate_scores(errors.sum(axis=1), wanted)
        metrics = (
            Metric("ROC AUC", found.roc_auc),
            Metric("PR AUC", found.pr_auc),
            Metric("best F1", found.raw.f1),
            Metric("best F1, point-adjusted", found.adjusted.f1),
        )
        source = f"{self.entity.name}, test part" if self.entity else "generated telemetry with planted faults"
        return TaskMetrics(metrics, source, len(wanted), "rows")

    def max_drop(self, recipe: str, kv: KV = "fp32") -> Drop:
        return Drop(0.002)

    def _reconstruct(self, predict: Predict) -> Reconstruct:
        """The last method, with a last block that is too small filled up."""
        name, batch = self.methods()[-1].spec.name, self.batches[-1]

        def reconstruct(windows: FloatArray) -> FloatArray:
            missing = batch - len(windows)
            filled = np.concatenate([windows, np.repeat(windows[-1:], missing, axis=0)]) if missing else windows
            return np.asarray(predict(name, (filled,))[0])[: len(windows)]

        return reconstruct

    def pipeline(self) -> dict[str, Any]:
        return {"name": detect_anomalies.NAME, **self.checkpoint.detector().to_dict()}

    def describe(self) -> dict[str, Any]:
        return super().describe() | {
            "checkpoint_sha256": self.checkpoint_sha256,
            "trained_on": self.checkpoint.training.get("data"),
            "calibrated_on": self.entity.name if self.entity else "generated telemetry",
        }

    @cached_property
    def _train_rows(self) -> FloatArray:
        if self.entity is not None:
            return self._scaled(self.entity.train)
        return generate_telemetry(self.checkpoint.statistics, GENERATED_ROWS, self.seed).values

    @cached_property
    def _test_rows(self) -> tuple[FloatArray, np.ndarray | None]:
        """Scaled rows that training did not see, and their labels."""
        if self.entity is None:
            generated = generate_telemetry(
                self.checkpoint.statistics, GENERATED_ROWS, self.seed + 1, faults=GENERATED_FAULTS
            )
            return generated.values, generated.labels
        if self.entity.test is None:
            return self._train_rows, None
        return self._scaled(self.entity.test), self.entity.labels

    def _scaled(self, series: Series) -> FloatArray:
        return self.checkpoint.scaling(series.values)

    def _draw(self, rows: FloatArray, method: Method, count: int, seed: int) -> list[tuple[Tensor, ...]]:
        """`count` inputs of a method, windows at random places of scaled rows."""
        batch = method.spec.inputs[0].shape[0]
        return [(windows,) for windows in self._windows(rows, count * batch, seed).split(batch)]

    def _windows(self, rows: FloatArray, count: int, seed: int) -> Tensor:
        """Windows (count, C, w) at random places of scaled rows (T, C)."""
        window = self.checkpoint.config.window
        if len(rows) < window:
            raise UsageError(f"the data has {len(rows)} rows, at least {window} are needed for one window.")
        windows = np.lib.stride_tricks.sliding_window_view(rows, window, axis=0)
        places = np.random.default_rng(seed).integers(0, len(windows), count)
        return torch.from_numpy(np.ascontiguousarray(windows[places]))
