"""The card that lies beside a trained student: data, command, seed, perplexities, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

import edgekit

from .checkpoint import Checkpoint
from .evaluation import COLUMNS, NOTES


def card_text(student: Checkpoint, rows: Sequence[Mapping[str, Any]], data: str, command: str) -> str:
    """A Markdown card.

    Args:
        student: as it is saved.
        rows: of the table of perplexities on the test part; empty where there is none.
        data: the name of the data.
        command: that trained it.
    """
    training, opt, sea = student.training, student.module.config, student.module.sea
    assert sea is not None
    parameters = sum(parameter.numel() for parameter in student.module.parameters())
    decay = "falling to 0 along a half cosine" if training["decay"] else "constant"
    lines = [
        f"# SEA-OPT, {opt.num_hidden_layers} layers of {opt.hidden_size}",
        "",
        f"- **Data**: {training['data']}: {training['tokens']:,} tokens trained on, the last "
        f"{100 * training['held_out']:g} % of every text held out.",
        f"- **Command**: `{command}` (edgekit {edgekit.__version__}, torch {torch.__version__.split('+')[0]}, "
        f"{training['device']}).",
        f"- **Training**: distilled from a dense teacher in {training['steps']:,} steps of {training['batch']} windows "
        f"of {training['context']} tokens; AdamW at {training['learning_rate']:g} (estimator "
        f"{training['estimator_learning_rate']:g}), {decay}; dropout {training['dropout']:g}, seed {training['seed']}. "
        "The dense control had the same start, windows, steps, rates and losses but those of attention.",
        f"- **Choice**: the weights of epoch {training['epoch']} of {training['epochs']}, the best on held-out text "
        f"(perplexity per token {training['held_out_perplexity']:.2f}).",
        f"- **Model**: {opt.num_attention_heads} heads of {opt.head_size}, vocabulary {opt.vocab_size:,}, context "
        f"{opt.max_position_embeddings}; SEA with {sea.cells} cells, k = {sea.k_budget}, {sea.features} features; "
        f"{parameters:,} trained parameters, kept in float16.",
        "",
        "## Perplexity on the test part",
        "",
    ]
    if rows:
        lines += [
            "| " + " | ".join(COLUMNS.values()) + " |",
            "|" + "---|" * len(COLUMNS),
            *("| " + " | ".join(_cell(row[key]) for key in COLUMNS) + " |" for row in rows),
            "",
            *NOTES,
        ]
    else:
        lines.append(f"Not measured: {data} has no test part.")
    lines += [
        "",
        "## Limits",
        "",
        f"A small model of the text it was trained on: it continues texts like {training['data']}, up to "
        f"{opt.max_position_embeddings} tokens, and knows nothing else. It states what is likely, not what is true.",
        "",
    ]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
