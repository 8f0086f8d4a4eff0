"""`edgekit explain fit`: from a checkpoint and a text to a dictionary with its card."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgekit.errors import EdgekitError, UsageError
from edgekit.files import check_writable, write_text
from edgekit.models.features.dictionary import (
    MAX_FEATURES,
    MAX_LAYERS,
    Dictionary,
    Feature,
    LayerDictionary,
    fingerprint,
    load_dictionary,
    save_dictionary,
    unit_atoms,
)
from edgekit.models.sea_opt.checkpoint import SHIPPED, load_checkpoint
from edgekit.models.sea_opt.data import load_corpus
from edgekit.models.sea_opt.opt import OPT
from edgekit.models.shipped import shipped_or
from edgekit.models.tasks import Progress
from edgekit.models.training import OtherRunError, alone, left_at_the_end
from edgekit.tokenizer import Tokenizer

from .activations import Gathered, Vectors, Windows, check_layers, gathered, make_windows
from .card import card_text
from .concepts import training_text
from .factorize import Factors, Iteration, factorize
from .hierarchy import build_levels, collapsed, duplicates
from .labels import label_features
from .options import FitOptions
from .steering import calibrate

#: Iterations between two notes of how far a fit is.
NOTE_EVERY = 25
#: Tokens of a feature below which a fit is said to have little text.
FEW_TOKENS = 20


@dataclass(frozen=True)
class FitRequest:
    """What to fit.

    Attributes:
        checkpoint: None for the one that ships.
        data: a text file, or a folder of them, of which those named test are left out.
        layers: from 1.
        options: how.
        device: torch's name of it.
        output: the dictionary's file.
        force: replace it where it exists.
        command: that was given, for the card.
        progress: told of everything that takes time.
    """

    checkpoint: Path | None
    data: Path
    layers: tuple[int, ...]
    options: FitOptions
    device: str
    output: Path
    force: bool
    command: str
    progress: Progress


def fit_dictionary(request: FitRequest) -> Dictionary:
    """Fits, names and calibrates the features; writes the dictionary and a card beside it, and gives it as it is read.

    A fit that was stopped goes on where it was, with the same bits as if it had not been: each layer's state lies
    beside the output until that is written.

    Raises:
        UsageError: the output exists, a layer is not there, there is too little text, or the state is of another run.
        EdgekitError: the checkpoint or the text does not fit, or a layer is dead on this text.
    """
    options = request.options
    layers = sorted(set(request.layers))
    _check_output(request, layers)
    if options.features > MAX_FEATURES or not 1 <= len(layers) <= MAX_LAYERS:
        raise UsageError(f"a dictionary has 1 to {MAX_LAYERS} layers of at most {MAX_FEATURES} features.")
    with alone(request.output):
        return _fit(request, layers)


def _fit(request: FitRequest, layers: Sequence[int]) -> Dictionary:
    options, progress = request.options, request.progress
    corpus = load_corpus(request.data)
    if not corpus.train:
        raise UsageError(f"{request.data} has texts to test on only, which nothing is fitted to: give others.")
    with shipped_or(request.checkpoint, *SHIPPED) as path:
        checkpoint = load_checkpoint(path)
    opt, tokenizer = checkpoint.module, checkpoint.tokenizer
    if tokenizer is None:
        raise EdgekitError("the checkpoint has no tokenizer: put vocab.json and merges.txt, or tokenizer.json, in it.")
    check_layers(opt, layers)
    windows = _windows(opt, tokenizer, corpus.train, options)
    tokens = windows.tokens
    if options.features > len(tokens):
        raise UsageError(
            f"{options.features} features of {len(tokens)} tokens: give more text, or fewer features with --features."
        )
    if len(tokens) < FEW_TOKENS * options.features:
        progress.say(
            f"Warning: {len(tokens)} tokens for {options.features} features are few: {FEW_TOKENS} a feature or more "
            f"tell them apart."
        )
    model_sha256 = fingerprint(opt)
    opt.to(request.device)
    run = {
        "model": model_sha256,
        "options": {name: value for name, value in asdict(options).items() if name != "levels"},
        "text": _digest(tokens, windows.starts),
    }
    progress.start("activations", len(windows.inputs), "windows")
    place = request.output.with_name(f".{request.output.name}.activations")
    with gathered(opt, windows, layers, place, lambda count: progress.step("", count)) as found:
        progress.done(f"{len(tokens):,} tokens")
        factors = {layer: _factorize(request, layer, found, run) for layer in layers}
    made = _name(request, opt, tokenizer, windows, factors, found)
    fit = {
        "data": corpus.name,
        "tokens": len(tokens),
        "model": (request.checkpoint or Path(SHIPPED[1])).name,
        "device": torch.device(request.device).type,
        "layers": [rows for _, rows in made],
        **{name: value for name, value in asdict(options).items() if name != "tokens"},
    }
    save_dictionary(Dictionary(model_sha256, tuple(layer for layer, _ in made), fit), request.output)
    dictionary = load_dictionary(request.output)
    write_text(request.output.with_suffix(".md"), card_text(dictionary, request.command))
    # Only now: a run that is stopped before its card is written goes on here.
    for layer in layers:
        _state(request.output, layer).unlink(missing_ok=True)
    return dictionary


def _check_output(request: FitRequest, layers: Sequence[int]) -> None:
    if request.output.suffix != ".safetensors":
        raise UsageError(f"{request.output} is no name of a dictionary: let it end in .safetensors.")
    stopped = all(left_at_the_end(_state(request.output, layer), request.options.iterations) for layer in layers)
    if request.output.exists() and not request.force and not stopped:
        raise UsageError(f"{request.output} exists: choose another file with -o, or fit again with --force.")
    check_writable(request.output)


def _windows(opt: OPT, tokenizer: Tokenizer, texts: Sequence[str], options: FitOptions) -> Windows:
    """Those of the text, then those of the concepts' sentences."""
    longest = opt.config.max_position_embeddings
    context = options.context or longest
    if context > longest:
        raise UsageError(f"windows of {context} tokens do not fit a model for {longest}: set context lower.")
    windows = make_windows(tokenizer, texts, context, options.tokens)
    if not options.concepts:
        return windows
    planted = make_windows(tokenizer, [training_text()], context)
    return replace(windows, inputs=windows.inputs + options.concepts * planted.inputs)


