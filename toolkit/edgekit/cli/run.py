"""`edgekit run`: a bundle on a file. What goes in and comes out depends on the bundle's task."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from edgekit.cli.options import PATH, force_option, frame_size, json_option, require_signature_option, verbosity_options
from edgekit.errors import UsageError
from edgekit.files import check_writable

#: The part of this command that knows a task.
TASKS = {
    "detect_anomalies": "edgekit.cli.run_detect_anomalies",
    "generate_text": "edgekit.cli.run_generate_text",
    "segment": "edgekit.cli.run_segment",
    "tensors": "edgekit.cli.run_tensors",
}


#: What a task is usually given, for the next command that is proposed.
USUAL_INPUTS = {
    "detect_anomalies": "--input SERIES.csv",
    "generate_text": '--prompt "TEXT"',
    "segment": "--input IMAGE.png",
    "tensors": "--input ARRAY.npy",
}


def usual_input(manifest: Mapping[str, Any]) -> str:
    """Options of `edgekit run` for a bundle, by its manifest."""
    return USUAL_INPUTS.get(str(manifest["pipeline"].get("name")), "--input FILE")


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for; what an option means is the task's affair, None where it was not given."""

    inputs: tuple[Path, ...]
    output: Path | None = None
    threshold: str | None = None
    picture: Path | None = None
    size: tuple[int, int] | None = None
    fit: str | None = None
    prompt: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    attention: Path | None = None
    layer: int | None = None
    head: int | None = None
    explain: bool = False
    steer: tuple[str, ...] = ()
    force: bool = False
    as_json: bool = False
    quiet: bool = False

    def take(self, *options: str) -> None:
        """For a task that takes no more than these options, --force, --json and --quiet.

        Raises:
            UsageError: another one was given.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            given = value is not None and value is not False and value != ()
            if given and field.name not in {*options, "force", "as_json", "quiet"}:
                option = "input" if field.name == "inputs" else field.name.replace("_", "-")
                raise UsageError(f"--{option} does not belong to this bundle's task: leave it out.")

    def need_inputs(self) -> None:
        """For a task that takes files.

        Raises:
            UsageError: there are none.
        """
        if not self.inputs:
            raise UsageError("this bundle takes a file: give it with --input FILE.")

    def check_free(self, path: Path) -> None:
        """For a file that is to be written.

        Raises:
            UsageError: it exists, and was not to be replaced.
        """
        if path.exists() and not self.force:
            raise UsageError(f"{path} exists: choose another file, or replace it with --force.")


@click.command("run")
@click.argument("bundle", type=PATH)
@click.option(
    "--input",
    "inputs",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="A series (.csv, .npy), an image (PNG, JPEG, BMP; repeatable), or a prompt (.txt).",
)
@click.option(
    "--output",
    type=PATH,
    metavar="FILE|DIR",
    help="Anomalies: every row's answer (.csv, .json). Objects: the mask (.png), the list (.csv, .json), or a folder "
    "for both and the overlay. Tensors: .npz. Texts that are explained: a result for `edgekit report`, added to a "
    ".jsonl file.",
)
@click.option(
    "--threshold",
    metavar="NAME|X",
    help="Alarm above this score, or the fitted threshold of that name; objects: above this logit.",
)
@click.option(
    "--picture",
    type=PATH,
    metavar="FILE.png",
    help="Draw scores and alarms, the image with its objects, or a text's features.",
)
@click.option("--size", type=frame_size, metavar="HxW", help="Objects: which of the bundle's frame sizes.")
@click.option(
    "--fit",
    metavar="resize|pad|tile",
    help="Objects: how an image comes to the frame size; default: resize. Tiles overlap and are exact, where the "
    "model allows it.",
)
@click.option("--prompt", metavar="TEXT", help="Text: what to go on with.")
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="Text: most tokens to add; default: 100.")
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    metavar="T",
    help="Text: 0 takes the likeliest token, which is the default; higher is more varied.",
)
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Text: of the draws; default: 0.")
@click.option(
    "--attention", type=PATH, metavar="FILE.png", help="Text: draw what a head estimates, and what it attends to."
)
@click.option("--layer", type=click.IntRange(min=1), metavar="N", help="Of --attention, from 1; default: 1.")
@click.option("--head", type=click.IntRange(min=1), metavar="N", help="Of --attention, from 1; default: 1.")
@click.option(
    "--explain", is_flag=True, help="Text: show which features each token has; --picture FILE.png draws them."
)
@click.option(
    "--steer",
    multiple=True,
    metavar="FEATURE=KL",
    help="Text: more of a feature (12, or 4:12 for one of layer 4) for so many nats of KL, with a minus sign less of "
    "it; repeatable.",
)
@require_signature_option
@force_option
@json_option
@verbosity_options
def command(
    bundle: Path,
    inputs: tuple[Path, ...],
    output: Path | None,
    threshold: str | None,
    picture: Path | None,
    size: tuple[int, int] | None,
    fit: str | None,
    prompt: str | None,
    max_tokens: int | None,
    temperature: float | None,
    seed: int | None,
    attention: Path | None,
    layer: int | None,
    head: int | None,
    explain: bool,
    steer: tuple[str, ...],
    public_key: Path | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run BUNDLE on a FILE or a prompt.

    Anomaly detection takes a series (rows by channels, .csv or .npy) and gives each row's score and alarm with the
    channels ranked by their share in it. Segmentation takes images and gives a mask and a list of objects each. A
    language model takes a prompt (--prompt, or a .txt file) and goes on with it; one with features shows them
    (--explain) and is steered by them (--steer). A bundle of your own module takes one .npy file per input.
    """
    from edgekit.bundle import Bundle
    from edgekit.errors import EdgekitError

    request = RunRequest(
        inputs,
        output,
        threshold,
        picture,
        size,
        fit,
        prompt,
        max_tokens,
        temperature,
        seed,
        attention,
        layer,
        head,
        explain,
        steer,
        force,
        as_json,
        quiet,
    )
    for path in (output, picture, attention):
        if path is not None:
            check_writable(path)
            # Results are added to what is there.
            if not path.is_dir() and not (explain and path is output):
                request.check_free(path)
    opened = Bundle.open(bundle, public_key=public_key)
    task = str(opened.manifest["pipeline"].get("name"))
    if task not in TASKS:
        raise EdgekitError(f"{bundle} is for the task {task!r}, which this edgekit does not know: install a newer one.")
    importlib.import_module(TASKS[task]).run(opened, request)
