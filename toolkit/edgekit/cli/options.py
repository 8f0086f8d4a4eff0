"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
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


#: Bytes by unit; those with an i are powers of 1024.
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def byte_count(text: str) -> int:
    """ "64MB" to 64,000,000; "0.5GiB" to 536,870,912."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?) ?([A-Za-z]{0,3})", text)
    if match is None or match[2].upper() not in _UNITS or not float(match[1]):
        raise click.BadParameter(f"{text!r} is no amount of memory: write 64MB, 512MiB, or a number of bytes.")
    return int(float(match[1]) * _UNITS[match[2].upper()])


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


def check_one_model(command: str, models: Sequence[str], options: Mapping[str, object]) -> None:
    """Refuses options of a single model for several.

    Args:
        command: that they were given to.
        models: names of those asked for.
        options: values by option; empty or None where it was not given.

    Raises:
        UsageError: several models, and an option.
    """
    for option, given in options.items():
        if given and len(models) > 1:
            raise UsageError(f"{option} belongs to one model: name it, such as `edgekit {command} {models[0]} ...`.")


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
data_option = click.option(
    "--data", type=PATH, metavar="PATH", help="Real data for calibration and for the task metrics."
)
samples_option = click.option(
    "--samples", type=click.IntRange(1, 65536), help="Inputs per method that calibration sees."
)
sizes_option = click.option(
    "--size", "sizes", type=frame_size, metavar="HxW", multiple=True, help="A frame size; one method each."
)
settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the model at export; `edgekit list settings` shows them.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 2), default=0, show_default=True, help="For everything random."
)
require_signature_option = click.option(
    "--require-signature",
    "public_key",
    type=PATH,
    metavar="FILE.pub",
    help="Refuse a bundle that was not signed with one of the keys in FILE.pub.",
)
force_option = click.option("--force", is_flag=True, help="Replace what is there.")
checkpoint_option = click.option(
    "--checkpoint", type=PATH, metavar="PATH", help="Your trained checkpoint; default: the one that ships."
)
variant_option = click.option(
    "--variant", metavar="V", help="A variant of the model; `edgekit list models` shows them."
)

formats_option = click.option(
    "--format",
    "formats",
    type=click.Choice(["pte", "tflite", "onnx"]),
    multiple=True,
    help="pte (ExecuTorch), tflite (LiteRT) or onnx; repeatable, a bundle each; default: the device's for the model.",
)
operators_option = click.option(
    "--operators",
    type=click.Choice(["edgekit", "builtin"]),
    default="edgekit",
    show_default=True,
    help="For tflite: call edgekit's operators, or only those that every interpreter has.",
)
interpreter_option = click.option(
    "--interpreter",
    type=click.Choice(["litert", "tflite-runtime-2.14"]),
    default="litert",
    show_default=True,
    help="For tflite: the oldest interpreter that must run it; what it gets wrong is refused.",
)

_KV_HELP = "How a language model's KV cache is stored; default: the recipe's way."
kv_option = click.option("--kv", type=click.Choice(KVS), help=_KV_HELP)
kv_types_option = click.option("--kv", "kv_types", type=click.Choice(KVS), multiple=True, help=_KV_HELP)


def verbosity_options(command: F) -> F:
    """-q: no progress display; -v: details of errors."""
    quiet = click.option("-q", "--quiet", is_flag=True, help="No progress display.")
    verbose = click.option("-v", "--verbose", is_flag=True, help="Show where an error came from.", expose_value=False)
    return quiet(verbose(command))
