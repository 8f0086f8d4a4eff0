"""`edgekit explain tree`: the hierarchy of a layer's features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.explain_show import layer_option
from edgekit.cli.options import PATH, force_option, json_option
from edgekit.errors import UsageError
from edgekit.files import check_writable

if TYPE_CHECKING:
    from edgekit.models.features.listed import ListedLayer
    from edgekit.models.features.tree import Node


@click.command("tree")
@click.argument("dictionary", type=PATH, metavar="DICTIONARY|BUNDLE")
@layer_option
@click.option("--picture", type=PATH, metavar="FILE.png", help="Draw the tree of one layer, each feature once.")
@force_option
@json_option
def command(dictionary: Path, layer: int | None, picture: Path | None, force: bool, as_json: bool) -> None:
    """Show the hierarchy above the features of a DICTIONARY (a file, or "shipped") or of a BUNDLE.

    Each group stands above the features, or the smaller groups, that it uses most: four at most, none with less than
    15 % of the largest weight, which is what the shares count from. A feature may be in several groups, or in none; a
    picture has it once, in the group that has most of it.
    """
    from edgekit.feature_pictures import draw_tree
    from edgekit.models.features.listed import open_features
    from edgekit.models.features.tree import placed_nodes, top_nodes, tree_text
    from edgekit.report import print_json

    if picture is not None:
        check_writable(picture)
        if picture.exists() and not force:
            raise UsageError(f"{picture} exists: choose another file, or replace it with --force.")
    found = open_features(dictionary)
    layers = [one for one in found.chosen(layer) if one.tree or layer is not None]
    if not layers or not layers[0].tree:
        which = f"layer {layer} of {found.origin}" if layer is not None else found.origin
        raise UsageError(f"{which} has no hierarchy: fit one with `edgekit explain fit --set levels=50,25`.")
    if picture is not None and len(layers) > 1:
        numbers = ", ".join(str(one.layer) for one in layers)
        raise UsageError(f"--picture draws one layer, and {found.origin} has {numbers}: choose one with --layer.")
    roots = [top_nodes(one.tree, _labels(one)) for one in layers]
    if picture is not None:
        title = f"{found.origin}, layer {layers[0].layer}: features and their groups"
        draw_tree(placed_nodes(layers[0].tree, _labels(layers[0])), picture, title)
    if as_json:
        print_json({"layers": [{"layer": one.layer, "tree": one.tree} for one in layers]})
        return
    for one, top in zip(layers, roots, strict=True):
        print(f"Layer {one.layer}, {_counts(one, top)}")
        print(tree_text(top))
    if picture is not None:
        print(f"Written: {picture}")
    print(f"Next: edgekit explain show {dictionary} --layer {layers[0].layer}")


def _labels(layer: ListedLayer) -> list[str]:
    return [feature.label for feature in layer.features]


def _counts(layer: ListedLayer, roots: tuple[Node, ...]) -> str:
    """ "25 groups of 50 groups of 100 features, 12 of them in no group"."""
    levels = [f"{len(level)} groups" for level in reversed(layer.tree)]
    used = {child for parent in layer.tree[0] for child, _ in parent["children"]}
    free = len(layer.features) - len(used)
    said = f"{' of '.join(levels)} of {len(layer.features)} features"
    return f"{said}, {free} of them in no group" if free else said
