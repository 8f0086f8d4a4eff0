"""The card that lies beside a trained checkpoint: data, command, seed, metrics, limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

import edgekit

from .checkpoint import Checkpoint
from .evaluation import COLUMNS, NOTES


def card_text(checkpoint: Checkpoint, row: Mapping[str, Any] | None, command: str) -> str:
    """A Markdown card.

    Args:
        checkpoint: as it is saved.
        row: of the table of results on the test part; None where there is none.
        command: that trained it.
    """
    training, config = checkpoint.training, checkpoint.module.config
    height, width = training["size"]
    crops = f"crops of {training['crop']}x{training['crop']}" if training["crop"] else "whole frames"
    if training["crop"] and training["whole_frames"]:
        crops += f" (whole frames in the last {training['whole_frames']} epochs)"
    average = f"; running mean of the weights ({training['average']:g} a step)" if training["average"] else ""
    numbers = "bfloat16 convolutions, fp32 weights" if training["bfloat16"] else "fp32"
    parameters = sum(parameter.numel() for parameter in checkpoint.module.parameters())
    lines = [
        f"# {config.family} ({checkpoint.variant})",
        "",
        f"- **Data**: {training['data']}: {training['images']} images trained on, {training['held_out']} held out.",
        f"- **Command**: `{command}` (edgekit {edgekit.__version__}, torch {torch.__version__.split('+')[0]}, "
        f"{training['device']}).",
        f"- **Training**: {training['epochs']} epochs of batches of {training['batch']} {crops}, frames resized to "
        f"{height}x{width}; Adam at {training['learning_rate']:g}, falling to 0{average}; {numbers}; "
        f"seed {training['seed']}.",
        f"- **Choice**: the weights of epoch {training['epoch']}, the best on the held-out images "
        f"(IoU {100 * training['held_out_iou']:.2f} %). The test part was looked at once, after that. The paper's "
        "authors chose their checkpoints on the test part, which flatters their figures.",
        f"- **Model**: {config.stages} stage{'s' if config.stages > 1 else ''}, {config.channels} channels; "
        f"{parameters:,} trained parameters.",
        "",
        "## Metrics on the test part",
        "",
    ]
    if row is None:
        lines.append("Not measured: the data has no test part.")
    else:
        lines += [
            "| " + " | ".join(COLUMNS.values()) + " |",
            "|" + "---|" * len(COLUMNS),
            "| " + " | ".join(_cell(row[key]) for key in COLUMNS) + " |",
            "",
            *NOTES,
        ]
    lines += [
        "",
        "## Limits",
        "",
        f"It knows small objects as they look in {training['data']}, at about the size that they have in frames of "
        f"{height}x{width}; other sensors, scales and kinds of objects need their own training. It gives a mask for "
        "every image, also where nothing of its kind is in it.",
        "",
    ]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
