"""`edgekit run`: a bundle on a file. What goes in and comes out depends on the bundle's task."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from edgekit.cli.options import PATH, force_option, json_option, verbosity_options

#: The part of this command that knows a task.
TASKS = {"detect_anomalies": "edgekit.cli.run_detect_anomalies", "tensors": "edgekit.cli.run_tensors"}


@click.command("run")
@click.argument("bundle", type=PATH)
@click.option(
    "--input", "inputs", type=PATH, required=True, multiple=True, metavar="FILE", help="A series as .csv or .npy."
)
@click.option(
    "--output", type=PATH, metavar="FILE", help="Write every row's answer here (.csv or .json; tensors: .npz)."
)
@click.option(
    "--threshold", metavar="NAME|X", help="Anomalies: alarm above this score, or the fitted threshold of that name."
)
@click.option("--picture", type=PATH, metavar="FILE.png", help="Anomalies: draw scores, alarms and channels.")
@force_option
@json_option
@verbosity_options
def command(
    bundle: Path,
    inputs: tuple[Path, ...],
    output: Path | None,
    threshold: str | None,
    picture: Path | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run BUNDLE on a FILE.

    Anomaly detection takes a series (rows by channels, .csv or .npy) and gives each row's score and alarm with the
    channels ranked by their share in it. A bundle of your own module takes one .npy file per input.
    """
    from edgekit.bundle import Bundle
    from edgekit.errors import EdgekitError, UsageError

    for path in (output, picture):
        if path is not None and path.exists() and not force:
            raise UsageError(f"{path} exists: choose another file, or replace it with --force.")
    opened = Bundle.open(bundle)
    task = str(opened.manifest["pipeline"].get("name"))
    if task not in TASKS:
        raise EdgekitError(f"{bundle} is for the task {task!r}, which this edgekit does not know: install a newer one.")
    importlib.import_module(TASKS[task]).run(
        opened, inputs, output=output, threshold=threshold, picture=picture, as_json=as_json, quiet=quiet
    )
