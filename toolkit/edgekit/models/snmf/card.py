"""The card that lies beside a dictionary: command, text, fit, what it found, limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

import edgekit
from edgekit.models.features.dictionary import Dictionary

#: Features of each layer that a card shows.
SHOWN = 10


def card_text(dictionary: Dictionary, command: str) -> str:
    """A Markdown card.

    Args:
        dictionary: of `fit_dictionary`.
        command: that fitted it.
    """
    fit = dictionary.fit
    numbers = [layer.layer for layer in dictionary.layers]
    text = str(fit["data"])
    if fit["concepts"]:
        text += f", and {_times(fit['concepts'])} the training sentences of the planted concepts (`concepts.json`)"
    window = f"{fit['context']} tokens" if fit["context"] else "the model's longest context"
    lines = [
        f"# Features of {fit['model']}, {_layers(numbers)}",
        "",
        f"- **Text**: {text}: {fit['tokens']:,} tokens in windows of {window}, evenly spread over the text; the token "
        "that begins a text is left out.",
        f"- **Command**: `{command}` (edgekit {edgekit.__version__}, torch {torch.__version__.split('+')[0]}, "
        f"{fit['device']}).",
        f"- **Model**: SHA-256 of its weights {dictionary.model_sha256}.",
        f"- **Fit**: semi-NMF of fc2's inputs (Shafran et al. 2025, arXiv:2506.10920): k = {dictionary.count} features "
        f"a layer, each of at most {100 * fit['p']:g} % of {dictionary.width:,} neurons; {fit['init']} init, "
        f"{fit['updates']} updates of the coefficients an iteration, seed {fit['seed']}; the best pair of at most "
        f"{fit['iterations']:,} iterations is kept (patience {fit['patience']}, relative tolerance "
        f"{fit['tolerance']:g}).",
        "- **Steering**: alphas by KL divergence of the next token after a prompt, of both signs; what is out of reach "
        "is left out.",
        "",
        "## Layers",
        "",
        "| layer | unexplained | best iteration | dropped features | dead neurons | constant neurons | "
        "pairs with cos above .98 | parents: unexplained |",
        "|" + "---|" * 8,
        *(_row(facts) for facts in fit["layers"]),
        "",
        "Unexplained: share of the squared activations that atoms times coefficients leave. A low share alone is no "
        "evidence that features mean something. Parents: of each level of the hierarchy, share of the squared atoms "
        "below that they leave.",
        "",
    ]
    for layer in dictionary.layers:
        lines += [f"## Layer {layer.layer}: the {min(SHOWN, dictionary.count)} features that are used most", ""]
        lines += ["| feature | mean | strongest tokens | makes likelier |", "|---|---|---|---|"]
        lines += [
            f"| {number} | {feature.mean:.3f} | {_tokens(feature.tokens)} | {_tokens(feature.promoted)} |"
            for number, feature in enumerate(layer.features[:SHOWN])
        ]
        lines += [""]
    lines += [
        "## Limits",
        "",
        "Features describe this checkpoint on texts like this one, and no other. Labels are lists of tokens, "
        "not explanations that somebody checked; early layers are told better by the tokens at which a feature is "
        "strong, late ones by those that it makes likelier. Steering was calibrated on one short prompt: after others "
        "the same alpha costs more or less.",
        "",
    ]
    return "\n".join(lines)


def _layers(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"layer {numbers[0]}"
    return f"layers {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _row(facts: Mapping[str, Any]) -> str:
    levels = ", ".join(f"{size}: {100 * share:.0f} %" for size, share in facts["levels"]) or "none"
    cells = (
        facts["layer"],
        f"{100 * facts['unexplained']:.1f} %",
        f"{facts['best_iteration']} of {facts['iterations']}",
        facts["dropped_features"],
        facts["dead_neurons"],
        facts["constant_neurons"],
        len(facts["duplicates"]),
        levels,
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def _tokens(tokens: tuple[str, ...]) -> str:
    """The first few, as code that a table's cell can hold."""
    shown = (token.replace("`", "'").replace("|", "¦").replace("\n", "\\n") for token in tokens[:6])
    return " ".join(f"`{token}`" for token in shown if token.strip())
