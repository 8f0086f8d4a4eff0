"""`edgekit train stackvae-g`: one checkpoint, card and picture of the graph per entity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, UsageError
from edgekit.files import write_text
from edgekit.models.settings import Setting, describe_settings, read_settings, settable
from edgekit.models.tasks import TrainRequest
from edgekit.models.training import alone, left_at_the_end

from .card import card_text
from .checkpoint import load_checkpoint, save_checkpoint
from .config import StackVAEGConfig
from .data import Entity, load_entities
from .evaluation import EAGER, result_rows
from .inference import eager_reconstruct
from .pictures import draw_graph
from .scoring import detect
from .training import EpochReport, TrainingOptions, progress_text, train

#: What `--set` changes; channels come with the data.
MODEL_SETTINGS = settable(StackVAEGConfig, ("channels",))
TRAINING_SETTINGS = settable(TrainingOptions, ("epochs", "seed"))


def list_settings() -> list[Setting]:
    """What `--set` takes at training."""
    shape = describe_settings(StackVAEGConfig, ("channels",))
    return [*shape, *describe_settings(TrainingOptions, ("epochs", "seed"))]


def train_entities(request: TrainRequest) -> list[Path]:
    """Trains every entity of the data that has no checkpoint yet; gives the checkpoints' paths.

    Raises:
        UsageError: an unknown setting, or an output that does not fit the number of entities.
        EdgekitError: the data does not fit, or training failed.
    """
    entities = load_entities(request.data)
    single = request.output.suffix == ".safetensors"
    if single and len(entities) > 1:
        raise UsageError(f"{request.data} holds {len(entities)} entities: give -o a folder, not one file.")
    paths = []
    for entity in entities:
        path = request.output if single else request.output / f"{entity.name}.safetensors"
        config, options = _settings(len(entity.train.channels), request)
        if path.exists() and not request.force and not left_at_the_end(_state(path), options.epochs):
            if single:
                raise UsageError(f"{path} exists: choose another file with -o, or train again with --force.")
            request.progress.say(f"{path} exists: skipped (--force trains it again).")
        else:
            with alone(path):
                _train_entity(entity, path, request, config, options)
        paths.append(path)
    return paths


def _state(path: Path) -> Path:
    return path.with_suffix(".state")


def _train_entity(
    entity: Entity, path: Path, request: TrainRequest, config: StackVAEGConfig, options: TrainingOptions
) -> None:
    state = _state(path)
    request.progress.start(entity.name, options.epochs, "epochs")
    done = 0

    def on_epoch(report: EpochReport) -> None:
        nonlocal done
        if not done and report.epoch > 1:
            request.progress.say(f"{entity.name}: goes on after epoch {report.epoch - 1}, from {state}")
        note = f"reconstruction {report.reconstruction:.3f}, graph {report.graph:.3f}"
        request.progress.step(note, report.epoch - done)
        done = report.epoch

    save_checkpoint(train(entity.train, config, options, state, entity.name, on_epoch), path)
    checkpoint = load_checkpoint(path)
    draw_graph(checkpoint, path.with_suffix(".graph.png"))
    rows: list[dict[str, Any]] = []
    if entity.test is not None and entity.labels is not None:
        detector = checkpoint.detector()
        detection = detect(entity.test.values, detector, eager_reconstruct(checkpoint.module))
        rows = result_rows(entity, detector, {EAGER: detection}, request.seed)
    write_text(path.with_suffix(".md"), card_text(entity, checkpoint, rows, _command(entity, request)))
    # Only now: a run that is stopped before its card is written goes on here.
    state.unlink(missing_ok=True)
    request.progress.done(f"trained, {path}")
    request.progress.say(f"{entity.name}: {progress_text(checkpoint.training['reconstruction'])}")


def _settings(channels: int, request: TrainRequest) -> tuple[StackVAEGConfig, TrainingOptions]:
    values = read_settings(request.settings, MODEL_SETTINGS | TRAINING_SETTINGS)
    shape = {name: value for name, value in values.items() if name in MODEL_SETTINGS}
    options = {name: value for name, value in values.items() if name in TRAINING_SETTINGS}
    if request.epochs is not None:
        options["epochs"] = request.epochs
    try:
        return StackVAEGConfig(channels=channels, **shape), TrainingOptions(seed=request.seed, **options)
    except EdgekitError as error:
        raise UsageError(str(error)) from error


def _command(entity: Entity, request: TrainRequest) -> str:
    """The command that repeats this training; the data's place is the reader's."""
    settings = "".join(f" --set {name}={value}" for name, value in sorted(request.settings.items()))
    epochs = f" --epochs {request.epochs}" if request.epochs is not None else ""
    output = request.output.name if request.output.suffix else "RUNS"
    return f"edgekit train stackvae-g --data {request.data.name} -o {output}{epochs} --seed {request.seed}{settings}"
