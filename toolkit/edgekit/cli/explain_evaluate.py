"""`edgekit explain evaluate`: how features detect and steer planted concepts."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edgekit.cli.options import PATH, checkpoint_option, json_option, verbosity_options


@click.command("evaluate")
@click.argument("dictionary", type=PATH)
@checkpoint_option
@click.option(
    "--data",
    type=PATH,
    required=True,
    metavar="PATH",
    help="Text, such as WikiText-2: a .txt file, or a folder of them with a test part.",
)
@click.option("--layer", type=click.IntRange(min=1), metavar="N", help="One layer; default: all of the dictionary.")
@click.option("--markdown", is_flag=True, help="Print Markdown tables, for a document.")
@json_option
@verbosity_options
def command(
    dictionary: Path,
    checkpoint: Path | None,
    data: Path,
    layer: int | None,
    markdown: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure how the features of DICTIONARY (a file, or "shipped") detect and steer planted concepts.

    The concepts are sentences that come with edgekit. DiffMeans and single neurons, which know the concepts, stand
    beside the features. A dictionary knows a concept that was in the text that it was fitted to.
    """
    from edgekit.cli.progress import display
    from edgekit.models.features.dictionary import load_dictionary
    from edgekit.models.features.listed import SHIPPED as SHIPPED_NAME
    from edgekit.models.features.listed import SHIPPED_FILE
    from edgekit.models.sea_opt.checkpoint import SHIPPED, load_checkpoint
    from edgekit.models.shipped import shipped_or
    from edgekit.models.snmf.evaluation import evaluate_features
    from edgekit.report import print_evaluation, print_json

    ships = os.fspath(dictionary) == SHIPPED_NAME and not dictionary.exists()
    with shipped_or(None if ships else dictionary, "sea_opt", SHIPPED_FILE) as file:
        features = load_dictionary(file)
    with shipped_or(checkpoint, *SHIPPED) as path:
        model = load_checkpoint(path)
    with display(quiet) as progress:
        found = evaluate_features(model, features, f"the dictionary {dictionary}", data, layer, progress)
    if as_json:
        parts = {"detection": found.detection, "steering": found.steering}
        print_json(
            {
                name: {
                    "systems": one.metrics.rows,
                    "concepts": one.details.rows if one.details else [],
                    "notes": list(one.notes),
                }
                for name, one in parts.items()
            }
        )
        return
    print_evaluation(found.detection, markdown)
    if markdown:
        print()
    print_evaluation(found.steering, markdown)
    if not markdown:
        chosen = "" if checkpoint is None else f" --checkpoint {checkpoint}"
        print(f"Next: edgekit export sea-opt{chosen} --set dictionary={dictionary}")
