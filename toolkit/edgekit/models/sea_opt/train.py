"""`edgekit train sea-opt`: teacher, student and control, and the student's card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from edgekit.errors import EdgekitError, UsageError
from edgekit.files import write_text
from edgekit.models.settings import DEVICE, Setting, describe_settings, read_settings, settable
from edgekit.models.tasks import Progress, TrainRequest
from edgekit.models.torch_device import torch_device
from edgekit.models.training import OtherRunError, alone, differences, left_at_the_end
from edgekit.tokenizer import Tokenizer

from .card import card_text
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .config import VARIANTS, OPTConfig, SEAConfig, find_config, sea_config
from .data import Corpus, documents, hold_out, load_corpus
from .evaluation import result_rows, window_count
from .opt import OPT
from .training import STAGES, EpochReport, StageName, Streams, Trained, TrainingOptions, distil, train_teacher

#: What `--set` changes: OPT's shape (of a new teacher), SEA's, how to train, where, and from what.
OPT_SETTINGS = settable(OPTConfig)
SEA_SETTINGS = settable(SEAConfig, ("positions",))
TRAINING_SETTINGS = settable(TrainingOptions, ("epochs", "seed"))
OTHER_SETTINGS = {"device": "str", "teacher": "str", "tokenizer": "str"}


def list_settings() -> list[Setting]:
    """What `--set` takes at training."""
    return [
        *describe_settings(OPTConfig),
        *describe_settings(SEAConfig, ("positions",)),
        *describe_settings(TrainingOptions, ("epochs", "seed")),
        DEVICE,
        Setting("teacher", "text", "none", "a dense checkpoint to distil from, instead of training one."),
        Setting("tokenizer", "text", "none", "a folder with a tokenizer, instead of one that is trained on the text."),
    ]


@dataclass(frozen=True)
class Plan:
    """What the settings ask for.

    Attributes:
        opt: the shape of a new teacher; its vocabulary is at most this large.
        sea: changes of SEA's default shape.
        options: how to train.
        device: torch's name of it.
        teacher: a checkpoint instead of a new one, as a path or a hub's name.
        tokenizer: a folder instead of a vocabulary of the text.
    """

    opt: OPTConfig
    sea: dict[str, Any]
    options: TrainingOptions
    device: str
    teacher: str | None
    tokenizer: str | None


def train_entities(request: TrainRequest) -> list[Path]:
    """Trains, unless the student is there; gives the checkpoints' paths, the student's last.

    Raises:
        UsageError: an unknown setting, settings that do not fit each other, too little text, or a file that is there.
        EdgekitError: the teacher does not fit, or training failed.
    """
    plan = _plan(request)
    corpus = load_corpus(request.data)
    if not corpus.train:
        raise UsageError(f"{request.data} has texts to test on only, which are not trained on: give others.")
    single = request.output.suffix == ".safetensors"
    path = request.output if single else request.output / f"{request.variant or next(iter(VARIANTS))}.safetensors"
    stopped = left_at_the_end(_state(path, "student"), plan.options.epochs)
    if path.exists() and not request.force and not stopped:
        if single:
            raise UsageError(f"{path} exists: choose another file with -o, or train again with --force.")
        if differing := _differing(load_checkpoint(path), plan, corpus):
            raise UsageError(
                f"{path} was trained with other settings ({differing}): choose another folder with -o, "
                f"or train again with --force."
            )
        request.progress.say(f"{path} exists: skipped (--force trains it again).")
        return [path]
    with alone(path):
        return _train(plan, corpus, path, request)


def _train(plan: Plan, corpus: Corpus, path: Path, request: TrainRequest) -> list[Path]:
    try:
        checkpoints = _stages(plan, corpus, path, request.progress)
    except OtherRunError as error:
        states = [state for name in STAGES if (state := _state(path, name)).exists()]
        raise OtherRunError(error.path, error.differing, states) from error
    paths = {name: path if name == "student" else path.with_suffix(f".{name}.safetensors") for name in checkpoints}
    for name, checkpoint in checkpoints.items():
        save_checkpoint(checkpoint, paths[name])
    saved = {name: load_checkpoint(place) for name, place in paths.items()}
    for checkpoint in saved.values():
        checkpoint.module.to(plan.device)
    tested = corpus.test if corpus.test is not corpus.train else ()
    rows = [row for name, checkpoint in saved.items() for row in _measured(name, checkpoint, tested, request.progress)]
    write_text(path.with_suffix(".md"), card_text(saved["student"], rows, corpus.name, _command(request)))
    # Only now: a run that is stopped before its card is written goes on here.
    for name in STAGES:
        _state(path, name).unlink(missing_ok=True)
    return [*(place for name, place in paths.items() if name != "student"), path]


def _settings(plan: Plan, corpus: Corpus) -> dict[str, Any]:
    """What a training was asked for, for its checkpoints; the places of teacher and tokenizer do not matter."""
    shape = {} if plan.teacher is not None else asdict(plan.opt)
    names = {name: Path(given).name for name in ("teacher", "tokenizer") if (given := getattr(plan, name)) is not None}
    sea = {name: getattr(SEAConfig(), name) for name in ("cells", "k_budget")} | plan.sea
    return shape | sea | asdict(plan.options) | names | {"data": corpus.name}


def _differing(there: Checkpoint, plan: Plan, corpus: Corpus) -> str:
    """Which settings differ from those that a checkpoint was trained with."""
    asked = _settings(plan, corpus)
    made = there.training.get("settings")
    if made is None:
        # Checkpoints of older versions tell only these, and steps and context as they came out.
        asked = {name: value for name, value in asked.items() if name not in ("steps", "context")}
        made = {name: there.training[name] for name in asked if name in there.training}
        asked = {name: asked[name] for name in made}
    return differences(made, asked)


def _measured(
    name: StageName, checkpoint: Checkpoint, tested: Sequence[str], progress: Progress
) -> list[dict[str, Any]]:
    """Rows of the card's table; none where there is no test part."""
    if not tested:
        return []
    progress.start(f"sea-opt {name}", window_count(checkpoint, tested), "windows")
    rows = result_rows(name, checkpoint, tested, lambda done: progress.step("measuring on the test part", done))
    progress.done("measured")
    return rows


