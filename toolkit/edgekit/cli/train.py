"""`edgekit train`: a model of the zoo on your data."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import (
    PATH,
    force_option,
    json_option,
    name_value_pairs,
    seed_option,
    variant_option,
    verbosity_options,
)


@click.command("train")
@click.argument("model")
@click.option("--data", type=PATH, required=True, metavar="PATH", help="Training data: a file or a folder.")
@click.option(
    "-o",
    "--output",
    type=PATH,
    default=Path("runs"),
    show_default=True,
    help="Folder of the checkpoints, or one .safetensors.",
)
@click.option("--epochs", type=click.IntRange(1, 100_000), help="Default: the model's.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of model or training; `edgekit list settings` shows them.",
)
@variant_option
@seed_option
@force_option
@json_option
@verbosity_options
def command(
    model: str,
    data: Path,
    output: Path,
    epochs: int | None,
    settings: tuple[str, ...],
    variant: str | None,
    seed: int,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train MODEL on your data.

    The state is kept after every epoch: the same command goes on where it was stopped. A card with data, settings and
    metrics is written beside each checkpoint.
    """
    from edgekit.models.zoo import find_model

    entry = find_model(model)
    pairs = name_value_pairs(settings)

    from edgekit.cli.progress import display
    from edgekit.models.tasks import TrainRequest
    from edgekit.report import print_json

    with display(quiet) as progress:
        paths = entry.train(TrainRequest(data, output, variant, pairs, epochs, seed, force, progress))
    if as_json:
        print_json({"checkpoints": [str(path) for path in paths]})
        return
    for path in paths:
        print(path)
    print(f"Next: edgekit export {entry.name} --checkpoint {paths[-1]} --data {data} --device jetson")
