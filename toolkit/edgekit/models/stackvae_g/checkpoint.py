"""One file per trained StackVAE-G: weights, scaling, thresholds and training statistics as safetensors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.tensor_file import HEADER, read_tensor_file, write_tensor_file
from edgekit_runtime.detect_anomalies import Detector, Scaling

from .config import StackVAEGConfig
from .generator import TelemetryStatistics
from .module import StackVAEG
from .thresholds import Thresholds

FORMAT = "edgekit stackvae-g 1"
MAX_CHECKPOINT_BYTES = 1 << 30
#: The threshold that raises alarms unless the user asks for another.
DEFAULT_THRESHOLD = "pot"


@dataclass(frozen=True)
class Checkpoint:
    """A trained StackVAE-G and all that it needs to score raw readings.

    Attributes:
        module: the trained module, in eval mode.
        channels: C channel names.
        scaling: fitted on the training part only.
        thresholds: fitted on the training scores only.
        channel_thresholds: (C,) float32, fitted on the training errors of each channel.
        statistics: of the scaled training part, for samples where the data is not at hand.
        training: what it was trained on and how (data, epochs, seed), for the card.
    """

    module: StackVAEG
    channels: tuple[str, ...]
    scaling: Scaling
    thresholds: Thresholds
    channel_thresholds: np.ndarray
    statistics: TelemetryStatistics
    training: dict[str, Any]

    @property
    def config(self) -> StackVAEGConfig:
        return self.module.config

    def detector(self) -> Detector:
        """The settings of the anomaly pipeline, the learned graph's neighbours among them."""
        with torch.no_grad():
            edges = self.module.graph.edges().numpy()
        neighbours = tuple(
            tuple(int(other) for other in np.argsort(-row, kind="stable") if row[other] > 0 and other != index)
            for index, row in enumerate(edges)
        )
        return Detector(
            window=self.config.window,
            channels=self.channels,
            scaling=self.scaling,
            thresholds={"quantile": self.thresholds.quantile, "pot": self.thresholds.pot},
            threshold=DEFAULT_THRESHOLD,
            channel_thresholds=np.asarray(self.channel_thresholds, np.float32),
            neighbours=neighbours,
        )


_VECTORS = ("scaling.low", "scaling.range", "channel_thresholds")
_STATISTICS = ("mean", "std", "autocorrelation", "correlation")


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Writes the whole file or nothing."""
    tensors = {f"module.{name}": value.detach().contiguous() for name, value in checkpoint.module.state_dict().items()}
    tensors["scaling.low"] = torch.from_numpy(checkpoint.scaling.low)
    tensors["scaling.range"] = torch.from_numpy(checkpoint.scaling.range)
    tensors["channel_thresholds"] = torch.from_numpy(np.asarray(checkpoint.channel_thresholds, np.float32))
    for name in _STATISTICS:
        value = np.ascontiguousarray(getattr(checkpoint.statistics, name), np.float32)
        tensors[f"statistics.{name}"] = torch.from_numpy(value)
    header = {
        "format": FORMAT,
        "config": checkpoint.config.to_dict(),
        "channels": list(checkpoint.channels),
        "clip": list(checkpoint.scaling.clip),
        "thresholds": {"quantile": checkpoint.thresholds.quantile, "pot": checkpoint.thresholds.pot},
        "training": checkpoint.training,
    }
    write_tensor_file(path, tensors, header)


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint, checking every name and shape.

    Raises:
        UsageError: there is no such file.
        EdgekitError: the file is cut short, of another kind, or its tensors do not fit its configuration.
    """
    if not path.is_file():
        raise UsageError(f"there is no checkpoint {path}: give a .safetensors file written by `edgekit train`.")
    if path.stat().st_size > MAX_CHECKPOINT_BYTES:
        raise EdgekitError(f"the checkpoint {path} is larger than {MAX_CHECKPOINT_BYTES >> 30} GiB: not a StackVAE-G.")
    tensors, metadata = read_tensor_file(path, "the checkpoint", "copy or train it again")
    try:
        header = json.loads(metadata[HEADER])
        if header["format"] != FORMAT:
            raise KeyError("format")
        config = StackVAEGConfig.from_dict(header["config"])
        channels = tuple(str(name) for name in header["channels"])
        thresholds = Thresholds(float(header["thresholds"]["quantile"]), float(header["thresholds"]["pot"]))
        clip = (float(header["clip"][0]), float(header["clip"][1]))
        training = dict(header["training"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise EdgekitError(f"{path} is not a StackVAE-G checkpoint (its header lacks {error}): train one.") from error
    if len(channels) != config.channels:
        raise EdgekitError(
            f"the checkpoint {path} names {len(channels)} channels, its configuration has {config.channels}: "
            f"copy it again."
        )
    module = StackVAEG(config).eval().requires_grad_(False)
    expected = {f"module.{name}": tuple(value.shape) for name, value in module.state_dict().items()}
    count = config.channels
    expected |= dict.fromkeys(_VECTORS, (count,))
    expected |= {f"statistics.{name}": (count, count) if name == "correlation" else (count,) for name in _STATISTICS}
    _check_tensors(path, tensors, expected)
    module.load_state_dict({name: tensors[f"module.{name}"] for name in module.state_dict()}, strict=True)
    return Checkpoint(
        module=module,
        channels=channels,
        scaling=Scaling(tensors["scaling.low"].numpy(), tensors["scaling.range"].numpy(), clip),
        thresholds=thresholds,
        channel_thresholds=tensors["channel_thresholds"].numpy(),
        statistics=TelemetryStatistics(**{name: tensors[f"statistics.{name}"].numpy() for name in _STATISTICS}),
        training=training,
    )


def _check_tensors(path: Path, tensors: dict[str, torch.Tensor], expected: dict[str, tuple[int, ...]]) -> None:
    missing = sorted(set(expected) - set(tensors))
    unexpected = sorted(set(tensors) - set(expected))
    if missing or unexpected:
        kind, names = ("lacks", missing) if missing else ("has the unknown", unexpected)
        raise EdgekitError(f"the checkpoint {path} {kind} tensor {names[0]!r}: it belongs to another model or version.")
    for name, shape in expected.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
            raise EdgekitError(
                f"the checkpoint {path}: {name} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"float32 {shape} is needed for its configuration: it is damaged, or of another model."
            )
        if not torch.isfinite(tensor).all():
            raise EdgekitError(f"the checkpoint {path}: {name} has values that are not finite: train it again.")
