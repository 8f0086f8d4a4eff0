"""Training of SEA-OPT in stages: a dense teacher, the SEA student distilled from it, and a dense control.

Student and control start from the teacher, see the same windows in the same order, and have the same losses but for
attention's, so that attention is all that differs between them. Every stage is resumable after every epoch and
repeatable from its seed; it keeps the weights of the epoch that did best on what is held out.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.training import TrainingState, flushed_denormals

from .config import SEAConfig
from .losses import Losses, distillation_losses, task_loss
from .opt import OPT
from .perplexity import likelihood

StageName = Literal["teacher", "student", "control"]
STAGES: tuple[StageName, ...] = ("teacher", "student", "control")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; the defaults are for a small model trained from nothing.

    The authors distil published OPTs with a base rate of 1e-5: rates of 2e-6 and 1e-4 (estimator) without decay, for
    10,000 steps of 32 windows of 2048 tokens.

    Attributes:
        epochs: of student and control; an epoch has as many tokens as the text.
        teacher_epochs: of the teacher, where it is not given.
        steps: steps of an epoch instead of a pass over the text.
        batch: windows per step, at random places of the text.
        context: tokens of a window; None for the longest that the model takes.
        teacher_learning_rate: of AdamW.
        learning_rate: of OPT's own weights in student and control.
        estimator_learning_rate: of the estimator.
        decay: let rates fall to 0 along a half cosine; otherwise they are constant after the warm-up.
        warm_up: share of the steps in which rates rise from 0.
        weight_decay: of all parameters but biases.
        gradient_norm: gradients are clipped to it.
        dropout: of what attention and feed-forward add, in every stage.
        held_out: last share of every text, on which the epoch is chosen.
        recompute: keep only hidden states between layers and compute a layer again for its gradient: less memory, a
            third more time.
        seed: for everything random.
    """

    epochs: int = 10
    teacher_epochs: int = 20
    steps: int | None = None
    batch: int = 4
    context: int | None = None
    teacher_learning_rate: float = 1e-3
    learning_rate: float = 2e-4
    estimator_learning_rate: float = 1e-3
    decay: bool = True
    warm_up: float = 0.05
    weight_decay: float = 1e-2
    gradient_norm: float = 1.0
    dropout: float = 0.1
    held_out: float = 0.03
    recompute: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "teacher_epochs", "steps", "batch", "context"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"training needs {name} of at least 1, not {value}.")
        for name in ("teacher_learning_rate", "learning_rate", "estimator_learning_rate", "gradient_norm"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise UsageError(f"training needs a {name} that is finite and above 0, not {value}.")
        for name in ("warm_up", "dropout", "held_out"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise UsageError(f"training needs a {name} of 0 or more and below 1, not {value}.")
        if self.held_out == 0 or not 0 <= self.weight_decay < math.inf:
            raise UsageError(
                f"training needs a held_out above 0 and a weight_decay of 0 or more, "
                f"not {self.held_out} and {self.weight_decay}."
            )


@dataclass(frozen=True)
class Streams:
    """Tokens (n,) int64 to train on and held out, and the data's name."""

    source: str
    train: Tensor
    held_out: Tensor


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did: mean of the total loss, held-out perplexity, and the best so far."""

    stage: StageName
    epoch: int
    epochs: int
    loss: float
    perplexity: float
    best_perplexity: float
    best_epoch: int


@dataclass(frozen=True)
class Trained:
    """A stage's result.

    Attributes:
        module: with the weights of the best epoch, in eval mode on the CPU, without gradients.
        training: what a card says of it.
    """

    module: OPT
    training: dict[str, Any]


def steps_per_epoch(options: TrainingOptions, streams: Streams, context: int) -> int:
    """Steps that see as many tokens as there are, or as many as the options say."""
    return options.steps or max(1, len(streams.train) // (options.batch * context))


def train_teacher(
    module: OPT,
    streams: Streams,
    options: TrainingOptions,
    state_path: Path,
    device: str = "cpu",
    on_begin: Callable[[int], None] = lambda done: None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
) -> Trained:
    """Trains a dense module, given with new weights, on next tokens; see `distil` for the arguments."""
    return _train("teacher", module, None, streams, options, state_path, device, on_begin, on_epoch)


def distil(
    teacher: OPT,
    sea: SEAConfig | None,
    streams: Streams,
    options: TrainingOptions,
    state_path: Path,
    device: str = "cpu",
    on_begin: Callable[[int], None] = lambda done: None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
) -> Trained:
    """Trains a student from a teacher, from the last finished epoch if `state_path` holds one.

    Args:
        teacher: dense, in eval mode.
        sea: SEA's shape; None for the dense control.
        streams: tokens.
        options: how to train.
        state_path: where the state is kept after every epoch; the caller removes it when the result is safe.
        device: torch's name of it.
        on_begin: told before the first epoch how many an earlier run has done.
        on_epoch: called after every epoch.

    Raises:
        UsageError: too few tokens, or windows that the model does not take.
        EdgekitError: the state is of another run, or the loss is not finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        module = OPT(teacher.config, sea, options.dropout)
    module.load_state_dict(teacher.state_dict(), strict=False)
    return _train(
        "student" if sea else "control", module, teacher, streams, options, state_path, device, on_begin, on_epoch
    )


def _train(
    stage: StageName,
    module: OPT,
    teacher: OPT | None,
    streams: Streams,
    options: TrainingOptions,
    state_path: Path,
    device: str,
    on_begin: Callable[[int], None],
    on_epoch: Callable[[EpochReport], None],
) -> Trained:
    longest = module.config.max_position_embeddings
    context = options.context or longest
    if context > longest:
        raise UsageError(f"windows of {context} tokens do not fit a model for {longest}: set context lower.")
    for part, tokens, least in (("to train on", streams.train, context + 1), ("held out", streams.held_out, 2)):
        if len(tokens) < least:
            raise UsageError(
                f"{streams.source} has {len(tokens)} tokens {part}, {least} or more are needed: "
                f"give more text, or set context lower."
            )
    with flushed_denormals():
        return _run(stage, module, teacher, streams, options, context, state_path, device, on_begin, on_epoch)


def _run(
    stage: StageName,
    module: OPT,
    teacher: OPT | None,
    streams: Streams,
    options: TrainingOptions,
    context: int,
    state_path: Path,
    device: str,
    on_begin: Callable[[int], None],
    on_epoch: Callable[[EpochReport], None],
) -> Trained:
    generator = torch.Generator().manual_seed(options.seed)
    module = module.to(device).requires_grad_(True)
    teacher = None if teacher is None else copy.deepcopy(teacher).to(device)
    optimizer = torch.optim.AdamW(_groups(module, stage, options))
    rates = [group["lr"] for group in optimizer.param_groups]
    epochs = options.teacher_epochs if teacher is None else options.epochs
    steps = steps_per_epoch(options, streams, context)
    run = {
        "stage": stage,
        "opt": module.config.to_dict(),
        "sea": module.sea.to_dict() if module.sea else None,
        "options": asdict(options),
        "source": streams.source,
        "tokens": _digest(streams.train, streams.held_out),
        "teacher": None if teacher is None else _digest(*teacher.state_dict().values()),
    }
    kept: dict[str, Any] = {"best": {}, "best_perplexity": math.inf, "best_epoch": 0}
    state = TrainingState(run, generator, {"module": module, "optimizer": optimizer}, kept)

    begun = state.load(state_path)
    on_begin(begun)
    for epoch in range(begun, epochs):
        total = 0.0
        module.train()
        for step in range(steps):
            factor = _factor((epoch * steps + step) / (epochs * steps), options)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            tokens, targets = (part.to(device) for part in _windows(streams.train, context, options.batch, generator))
            with _dropout_of(generator):
                found = _losses(module, teacher, tokens, targets, options.recompute)
                optimizer.zero_grad()
                found.total.backward()
            nn.utils.clip_grad_norm_(module.parameters(), options.gradient_norm)
            optimizer.step()
            total += found.total.item()
        module.eval()
        perplexity = likelihood(module, streams.held_out, context).perplexity
        if not math.isfinite(total) or not math.isfinite(perplexity):
            raise EdgekitError(f"training on {streams.source} diverged in epoch {epoch + 1}: lower the learning rate.")
        if perplexity < state.kept["best_perplexity"]:
            best = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
            state.kept = {"best": best, "best_perplexity": perplexity, "best_epoch": epoch + 1}
        state.save(state_path, epoch + 1)
        chosen = (state.kept["best_perplexity"], state.kept["best_epoch"])
        on_epoch(EpochReport(stage, epoch + 1, epochs, total / steps, perplexity, *chosen))

    result = module.to("cpu").eval().requires_grad_(False)
    result.load_state_dict(state.kept["best"])
    training = asdict(options) | {
        "stage": stage,
        "data": streams.source,
        "tokens": len(streams.train),
        "context": context,
        "steps": epochs * steps,
        "epoch": state.kept["best_epoch"],
        "epochs": epochs,
        "held_out_perplexity": round(state.kept["best_perplexity"], 4),
        "device": device,
    }
    return Trained(result, training)


def _losses(module: OPT, teacher: OPT | None, tokens: Tensor, targets: Tensor, recompute: bool) -> Losses:
    if teacher is None:
        return task_loss(module, tokens, targets, recompute)
    return distillation_losses(module, teacher, tokens, targets, recompute)


def _groups(module: OPT, stage: StageName, options: TrainingOptions) -> list[dict[str, Any]]:
    """Parameters by rate and decay, for AdamW."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if "perlin" in name:
            rate = options.estimator_learning_rate
        else:
            rate = options.teacher_learning_rate if stage == "teacher" else options.learning_rate
        decay = 0.0 if name.endswith(".bias") else options.weight_decay
        groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in groups.items()]


def _factor(share: float, options: TrainingOptions) -> float:
    """By how much rates are lowered when a share of the steps is done."""
    if share < options.warm_up:
        return (share + 1e-3) / (options.warm_up + 1e-3)
    if not options.decay:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (share - options.warm_up) / (1 - options.warm_up)))


def _windows(tokens: Tensor, context: int, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs and targets (batch, context) at random places."""
    places = torch.randint(len(tokens) - context, (batch,), generator=generator)
    taken = torch.stack([tokens[place : place + context + 1] for place in places.tolist()])
    return taken[:, :-1], taken[:, 1:]


@contextmanager
def _dropout_of(generator: torch.Generator) -> Iterator[None]:
    """Lets torch's own random numbers, which dropout takes, follow from the generator; restores them."""
    seed = int(torch.randint(1 << 62, (1,), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
