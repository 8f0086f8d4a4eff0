"""Training of one StackVAE-G on one entity: resumable after every epoch, repeatable from its seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgekit.errors import EdgekitError
from edgekit.models.training import Stateful, TrainingState, flushed_denormals
from edgekit_runtime.detect_anomalies import FloatArray, Scaling
from edgekit_runtime.series import Series

from .checkpoint import Checkpoint
from .config import StackVAEGConfig
from .generator import TelemetryStatistics
from .inference import LastStepReconstruction, eager_reconstruct
from .module import StackVAEG
from .scoring import score_windows
from .thresholds import fit_thresholds

#: Weight decay drives unused weights towards zero for ever. Below this they are set to zero: their products would be
#: denormals, which cost an x86 CPU tenfold time in every answer.
NEGLIGIBLE_WEIGHT = 1e-8
#: A loss below this share of what it was after four fifths of the epochs has not settled.
STILL_FALLING = 0.9
#: Quantile of a channel's training errors above which the channel counts as anomalous in the diagnosis.
CHANNEL_QUANTILE = 0.999
#: But never below a hundredth of the channel's range, squared: what never moved in training is no fault at 0.1 %.
CHANNEL_FLOOR = 1e-4


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; the defaults are the authors', but for the number of epochs (theirs: 256).

    Attributes:
        epochs: passes over the training windows.
        batch: windows per step.
        learning_rate: of Adam, at the start.
        weight_decay: of Adam.
        step_epochs: epochs after which the learning rate is lowered, again and again.
        step_factor: by which it is multiplied then.
        gradient_norm: gradients are clipped to it.
        seed: for everything random.
    """

    epochs: int = 30
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    step_epochs: int = 10
    step_factor: float = 0.8
    gradient_norm: float = 12.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("epochs", 1), ("batch", 1), ("step_epochs", 1), ("seed", 0), ("weight_decay", 0.0)):
            value = getattr(self, name)
            if not low <= value < math.inf:
                raise EdgekitError(f"training: {name} must be at least {low}, not {value}.")
        for name in ("learning_rate", "step_factor", "gradient_norm"):
            value = getattr(self, name)
            if not 0.0 < value < math.inf:
                raise EdgekitError(f"training: {name} must be finite and above 0, not {value}.")


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did: mean loss terms per window, and the graph's weight off its diagonal, in [0, 1]."""

    epoch: int
    epochs: int
    reconstruction: float
    kl: float
    graph: float
    off_diagonal: float


def train(
    series: Series,
    config: StackVAEGConfig,
    options: TrainingOptions,
    state_path: Path,
    source: str,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
) -> Checkpoint:
    """Trains on the readings of one entity, from the last finished epoch if `state_path` holds one.

    Args:
        series: raw training readings (T, C).
        config: shape of the model; its channels must be the series'.
        options: how to train.
        state_path: where the state is kept after every epoch; the caller removes it when the result is safe.
        source: the name of the data, for the card.
        on_epoch: called after every epoch.

    Raises:
        EdgekitError: the series is too short, or the state is of another run.
    """
    if len(series.values) < config.window + options.batch - 1:
        raise EdgekitError(
            f"{source} has {len(series.values)} rows: {config.window + options.batch - 1} are needed for one batch "
            f"of {options.batch} windows of {config.window} rows; give more rows, or --set window=... or batch=...."
        )
    with flushed_denormals():
        return _train(series, config, options, state_path, source, on_epoch)


def _train(
    series: Series,
    config: StackVAEGConfig,
    options: TrainingOptions,
    state_path: Path,
    source: str,
    on_epoch: Callable[[EpochReport], None],
) -> Checkpoint:
    scaling = Scaling.fit(series.values)
    scaled = torch.from_numpy(np.ascontiguousarray(scaling(series.values).T))
    windows = scaled.unfold(1, config.window, 1)  # (C, T - w + 1, w), a view

    generator = torch.Generator().manual_seed(options.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        module = StackVAEG(config)
    optimizer = torch.optim.Adam(module.parameters(), options.learning_rate, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, options.step_epochs, options.step_factor)
    run = {"config": config.to_dict(), "options": asdict(options), "rows": len(series.values), "source": source}
    parts: dict[str, Stateful] = {"module": module, "optimizer": optimizer, "schedule": schedule}
    state = TrainingState(run, generator, parts, {"history": []})

    for epoch in range(state.load(state_path), options.epochs):
        sums = torch.zeros(3, dtype=torch.float64)
        order = torch.randperm(windows.shape[1], generator=generator)
        batches = order[: len(order) - len(order) % options.batch].view(-1, options.batch)
        for chosen in batches:
            losses = module.losses(windows[:, chosen].transpose(0, 1), generator)
            optimizer.zero_grad()
            losses.total.backward()
            nn.utils.clip_grad_norm_(module.parameters(), options.gradient_norm)
            optimizer.step()
            sums += torch.stack([losses.reconstruction, losses.kl, losses.graph]).detach().double()
        schedule.step()
        means = [float(mean) for mean in sums / len(batches)]
        if not np.isfinite(means).all():
            raise EdgekitError(f"training on {source} diverged in epoch {epoch + 1}: lower the learning rate.")
        state.kept["history"].append(means[0])
        state.save(state_path, epoch + 1)
        with torch.no_grad():
            off_diagonal = 1.0 - float(module.graph().diagonal().mean())
        reconstruction, kl, graph = means
        on_epoch(EpochReport(epoch + 1, options.epochs, reconstruction, kl, graph, off_diagonal))

    history = [float(f"{loss:.4g}") for loss in state.kept["history"]]
    training = {**asdict(options), "data": source, "reconstruction": history}
    return _finish(module.eval().requires_grad_(False), series, scaling, training)


def progress_text(history: Sequence[float]) -> str:
    """One sentence on the mean reconstruction loss of every epoch; says when it was still falling at the end."""
    first, last, late = history[0], history[-1], history[-1 - max(1, len(history) // 5)] if len(history) > 1 else None
    text = f"reconstruction loss per window {first:.4g} in the first epoch, {last:.4g} in the last"
    if late is None or last < STILL_FALLING * late:
        return f"{text}, and still falling: more --epochs will help"
    return text


def _finish(module: StackVAEG, series: Series, scaling: Scaling, training: dict[str, Any]) -> Checkpoint:
    for parameter in module.parameters():
        parameter[parameter.abs() < NEGLIGIBLE_WEIGHT] = 0.0
    scaled: FloatArray = scaling(series.values)
    reconstruct = eager_reconstruct(LastStepReconstruction(module))
    errors = score_windows(scaled, module.config.window, reconstruct)
    with torch.no_grad():
        training["off_diagonal_mass"] = round(1.0 - float(module.graph().diagonal().mean()), 4)
    return Checkpoint(
        module=module,
        channels=series.channels,
        scaling=scaling,
        thresholds=fit_thresholds(errors.sum(axis=1)),
        channel_thresholds=np.maximum(np.quantile(errors, CHANNEL_QUANTILE, axis=0), CHANNEL_FLOOR).astype(np.float32),
        statistics=TelemetryStatistics.from_series(scaled),
        training=training,
    )
