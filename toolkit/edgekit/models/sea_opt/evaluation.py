"""Perplexity of SEA-OPT on text: the eager model, at several budgets k where it has SEA's attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.settings import DEVICE, Setting, read_settings
from edgekit.models.shipped import shipped_or
from edgekit.models.tasks import EvaluateRequest, Evaluation, Progress, ResultTable
from edgekit.models.torch_device import torch_device
from edgekit_runtime import Session
from edgekit_runtime.generate import TextGenerator

from .checkpoint import SHIPPED, Checkpoint, load_checkpoint
from .config import find_config
from .data import load_corpus, token_stream
from .model import SEAOPTModel
from .perplexity import Likelihood, count_words, likelihood, program_likelihood, windows

COLUMNS = {
    "system": "system",
    "k": "k",
    "context": "context",
    "tokens": "tokens",
    "perplexity": "perplexity per token",
    "words": "words",
    "word_perplexity": "perplexity per word",
}
NOTES = (
    "Windows of the context length that do not overlap, the last one shorter; every token but the first is predicted "
    "once. Per word: the summed negative log-likelihood over the words between white space, which models of different "
    "tokenizers share.",
)
#: A text of fewer words tells little.
FEW_WORDS = 1000
#: Budgets k that are measured besides the one that was trained.
BUDGETS = (16, 32, 64)


def list_settings() -> list[Setting]:
    """What `--set` takes at evaluation."""
    return [DEVICE]


def evaluate(request: EvaluateRequest) -> Evaluation:
    """A checkpoint on the test part of the data, and bundles of it; or a bundle.

    Raises:
        UsageError: there is no text, the variant is another, a setting does not fit, or pictures are asked for.
        EdgekitError: the checkpoint does not fit.
    """
    if request.pictures is not None:
        raise UsageError(
            "evaluate draws no pictures of sea-opt: leave --pictures out, see `edgekit run BUNDLE --attention`."
        )
    device = torch_device(read_settings(request.settings, {"device": "str"}).get("device"))
    corpus = load_corpus(request.data)
    if request.session is not None:
        rows = [_bundle_row("bundle", request.session, corpus.test, None, request.progress)]
        return _evaluation(rows)
    with shipped_or(request.checkpoint, *SHIPPED) as path:
        checkpoint = load_checkpoint(path)
    if request.variant is not None and find_config(request.variant) != checkpoint.module.config:
        raise UsageError(f"the checkpoint {request.checkpoint} is not of variant {request.variant!r}: leave it out.")
    name = str(checkpoint.training.get("stage", "eager"))
    count = window_count(checkpoint, corpus.test)
    request.progress.start("evaluate", count, "windows")
    checkpoint.module.to(device)
    rows = result_rows(name, checkpoint, corpus.test, lambda done: request.progress.step("perplexity", done))
    request.progress.done()
    checkpoint.module.to("cpu")  # from where it is exported
    model = SEAOPTModel(checkpoint, text=corpus.test, seed=request.seed)
    context = checkpoint.module.config.max_position_embeddings
    for recipe, session in request.sessions(model).items():
        rows.append(_bundle_row(f"{name}, {recipe} bundle", session, corpus.test, context, request.progress))
    return _evaluation(rows)


def _evaluation(rows: list[dict[str, Any]]) -> Evaluation:
    words = rows[0]["words"]
    little = f"Warning: the text has {words} words, too little to tell systems apart: give {FEW_WORDS} or more."
    return Evaluation(ResultTable(COLUMNS, rows), notes=(*NOTES, little) if words < FEW_WORDS else NOTES)


def _bundle_row(
    name: str, session: Session, texts: Sequence[str], context: int | None, progress: Progress
) -> dict[str, Any]:
    """What `result_rows` gives, of a bundle; windows are as long as the bundle's context where none is given."""
    generator = TextGenerator(session)
    context = context or generator.settings.context
    tokens = token_stream(generator.tokenizer, texts)
    words = sum(count_words(text) for text in texts)
    progress.start(name, len(windows(tokens, context)), "windows")
    found = program_likelihood(generator, tokens, context, lambda done: progress.step("perplexity", done))
    progress.done()
    return _row(name, generator.settings.k_budget, context, found, words)


def _row(name: str, budget: int | None, context: int, found: Likelihood, words: int) -> dict[str, Any]:
    return {
        "system": name,
        "k": budget,
        "context": context,
        "tokens": found.tokens,
        "perplexity": found.perplexity,
        "words": words,
        "word_perplexity": found.per_word(words),
    }


def result_rows(
    name: str, checkpoint: Checkpoint, texts: Sequence[str], on_window: Callable[[int], None] = lambda count: None
) -> list[dict[str, Any]]:
    """One row for a dense model, one per budget for SEA's.

    Raises:
        EdgekitError: the checkpoint has no tokenizer, or the text is too short.
    """
    if checkpoint.tokenizer is None:
        raise EdgekitError(
            f"the checkpoint of {name} has no tokenizer: put vocab.json and merges.txt, or tokenizer.json, beside it."
        )
    module = checkpoint.module
    tokens = token_stream(checkpoint.tokenizer, texts)
    words = sum(count_words(text) for text in texts)
    context = module.config.max_position_embeddings
    rows = []
    for budget in _budgets(checkpoint):
        if budget is not None:
            module.set_k_budget(budget)
        found = likelihood(module, tokens, context, on_window)
        rows.append(_row(name if budget is None else f"{name}, SEA", budget, context, found, words))
    if module.sea is not None:
        module.set_k_budget(module.sea.k_budget)
    return rows


def window_count(checkpoint: Checkpoint, texts: Sequence[str]) -> int:
    """How many windows `result_rows` goes through."""
    if checkpoint.tokenizer is None:
        return 0
    tokens = token_stream(checkpoint.tokenizer, texts)
    return len(windows(tokens, checkpoint.module.config.max_position_embeddings)) * len(_budgets(checkpoint))


def _budgets(checkpoint: Checkpoint) -> list[int | None]:
    sea = checkpoint.module.sea
    return [None] if sea is None else [*sorted({*BUDGETS, sea.k_budget})]
