"""`edgekit explain show`: the features of a dictionary or a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.options import PATH, json_option
from edgekit.errors import UsageError

if TYPE_CHECKING:
    from edgekit.models.features.dictionary import Feature
    from edgekit.models.features.listed import ListedLayer

#: Features of a layer that are shown, and tokens of each, where nothing else is asked for.
MOST, TOKENS = 25, 5
layer_option = click.option("--layer", type=click.IntRange(min=1), metavar="N", help="One layer; default: all.")


@click.command("show")
@click.argument("dictionary", type=PATH, metavar="DICTIONARY|BUNDLE")
@layer_option
@click.option("--feature", metavar="ID", help="All that is known of one feature: 12, or 4:12 for one of layer 4.")
@click.option("--most", type=click.IntRange(min=1), metavar="N", help=f"Features per layer; default: {MOST}.")
@json_option
def command(dictionary: Path, layer: int | None, feature: str | None, most: int | None, as_json: bool) -> None:
    """Show the features of a DICTIONARY (a file, or "shipped") or of a BUNDLE.

    A row a feature, the strongest first: its label, which is the tokens at which it is strongest; other such tokens;
    those that it makes likelier and unlikelier, by the logit lens; its mean coefficient; and the
    KL divergences (nats) that --steer takes.
    """
    from edgekit.models.features.listed import open_features
    from edgekit.report import print_json

    if feature is not None and most is not None:
        raise UsageError("--most is for a list of features, and --feature shows one: leave one out.")
    found = open_features(dictionary)
    if feature is not None:
        one, number = found.find(feature, layer)
        if as_json:
            print_json({"layer": one.layer, "feature": number, **one.features[number].to_dict()})
            return
        _print_feature(one, number)
        print(f"Next: edgekit explain tree {dictionary} --layer {one.layer}")
        return
    layers = found.chosen(layer)
    if as_json:
        print_json({"layers": [_layer(one, most or len(one.features)) for one in layers]})
        return
    for one in layers:
        _print_layer(one, most or MOST)
    print(f"Next: edgekit explain show {dictionary} --feature {layers[0].layer}:0")


def _layer(layer: ListedLayer, most: int) -> dict[str, Any]:
    shown = enumerate(layer.features[:most])
    return {"layer": layer.layer, "features": [{"feature": number, **one.to_dict()} for number, one in shown]}


def _print_layer(layer: ListedLayer, most: int) -> None:
    from edgekit.feature_words import range_text, tokens_text
    from edgekit.report import print_table

    count = len(layer.features)
    print(f"Layer {layer.layer}, {count} features")
    headers = ("feature", "label", "also strong at", "promotes", "suppresses", "mean", "KL")
    rows = [
        (
            f"{layer.layer}:{number}",
            one.label,
            *(tokens_text(tokens, TOKENS) for tokens in (_others(one), one.promoted, one.suppressed)),
            f"{one.mean:.3g}",
            range_text(one),
        )
        for number, one in enumerate(layer.features[:most])
    ]
    print_table(headers, rows, right=(5,))
    if count > most:
        print(f"{count - most} weaker features are not shown: --most {count} shows all.\n")


def _others(feature: Feature) -> list[str]:
    """Its tokens that its label does not name; where nobody named it, the label is the first of them."""
    from edgekit.feature_words import token_text

    named = {word.strip().casefold() for word in feature.label.split(",")}
    return [token for token in feature.tokens if token_text(token).casefold() not in named]


def _print_feature(layer: ListedLayer, number: int) -> None:
    from edgekit.feature_words import token_text, tokens_text
    from edgekit.report import print_table

    one = layer.features[number]
    print(f"Feature {layer.layer}:{number}: {one.label}")
    print(f"Coefficient: mean {one.mean:.3g}, 99.9 % are below {one.maximum:.3g} (units of activations)")
    for title, tokens in (
        ("Strongest at", one.tokens),
        ("Promotes", one.promoted),
        ("Suppresses", one.suppressed),
    ):
        print(f"{title}: {tokens_text(tokens) or 'nothing'}")
    if one.contexts:
        print("In the text, the token in guillemets:")
    for context in one.contexts:
        print(f"  {token_text(context)}")
    if not one.steering:
        print("Steering: not calibrated, so --steer cannot take it.")
        return
    print("Steering (alpha is what --steer FEATURE=KL adds to the activations, times the feature's atom):")
    rows = [(f"{kl:g}", f"{alpha:.4g}") for kl, alpha in sorted(one.steering)]
    print_table(("KL, nats", "alpha"), rows, right=(0, 1))
