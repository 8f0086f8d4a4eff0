"""`edgekit quantize`: what a recipe costs a model, before anything is exported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.mixing import max_drop_option
from edgekit.cli.options import (
    PATH,
    checkpoint_option,
    data_option,
    evaluate_option,
    json_option,
    kv_option,
    name_value_pairs,
    samples_option,
    seed_option,
    settings_option,
    sizes_option,
    variant_option,
    verbosity_options,
)

if TYPE_CHECKING:
    from edgekit.export.sensitivity import Sensitivity
    from edgekit.models.kv import KV
    from edgekit.models.metrics import Drop, Extent
    from edgekit.models.model import Model


@click.command("quantize")
@click.argument("model")
@click.option("--recipe", metavar="R", help="How numbers are stored and computed; default: the device's.")
@click.option("--device", default="linux-x86_64", show_default=True, metavar="NAME", help="Whose kernels are chosen.")
@kv_option
@variant_option
@checkpoint_option
@data_option
@samples_option
@sizes_option
@settings_option
@evaluate_option
@click.option("--sensitivity", is_flag=True, help="Measure what each block costs, rounded alone.")
@click.option("--by-layer", is_flag=True, help="Take every layer as a block of its own.")
@max_drop_option
@click.option("--picture", type=PATH, metavar="FILE", help="Draw the sensitivity into this .png.")
@seed_option
@json_option
@verbosity_options
def command(
    model: str,
    recipe: str | None,
    device: str,
    kv: KV | None,
    variant: str | None,
    checkpoint: Path | None,
    data: Path | None,
    samples: int | None,
    sizes: tuple[tuple[int, int], ...],
    settings: tuple[str, ...],
    extent: Extent,
    sensitivity: bool,
    by_layer: bool,
    max_drop: Drop | None,
    picture: Path | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure MODEL in a recipe's numbers against eager fp32, in torch: quicker than an export.

    --sensitivity is kept as JSON beside the checkpoint (for the one that ships, in your cache folder), and measured
    again when weights, data, recipe or versions are others.
    """
    from edgekit.cli.mixing import find_mixture, find_sensitivity
    from edgekit.cli.progress import display
    from edgekit.devices.profile import load_profile
    from edgekit.errors import UsageError
    from edgekit.files import check_writable
    from edgekit.models.zoo import find_model

    if picture is not None:
        if not sensitivity:
            raise UsageError("--picture draws the sensitivity: give --sensitivity too.")
        if picture.suffix.lower() != ".png":
            raise UsageError(f"{picture} is not the name of a picture: let it end in .png.")
        check_writable(picture)
    if by_layer and not sensitivity and max_drop is None:
        raise UsageError("--by-layer is for --sensitivity and --max-drop: give one of them.")
    profile = load_profile(device)
    entry = find_model(model)

    import torch

    from edgekit.export.recipes import change_recipe, choose_recipe
    from edgekit.export.sensitivity import Measuring, check_rounds
    from edgekit.models.model import Model, Request
    from edgekit.report import print_accuracy, print_json, print_outputs, print_sensitivity

    pairs = name_value_pairs(settings)
    loaded = entry.load(Request(variant, checkpoint, data, (1,), sizes, seed, pairs))
    chosen = change_recipe(choose_recipe(recipe, profile.default_recipe, loaded, kv), samples=samples)
    if sensitivity or max_drop is not None or chosen.kv == "fp32":
        check_rounds(chosen)
    blocks = Model.blocks(loaded) if by_layer else loaded.blocks()
    torch.manual_seed(seed)
    mixture = costs = None
    with display(quiet) as progress:
        progress.start(f"quantize {loaded.name}", 2)
        progress.step("eager fp32", 0)
        measuring = Measuring(loaded, profile, extent, max_drop)
        progress.step(chosen.label)
        accuracy = measuring.accuracy(chosen)
        progress.done()
        if sensitivity:
            costs = find_sensitivity(measuring, chosen, blocks, checkpoint, progress)
        if max_drop is not None:
            mixture = find_mixture(measuring, chosen, blocks, checkpoint, progress)
            accuracy = mixture.chosen.accuracy
    if costs is not None and picture is not None:
        _draw(loaded, costs, picture)
    label = mixture.chosen.recipe.label if mixture is not None else chosen.label
    if as_json:
        found: dict[str, Any] = {"model": loaded.name, "variant": loaded.variant, "device": profile.name}
        found |= {"recipe": label, "accuracy": accuracy.to_dict()}
        found |= {"sensitivity": costs.to_dict() if costs else None}
        found |= {"mixture": mixture.to_dict() if mixture else None}
        print_json(found)
        return
    if costs is not None:
        print_sensitivity(costs)
    if mixture is not None:
        print(f"{loaded.name} in {label}, at most {max_drop} worse than eager, {mixture.text()}.")
    if mixture is not None or costs is None:
        print_outputs(accuracy.to_dict())
        print_accuracy(accuracy.to_dict(), label, "Accuracy gate")
    if picture is not None:
        print(f"Picture: {picture}")
    request = "".join(
        f" --{name} {value}" for name, value in (("variant", variant), ("checkpoint", checkpoint)) if value
    )
    request += "".join(f" --{name} {value}" for name, value in (("data", data), ("samples", samples)) if value)
    wish = " --max-drop 0.5%" if costs is not None else ""
    if mixture is not None:
        wish = "".join(f" --keep-fp32 '{block}'" for block in mixture.chosen.kept)
    print(f"Next: edgekit export {loaded.name}{request} --device {device} --recipe {chosen.name}{wish}")


def _draw(model: Model, costs: Sensitivity, path: Path) -> None:
    from edgekit.report import evaluated_on
    from edgekit.sensitivity_pictures import draw_sensitivity

    rows = [costs.whole, *costs.blocks]
    names = [cost.block for cost in rows]
    names[0] = "all together"
    losses = None if costs.metric is None else [cost.loss or 0.0 for cost in rows]
    title = f"{model.name} {model.variant}: each block alone in {costs.recipe}"
    metric = ""
    if costs.metric is not None:
        title += f"; {evaluated_on(costs.to_dict())}"
        metric = f"{costs.metric} worse by (eager {costs.eager:.4g}); shorter is better"
    draw_sensitivity(names, losses, [cost.snr_db for cost in rows], path, metric, title)
