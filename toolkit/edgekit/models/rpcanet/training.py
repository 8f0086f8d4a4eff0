"""Training of one RPCANet: resumable after every epoch, repeatable from its seed.

The loss and the augmentation are the authors'; the crops, the running mean of the weights, and the choice of the
checkpoint on images held out of the training part, are ours (the authors train on whole frames, take the weights of one
step, and choose on the test part).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edgekit.errors import EdgekitError, UsageError
from edgekit.images import MIN_SIDE
from edgekit.models.training import TrainingState, flushed_denormals, kept_memory
from edgekit_runtime.images import Gray, Mask

from .checkpoint import CUSTOM, Checkpoint
from .config import RPCANetConfig, find_config
from .data import Pair
from .fast_conv import use_fast_convolutions
from .metrics import Scores, score
from .module import RPCANet

#: Weight of the restored image in the loss, and the constant that keeps the soft IoU finite.
RESTORATION_WEIGHT, SMOOTHING = 0.01, 1.0
#: Power of the polynomial decay of the learning rate.
DECAY_POWER = 0.9
#: Share of crops that have an object in the middle.
CENTRED = 0.5


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        epochs: passes over the training images.
        batch: images per step, 2 at least: the contrast prior normalises over them.
        learning_rate: of Adam, at the start; it falls to 0 as a polynomial.
        size: frame size (height, width) that images are resized to.
        crop: side of the square crops trained on; None for whole frames.
        whole_frames: epochs at the end that see whole frames instead of crops: the channel attention averages over
            what it is shown, and the model will be shown whole frames.
        average: share of the running mean of weights that stays at every step; the mean is what is scored and kept,
            for single steps of so small objects scatter. 0 for the weights themselves.
        held_out: images of the training part on which the checkpoint is chosen.
        validate_every: epochs between two looks at the held-out images.
        bfloat16: compute convolutions in bfloat16, for GPUs that are faster at it. Weights, losses and the held-out
            scores stay float32.
        seed: for everything random.
    """

    epochs: int = 150
    batch: int = 8
    learning_rate: float = 5e-4
    size: tuple[int, int] = (256, 256)
    crop: int | None = 128
    whole_frames: int = 10
    average: float = 0.995
    held_out: int = 40
    validate_every: int = 1
    bfloat16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch < 2 or self.epochs < 1 or self.validate_every < 1 or self.held_out < 1:
            raise UsageError(
                f"training needs a batch of 2 or more and at least one epoch and held-out image, "
                f"not batch {self.batch}, epochs {self.epochs}, held out {self.held_out}."
            )
        if not 0 < self.learning_rate < math.inf:
            raise UsageError(f"training needs a learning rate that is finite and above 0, not {self.learning_rate}.")
        if not 0 <= self.average < 1:
            raise UsageError(f"training needs an average of 0 or more and below 1, not {self.average}.")
        if self.whole_frames < 0:
            raise UsageError(f"training needs 0 or more epochs of whole frames, not {self.whole_frames}.")
        if min(self.size) < MIN_SIDE:
            raise UsageError(
                f"training needs frames of {MIN_SIDE}x{MIN_SIDE} or more, not {self.size[0]}x{self.size[1]}."
            )
        if self.crop is not None and not MIN_SIDE <= self.crop <= min(self.size):
            raise UsageError(f"crops of {self.crop} do not fit frames of {self.size[0]}x{self.size[1]}.")


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did: mean loss terms per image; scores on the held-out images, where they were looked at."""

    epoch: int
    epochs: int
    soft_iou: float
    restoration: float
    held_out: Scores | None
    best_iou: float
    best_epoch: int


class Losses(NamedTuple):
    """The terms of the training loss, scalar tensors."""

    soft_iou: Tensor
    restoration: Tensor

    @property
    def total(self) -> Tensor:
        return self.soft_iou + RESTORATION_WEIGHT * self.restoration


def losses(module: RPCANet, images: Tensor, masks: Tensor) -> Losses:
    """Soft IoU of the last stage's objects, and mean squared error of its restored image.

    Args:
        module: in training mode.
        images: (N, 1, H, W) float32.
        masks: (N, 1, H, W) float32, 0 or 1.
    """
    last = module.decompose(images)[-1]
    probability = torch.sigmoid(last.target)
    shared = (probability * masks).sum(dim=(1, 2, 3))
    either = (probability + masks).sum(dim=(1, 2, 3)) - shared
    soft_iou = 1 - ((shared + SMOOTHING) / (either + SMOOTHING)).mean()
    return Losses(soft_iou, (last.restored - images).square().mean())


def train(
    pairs: Sequence[Pair],
    variant: str | RPCANetConfig,
    options: TrainingOptions,
    state_path: Path,
    source: str,
    device: str = "cpu",
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
) -> Checkpoint:
    """Trains on images and masks, from the last finished epoch if `state_path` holds one.

    Args:
        pairs: the training part; some of it is held out.
        variant: by name, or a shape of one's own.
        options: how to train.
        state_path: where the state is kept after every epoch; the caller removes it when the result is safe.
        source: the name of the data, for the card.
        device: torch's name of it. On a CPU, convolutions in float32 are edgekit's.
        on_epoch: called after every epoch.

    Returns:
        The weights of the epoch that did best on the held-out images.

    Raises:
        UsageError: too few pairs.
        EdgekitError: a picture cannot be read, the state is of another run, or the loss is not finite.
    """
    if len(pairs) < options.held_out + options.batch:
        raise UsageError(
            f"{source} has {len(pairs)} pairs: {options.held_out} are held out and {options.batch} make one batch."
        )
    config, name = (find_config(variant), variant) if isinstance(variant, str) else (variant, CUSTOM)
    with flushed_denormals(), kept_memory():
        module, training = _train(pairs, config, options, state_path, source, device, on_epoch)
    return Checkpoint(module, name, training)


def _train(
    pairs: Sequence[Pair],
    config: RPCANetConfig,
    options: TrainingOptions,
    state_path: Path,
    source: str,
    device: str,
    on_epoch: Callable[[EpochReport], None],
) -> tuple[RPCANet, dict[str, Any]]:
    generator = torch.Generator().manual_seed(options.seed)
    order = torch.randperm(len(pairs), generator=generator).tolist()
    held_out = load_pairs([pairs[index] for index in sorted(order[: options.held_out])], options.size)
    training = load_pairs([pairs[index] for index in sorted(order[options.held_out :])], options.size)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        module = RPCANet(config)
    if device != "cpu":
        module = module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    elif not options.bfloat16:
        use_fast_convolutions(module)
    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(options.average), use_buffers=True)
    averaged: RPCANet = average.module  # type: ignore[assignment]
    optimizer = torch.optim.Adam(module.parameters(), options.learning_rate)
    run = {"config": asdict(config), "options": asdict(options), "images": len(pairs), "source": source}
    kept: dict[str, Any] = {"best": {}, "best_iou": -1.0, "best_epoch": 0}
    state = TrainingState(run, generator, {"module": module, "average": average, "optimizer": optimizer}, kept)
    done = state.load(state_path)

    steps = len(_batches(len(training.images), options.batch))
    for epoch in range(done, options.epochs):
        module.train()
        crop = options.crop if epoch < options.epochs - options.whole_frames else None
        sums = torch.zeros(2, dtype=torch.float64)
        shuffled = torch.randperm(len(training.images), generator=generator)
        for step, places in enumerate(_batches(len(shuffled), options.batch)):
            share = (epoch * steps + step) / (options.epochs * steps)
            for group in optimizer.param_groups:
                group["lr"] = options.learning_rate * (1 - share) ** DECAY_POWER
            images, masks = _augmented(training, shuffled[places], crop, generator)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=options.bfloat16):
                found = losses(module, images.to(device), masks.to(device))
            optimizer.zero_grad()
            found.total.backward()
            optimizer.step()
            average.update_parameters(module)
            sums += torch.stack([found.soft_iou, found.restoration]).detach().cpu().double()
        soft_iou, restoration = (sums / steps).tolist()
        if not np.isfinite([soft_iou, restoration]).all():
            raise EdgekitError(f"training on {source} diverged in epoch {epoch + 1}: lower the learning rate.")
        scores = None
        if (epoch + 1) % options.validate_every == 0 or epoch + 1 == options.epochs:
            scores = evaluate(averaged, held_out, device)
            if scores.iou > state.kept["best_iou"]:
                best = copy.deepcopy(averaged.state_dict())
                state.kept = {"best": best, "best_iou": scores.iou, "best_epoch": epoch + 1}
        state.save(state_path, epoch + 1)
        chosen = (state.kept["best_iou"], state.kept["best_epoch"])
        on_epoch(EpochReport(epoch + 1, options.epochs, soft_iou, restoration, scores, *chosen))

    result = RPCANet(config).eval().requires_grad_(False)
    result.load_state_dict(state.kept["best"])
    card = {**asdict(options), "data": source, "images": len(training.images), "device": device}
    return result, card | {"epoch": state.kept["best_epoch"], "held_out_iou": round(state.kept["best_iou"], 6)}


class Images(NamedTuple):
    """Images (N, 1, H, W) float32 in [0, 1] and masks (N, 1, H, W) bool, in memory."""

    images: Tensor
    masks: Tensor


def evaluate(module: RPCANet, data: Images, device: str = "cpu") -> Scores:
    """Scores of a module, one image at a time."""
    module.eval()

    def answers() -> Iterator[tuple[Gray, Mask]]:
        for image, mask in zip(data.images, data.masks, strict=True):
            with torch.no_grad():
                logits = module(image[None].to(device))
            yield logits[0, 0].cpu().numpy(), mask[0].numpy()

    return score(answers())


def load_pairs(pairs: Sequence[Pair], size: tuple[int, int]) -> Images:
    """Images and masks of pairs at one size."""
    loaded = [pair.load(size) for pair in pairs]
    images = torch.from_numpy(np.stack([image for image, _ in loaded]))
    masks = torch.from_numpy(np.stack([mask for _, mask in loaded]))
    return Images(images[:, None], masks[:, None])


def _batches(count: int, batch: int) -> list[slice]:
    """Slices of `batch` images; a last one of a single image is left out, for it has no batch statistics."""
    slices = [slice(start, min(start + batch, count)) for start in range(0, count, batch)]
    return [places for places in slices if places.stop - places.start > 1]


def _augmented(data: Images, chosen: Tensor, crop: int | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Crops of the chosen images, each flipped and transposed or not: (N, 1, h, w) float32, twice."""
    images, masks = [], []
    for index in chosen.tolist():
        image, mask = data.images[index], data.masks[index]
        if crop is not None:
            top, left = _corner(mask[0], crop, generator)
            image, mask = (part[:, top : top + crop, left : left + crop] for part in (image, mask))
        both = torch.cat([image, mask.float()])
        down, across, turned = (torch.rand(3, generator=generator) < 0.5).tolist()
        flipped = [axis for axis, wanted in ((1, down), (2, across)) if wanted]
        both = both.flip(flipped) if flipped else both
        # A frame that is not square has no transpose of its own size.
        both = both.transpose(1, 2) if turned and both.shape[1] == both.shape[2] else both
        images.append(both[:1])
        masks.append(both[1:])
    return torch.stack(images), torch.stack(masks)


def _corner(mask: Tensor, crop: int, generator: torch.Generator) -> tuple[int, int]:
    """Top and left of a crop of a frame (H, W): around a random pixel of an object, or anywhere."""
    height, width = mask.shape
    centred = torch.rand(1, generator=generator).item() < CENTRED
    objects = mask.nonzero()
    if centred and len(objects):
        row, column = objects[torch.randint(len(objects), (1,), generator=generator)][0].tolist()
        return (
            min(max(row - crop // 2, 0), height - crop),
            min(max(column - crop // 2, 0), width - crop),
        )
    top, left = (torch.randint(side - crop + 1, (1,), generator=generator).item() for side in (height, width))
    return int(top), int(left)