def _stages(plan: Plan, corpus: Corpus, path: Path, progress: Progress) -> dict[StageName, Checkpoint]:
    """Trains what is to be trained; the teacher is among the results only if it was."""
    given = None if plan.teacher is None else load_checkpoint(Path(plan.teacher))
    tokenizer = _tokenizer(plan, given, corpus)
    train, held_out = hold_out(documents(tokenizer, corpus.train), plan.options.held_out)
    streams = Streams(corpus.name, train, held_out)
    checkpoints: dict[StageName, Checkpoint] = {}

    def finish(trained: Trained, name: StageName) -> None:
        training = trained.training | {"settings": _settings(plan, corpus)}
        checkpoints[name] = Checkpoint(trained.module, tokenizer, training)
        progress.done(f"held-out perplexity {trained.training['held_out_perplexity']:.2f}")

    def follow(name: StageName, epochs: int) -> dict[str, Any]:
        progress.start(f"sea-opt {name}", epochs, "epochs")
        done = 0

        def on_begin(before: int) -> None:
            nonlocal done
            done = before
            if before == epochs:
                progress.say(f"{name}: finished before, all {epochs} epochs, as {_state(path, name)} has it")
            elif before:
                progress.say(f"{name}: goes on after epoch {before} of {epochs}, from {_state(path, name)}")
            progress.step("", before)

        def on_epoch(report: EpochReport) -> None:
            nonlocal done
            note = f"loss {report.loss:.3f}, held-out perplexity {report.perplexity:.2f}"
            progress.step(note, report.epoch - done)
            done = report.epoch

        return {"state_path": _state(path, name), "device": plan.device, "on_begin": on_begin, "on_epoch": on_epoch}

    if given is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.options.seed)
            module = OPT(replace(plan.opt, vocab_size=tokenizer.size), None, plan.options.dropout)
        kept = follow("teacher", plan.options.teacher_epochs)
        finish(train_teacher(module, streams, plan.options, **kept), "teacher")
    teacher = (given or checkpoints["teacher"]).module
    if teacher.sea is not None:
        raise UsageError(f"the teacher {plan.teacher} has SEA's attention: give a dense one.")
    sea = replace(sea_config(teacher.config), **plan.sea)
    students: tuple[tuple[StageName, SEAConfig | None], ...] = (("control", None), ("student", sea))
    for name, shape in students:
        kept = follow(name, plan.options.epochs)
        finish(distil(teacher, shape, streams, plan.options, **kept), name)
    return checkpoints


