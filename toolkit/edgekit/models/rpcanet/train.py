"""`edgekit train rpcanet`: one checkpoint and its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.errors import UsageError
from edgekit.files import write_text
from edgekit.models.settings import DEVICE, Setting, describe_settings, read_settings, settable
from edgekit.models.tasks import TrainRequest
from edgekit.models.torch_device import torch_device
from edgekit.models.training import alone, left_at_the_end

from .card import card_text
from .checkpoint import load_checkpoint, save_checkpoint
from .data import Dataset, load_dataset
from .evaluation import EAGER, eager_answer, result_row
from .metrics import score_frames
from .model import SHIPPED
from .module import RPCANet
from .training import EpochReport, TrainingOptions, train

#: What `--set` changes: how to train, and torch's name of the device to train on.
SETTINGS = settable(TrainingOptions, ("epochs", "seed")) | {"device": "str"}


def list_settings() -> list[Setting]:
    """What `--set` takes at training."""
    return [*describe_settings(TrainingOptions, ("epochs", "seed")), DEVICE]


def train_entities(request: TrainRequest) -> list[Path]:
    """Trains on the data's training part, unless the checkpoint is there; gives its path.

    Raises:
        UsageError: an unknown setting, settings that do not fit each other, too little data, or a file that is there.
        EdgekitError: a picture cannot be read, or training failed.
    """
    dataset = load_dataset(request.data)
    variant = request.variant or SHIPPED
    options, device = _settings(request)
    single = request.output.suffix == ".safetensors"
    path = request.output if single else request.output / f"{variant}.safetensors"
    state = path.with_suffix(".state")
    if path.exists() and not request.force and not left_at_the_end(state, options.epochs):
        if single:
            raise UsageError(f"{path} exists: choose another file with -o, or train again with --force.")
        request.progress.say(f"{path} exists: skipped (--force trains it again).")
        return [path]
    with alone(path):
        _train(dataset, variant, options, device, path, state, request)
    return [path]


def _train(
    dataset: Dataset,
    variant: str,
    options: TrainingOptions,
    device: str,
    path: Path,
    state: Path,
    request: TrainRequest,
) -> None:
    request.progress.start(f"rpcanet {variant}", options.epochs, "epochs")
    done = 0

    def on_epoch(report: EpochReport) -> None:
        nonlocal done
        note = f"soft IoU loss {report.soft_iou:.3f}, held-out IoU {100 * report.best_iou:.1f} % at best"
        request.progress.step(note, report.epoch - done)
        done = report.epoch

    pairs = dataset.part("train")
    save_checkpoint(train(pairs, variant, options, state, dataset.describe("train"), device, on_epoch), path)
    checkpoint = load_checkpoint(path)
    row = _test_row(checkpoint.module, dataset, options.size)
    write_text(path.with_suffix(".md"), card_text(checkpoint, row, _command(variant, request)))
    # Only now: a run that is stopped before its card is written goes on here.
    state.unlink(missing_ok=True)
    request.progress.done(f"trained, {path}")


def _settings(request: TrainRequest) -> tuple[TrainingOptions, str]:
    values = read_settings(request.settings, SETTINGS)
    device = torch_device(values.pop("device", None))
    if request.epochs is not None:
        values["epochs"] = request.epochs
    return TrainingOptions(seed=request.seed, **values), device


def _test_row(module: RPCANet, dataset: Dataset, size: tuple[int, int]) -> dict[str, Any] | None:
    """Metrics of the chosen weights on images that training did not see; None where there are none."""
    pairs = dataset.parts.get("test")
    if not pairs:
        return None
    return result_row(EAGER, size, score_frames((pair.load(size) for pair in pairs), eager_answer(module), 1))


def _command(variant: str, request: TrainRequest) -> str:
    """The command that repeats this training; the data's place is the reader's."""
    settings = "".join(f" --set {name}={value}" for name, value in sorted(request.settings.items()))
    epochs = f" --epochs {request.epochs}" if request.epochs is not None else ""
    data = request.data.resolve().name
    return f"edgekit train rpcanet --variant {variant} --data {data} -o RUNS{epochs} --seed {request.seed}{settings}"
