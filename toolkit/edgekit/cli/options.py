"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgekit.errors import UsageError
from edgekit.models.kv import KVS

F = TypeVar("F", bound=Callable[..., Any])


def frame_size(text: str) -> tuple[int, int]:
    """ "256x320" to (256, 320): height by width."""
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if match is None or not (int(match[1]) and int(match[2])):
        raise click.BadParameter(f"{text!r} is not a size: write height x width, such as 256x320.")
    return int(match[1]), int(match[2])


def evaluation_extent(text: str) -> int | str:
    """ "quick", "all", or a number of samples above 0."""
    if text in ("quick", "all"):
        return text
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise click.BadParameter(f"{text!r} is neither quick, nor all, nor a number of samples, 1 or more.")
    return int(text)


PATH = click.Path(path_type=Path)


def name_value_pairs(settings: Iterable[str]) -> dict[str, str]:
    """ "NAME=VALUE" texts as a mapping.

    Raises:
        UsageError: a text without a name or a sign of equality.
    """
    pairs = {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign or not name:
            raise UsageError(f"--set {setting}: write NAME=VALUE.")
        pairs[name] = value
    return pairs


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
evaluate_option = click.option(
    "--evaluate",
    "extent",
    type=evaluation_extent,
    default="quick",
    show_default=True,
    metavar="quick|all|N",
    help="Task metrics on a few samples of the evaluation set, on all, or on N (images, rows, tokens).",
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 2), default=0, show_default=True, help="For everything random."
)
force_option = click.option("--force", is_flag=True, help="Replace what is there.")
checkpoint_option = click.option(
    "--checkpoint", type=PATH, metavar="PATH", help="Your trained checkpoint; default: the one that ships."
)
variant_option = click.option(
    "--variant", metavar="V", help="A variant of the model; `edgekit list models` shows them."
)

_KV_HELP = "How a language model's KV cache is stored; default: the recipe's way."
kv_option = click.option("--kv", type=click.Choice(KVS), help=_KV_HELP)
kv_types_option = click.option("--kv", "kv_types", type=click.Choice(KVS), multiple=True, help=_KV_HELP)


def verbosity_options(command: F) -> F:
    """-q: no progress display; -v: details of errors."""
    quiet = click.option("-q", "--quiet", is_flag=True, help="No progress display.")
    verbose = click.option("-v", "--verbose", is_flag=True, help="Show where an error came from.", expose_value=False)
    return quiet(verbose(command))