def _tokenizer(plan: Plan, given: Checkpoint | None, corpus: Corpus) -> Tokenizer:
    if plan.tokenizer is not None:
        tokenizer = Tokenizer.from_folder(Path(plan.tokenizer))
        if tokenizer is None:
            raise UsageError(f"{plan.tokenizer} has no tokenizer: vocab.json and merges.txt, or tokenizer.json.")
    elif given is not None:
        tokenizer = given.tokenizer
        if tokenizer is None:
            raise UsageError(f"the teacher {plan.teacher} has no tokenizer: give its folder with --set tokenizer=....")
    else:
        tokenizer = Tokenizer.train(corpus.train, plan.opt.vocab_size)
    if given is not None and tokenizer.size > given.module.config.vocab_size:
        raise UsageError(
            f"the tokenizer has {tokenizer.size} tokens, the teacher {given.module.config.vocab_size}: give its own."
        )
    return tokenizer


def _state(path: Path, name: StageName) -> Path:
    return path.with_suffix(f".{name}.state")


def _plan(request: TrainRequest) -> Plan:
    values = read_settings(request.settings, OPT_SETTINGS | SEA_SETTINGS | TRAINING_SETTINGS | OTHER_SETTINGS)
    device = torch_device(values.pop("device", None))
    teacher, tokenizer = (values.pop(name, None) for name in ("teacher", "tokenizer"))
    shape, sea, options = (
        {name: value for name, value in values.items() if name in known}
        for known in (OPT_SETTINGS, SEA_SETTINGS, TRAINING_SETTINGS)
    )
    if teacher is not None and (shape or request.variant is not None):
        raise UsageError("the teacher has its shape already: leave --variant and settings of OPT's shape out.")
    if "hidden_size" in shape:
        shape = {"word_embed_proj_dim": shape["hidden_size"], "ffn_dim": 4 * shape["hidden_size"]} | shape
    if request.epochs is not None:
        options["epochs"] = request.epochs
    try:
        opt = replace(find_config(request.variant or next(iter(VARIANTS))), **shape)
        replace(sea_config(opt), **sea)
        return Plan(opt, sea, TrainingOptions(seed=request.seed, **options), device, teacher, tokenizer)
    except EdgekitError as error:
        raise UsageError(str(error)) from error


def _command(request: TrainRequest) -> str:
    """The command that repeats this training; the places of data, teacher and tokenizer are the reader's."""
    given = {
        name: Path(value).name if name in ("teacher", "tokenizer") else value
        for name, value in request.settings.items()
    }
    settings = "".join(f" --set {name}={value}" for name, value in sorted(given.items()))
    variant = f" --variant {request.variant}" if request.variant else ""
    epochs = f" --epochs {request.epochs}" if request.epochs is not None else ""
    data = request.data.resolve().name
    return f"edgekit train sea-opt{variant} --data {data} -o RUNS{epochs} --seed {request.seed}{settings}"
