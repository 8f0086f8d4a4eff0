"""The card that lies beside a trained checkpoint: data, command, seed, metrics, limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

import edgekit

from .checkpoint import Checkpoint
from .data import Entity
from .evaluation import COLUMNS, NOTES
from .training import progress_text


def card_text(entity: Entity, checkpoint: Checkpoint, rows: Sequence[dict[str, Any]], command: str) -> str:
    """A Markdown card; without labelled data it says that nothing was measured."""
    config, training = checkpoint.config, checkpoint.training
    parameters = sum(parameter.numel() for parameter in checkpoint.module.parameters())
    lines = [
        f"# StackVAE-G, {entity.name}",
        "",
        f"- **Data**: training part of `{entity.name}`, {len(entity.train.values)} rows of {config.channels} channels; "
        "scaling, thresholds and graph are fitted on it alone.",
        f"- **Command**: `{command}` (edgekit {edgekit.__version__}, torch {torch.__version__.split('+')[0]}, CPU).",
        f"- **Training**: {training['epochs']} epochs of batches of {training['batch']} windows, Adam at "
        f"{training['learning_rate']:g}, seed {training['seed']}; the last epoch is kept, nothing is chosen on test "
        "data.",
        *([f"- **Loss**: {progress_text(history)}."] if (history := training.get("reconstruction")) else []),
        f"- **Model**: window {config.window}, hidden {config.hidden}, latent {config.latent}, "
        f"{config.kept_neighbours} neighbours, gamma {config.gamma:g}; {parameters:,} trained parameters.",
        f"- **Thresholds** on the score: {checkpoint.thresholds.pot:.4g} (POT, risk 1e-3), "
        f"{checkpoint.thresholds.quantile:.4g} (99.9 % quantile), both of the training scores.",
        f"- **Graph**: {100 * training['off_diagonal_mass']:.0f} % of the mix comes from neighbours "
        "(0 % would be a collapsed graph).",
        "",
        "## Metrics on the labelled test part",
        "",
    ]
    if rows:
        columns = {key: title for key, title in COLUMNS.items() if key != "entity"}
        lines.append("| " + " | ".join(columns.values()) + " |")
        lines.append("|" + "---|" * len(columns))
        for row in rows:
            cells = (row[key] if isinstance(row[key], str) else _number(row[key]) for key in columns)
            lines.append("| " + " | ".join(cells) + " |")
        lines += ["", *(f"{note}" for note in NOTES)]
    else:
        lines.append("Not measured: the data has no labels.")
    lines += [
        "",
        "## Limits",
        "",
        f"One model of one entity: other machines need their own training. It needs {config.window} rows before the "
        "first score, expects rows at the training data's rate, and raises alarms on any change of behaviour, planned "
        "or not.",
        "",
    ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