def _factorize(request: FitRequest, layer: int, found: Gathered, run: dict[str, Any]) -> Factors:
    progress, iterations = request.progress, request.options.iterations
    state = _state(request.output, layer)
    progress.start(f"layer {layer}", iterations, "iterations")
    told = 0

    def on_begin(done: int) -> None:
        nonlocal told
        told = done
        if done:
            progress.say(f"Layer {layer} goes on after iteration {done}, from {state}")
        progress.step("", done)

    def on_iteration(report: Iteration) -> None:
        nonlocal told
        if report.iteration % NOTE_EVERY == 0 or report.iteration == iterations:
            progress.step(f"{100 * report.unexplained:.2f} % unexplained, {report.dead} dead", report.iteration - told)
            told = report.iteration

    try:
        factors = factorize(
            Vectors(found.values[layer], request.device),
            request.options,
            state_path=state,
            run={**run, "layer": layer},
            on_begin=on_begin,
            on_iteration=on_iteration,
        )
    except OtherRunError as error:
        there = request.output.parent.glob(f"{request.output.stem}.layer*.state")
        raise OtherRunError(error.path, error.differing, sorted(there)) from error
    except EdgekitError as error:
        raise type(error)(f"layer {layer}: {error}") from error
    progress.done(f"{100 * factors.unexplained:.2f} % unexplained")
    return factors


def _name(
    request: FitRequest,
    opt: OPT,
    tokenizer: Tokenizer,
    windows: Windows,
    factors: dict[int, Factors],
    found: Gathered,
) -> list[tuple[LayerDictionary, dict[str, Any]]]:
    """Layers with all that is known of their features, and what a card says of each; all have as many features."""
    options, progress = request.options, request.progress
    count = min(len(one.atoms.T) for one in factors.values())
    tokens, starts = windows.tokens, windows.starts
    made = []
    for layer, one in factors.items():
        # As they will be loaded: everything is measured with the rounded ones.
        atoms, _ = unit_atoms(one.atoms[:, :count].cpu().half().float())
        coefficients = one.coefficients[:, :count].cpu().T.contiguous()

        def label(atoms: Tensor, coefficients: Tensor, layer: int = layer) -> tuple[Feature, ...]:
            return label_features(opt, tokenizer, layer, atoms, coefficients, tokens, starts)

        levels = build_levels(atoms, options)
        labels = tuple(
            tuple(parent.label for parent in label(level.atoms, above))
            for level, above in zip(levels, collapsed(levels, coefficients), strict=True)
        )
        features = calibrate(opt, tokenizer, layer, label(atoms, coefficients), atoms, progress)
        facts = {
            "layer": layer,
            "unexplained": one.unexplained,
            "iterations": one.iterations,
            "best_iteration": one.best_iteration,
            "dropped_features": options.features - count,
            "dead_features": one.dead,
            "dead_neurons": found.dead[layer],
            "constant_neurons": found.constant[layer],
            "duplicates": duplicates(atoms),
            "levels": [[len(level.weights), level.unexplained] for level in levels],
        }
        weights = tuple(level.weights for level in levels)
        made.append((LayerDictionary(layer, atoms, features, weights, labels), facts))
        _say(facts, progress.say)
    return made


def _say(facts: dict[str, Any], say: Callable[[str], None]) -> None:
    """What a user should know of a layer that is not in the table."""
    layer = facts["layer"]
    if facts["dropped_features"]:
        say(
            f"Layer {layer}: {facts['dropped_features']} features were dropped, {facts['dead_features']} of them as no "
            f"token has them (all layers have as many): give more text, or fewer features."
        )
    if facts["dead_neurons"] or facts["constant_neurons"]:
        say(
            f"Layer {layer}: {facts['dead_neurons']} neurons are 0 at every token, {facts['constant_neurons']} are the "
            f"same at every token: no feature tells anything of them."
        )
    if facts["duplicates"]:
        pairs = ", ".join(f"{first} and {second}" for first, second in facts["duplicates"][:5])
        more = ", ..." if len(facts["duplicates"]) > 5 else ""
        say(f"Layer {layer}: features {pairs}{more} are nearly the same (|cos| above 0.98).")


def _state(output: Path, layer: int) -> Path:
    return output.with_suffix(f".layer{layer}.state")


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
