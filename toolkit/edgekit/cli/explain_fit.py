"""`edgekit explain fit`: the features of some layers, found in the activations of a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import (
    PATH,
    checkpoint_option,
    force_option,
    json_option,
    name_value_pairs,
    seed_option,
    verbosity_options,
)

if TYPE_CHECKING:
    from edgekit.models.features.dictionary import Dictionary


@click.command("fit")
@checkpoint_option
@click.option("--data", type=PATH, required=True, metavar="TEXT", help="A .txt file, or a folder of them.")
@click.option(
    "--layer", "layers", type=int, required=True, multiple=True, metavar="N", help="From 1; repeatable, one pass."
)
@click.option(
    "--features", type=click.IntRange(1, 4096), default=100, show_default=True, help="How many each layer gets."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the fit; `edgekit list settings` shows them.",
)
@click.option("-o", "--output", type=PATH, required=True, metavar="FILE", help="The dictionary, .safetensors.")
@seed_option
@force_option
@json_option
@verbosity_options
def command(
    checkpoint: Path | None,
    data: Path,
    layers: tuple[int, ...],
    features: int,
    settings: tuple[str, ...],
    output: Path,
    seed: int,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the features of some layers of SEA-OPT or OPT in their activations on a text, name and calibrate them.

    The state is kept now and then: the same command goes on where it was stopped. A card is written beside the
    dictionary.
    """
    from edgekit.models.settings import read_settings
    from edgekit.models.snmf.options import FIT_SETTINGS, FitOptions

    pairs = name_value_pairs(settings)
    values = read_settings(pairs, FIT_SETTINGS)
    device = values.pop("device", None)
    options = FitOptions(features=features, seed=seed, **values)

    from edgekit.cli.progress import display
    from edgekit.models.snmf.fit import FitRequest, fit_dictionary
    from edgekit.models.torch_device import torch_device
    from edgekit.report import print_json

    repeated = _command(checkpoint, data, layers, features, pairs, output, seed)
    with display(quiet) as progress:
        dictionary = fit_dictionary(
            FitRequest(checkpoint, data, layers, options, torch_device(device), output, force, repeated, progress)
        )
    if as_json:
        found = {"model_sha256": dictionary.model_sha256, "fit": dict(dictionary.fit)}
        print_json({"dictionary": str(output), "card": str(output.with_suffix(".md")), **found})
        return
    _print(dictionary)
    print(output)
    print(f"Next: edgekit explain show {output} --layer {dictionary.layers[0].layer}")


def _print(dictionary: Dictionary) -> None:
    from edgekit.report import print_table

    rows = [
        (
            str(facts["layer"]),
            str(dictionary.count),
            f"{100 * facts['unexplained']:.2f} %",
            f"{facts['best_iteration']} of {facts['iterations']}",
            str(facts["dead_features"]),
            str(len(facts["duplicates"])),
            "; ".join(feature.label for feature in layer.features[:3]),
        )
        for facts, layer in zip(dictionary.fit["layers"], dictionary.layers, strict=True)
    ]
    headers = ("layer", "features", "unexplained", "best iteration", "dead", "duplicates", "used most")
    print_table(headers, rows, right=(1, 2, 4, 5), trailing=1)


def _command(
    checkpoint: Path | None,
    data: Path,
    layers: tuple[int, ...],
    features: int,
    settings: dict[str, str],
    output: Path,
    seed: int,
) -> str:
    """The command that repeats this fit; the places of its files are the reader's."""
    words = ["edgekit explain fit"]
    if checkpoint is not None:
        words.append(f"--checkpoint {checkpoint.name}")
    words.append(f"--data {data.resolve().name}")
    words += [f"--layer {layer}" for layer in layers]
    words.append(f"--features {features}")
    words += [f"--set {name}={value}" for name, value in sorted(settings.items()) if name != "device"]
    return " ".join([*words, f"--seed {seed} -o {output.name}"])
