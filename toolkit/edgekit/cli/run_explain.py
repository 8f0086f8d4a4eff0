"""`edgekit run --explain` and `--steer`: what a text's tokens were about, and what it was steered by."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from edgekit.bundle import Bundle
from edgekit.cli.run import RunRequest
from edgekit.errors import UsageError
from edgekit_runtime.generate import Generation, TextGenerator

#: Columns of a line where stdout is no terminal, of a token, and of a feature's label, by how much room there is.
WIDTH, TOKEN_WIDTH, LABEL_WIDTHS = 100, 14, (24, 18, 14)


def check(request: RunRequest) -> None:
    """Refuses options that make no sense, before anything is opened.

    Raises:
        UsageError: --picture or --output without --explain, names that do not fit, --attention with --steer, or no
            FEATURE=KL.
    """
    amounts(request.steer)
    for option, path, ending in (("picture", request.picture, ".png"), ("output", request.output, ".jsonl")):
        if path is None:
            continue
        if not request.explain:
            raise UsageError(f"--{option} is for a text that is explained: give --explain too.")
        if path.suffix.lower() != ending:
            kind = "picture" if option == "picture" else "file of results"
            raise UsageError(f"{path} is not the name of a {kind}: let it end in {ending}.")
    if request.steer and request.attention is not None:
        raise UsageError("--attention draws what the model does without steering: leave out one of it and --steer.")


def amounts(steer: Iterable[str]) -> dict[str, float]:
    """KL in nats by feature, from "12=0.1" or "4:12=-0.1".

    Raises:
        UsageError: one is no such pair, or a feature is there twice.
    """
    found: dict[str, float] = {}
    for text in steer:
        feature, sign, number = text.rpartition("=")
        try:
            kl = float(number)
        except ValueError:
            kl = math.nan
        if not sign or not feature or not math.isfinite(kl):
            raise UsageError(
                f"--steer {text}: write FEATURE=KL, such as 12=0.1, or 4:12=-0.1 for less of feature 12 of layer 4."
            )
        if feature in found:
            raise UsageError(f"--steer names feature {feature} twice: give it once.")
        found[feature] = kl
    return found


def prepare(generator: TextGenerator, request: RunRequest) -> None:
    """Before the text: steers by what was asked for, and has the tokens explained.

    Raises:
        UsageError: the bundle has no features, or not this one, or it is not calibrated for this KL.
    """
    if request.steer:
        generator.steer(amounts(request.steer))
    if request.explain:
        generator.explain = True


def explained(generator: TextGenerator) -> dict[str, Any]:
    """After the text: its explanation (`edgekit.explanations`)."""
    return generator.explanation().to_dict(generator.tokenizer, generator.steered)


def print_explanation(explanation: Mapping[str, Any], prompt: int) -> None:
    """A line per token and layer: the share that is left unexplained, and the features, the strongest first.

    Args:
        explanation: what `explained` gives.
        prompt: how many of the tokens are the prompt's.
    """
    width = _width()
    print(
        "\nFeatures of each token, the strongest first, with their values; left is the share that they do not explain."
    )
    print(f"{'token':{TOKEN_WIDTH}} layer  left  features")
    for place, token in enumerate(explanation["tokens"]):
        if place == prompt:
            print(f"{'- generated ':-<{width}}")
        for index, (layer, found) in enumerate(zip(explanation["layers"], token["layers"], strict=True)):
            name = "" if index else _fitted(_word(token), TOKEN_WIDTH)
            head = f"{_padded(name, TOKEN_WIDTH)} {layer:5d} {100 * found['unexplained']:3.0f} %  "
            print(head + features_text(found["features"], width - len(head)))


def features_text(features: Iterable[Mapping[str, Any]], width: int) -> str:
    """As many features as there is room for, one at least: "12 Monday, Tuesday: 1.30; 3 of, in: 0.80; 2 more"."""
    from rich.cells import cell_len

    each = list(features)
    text = "none"
    for count in range(len(each), 0, -1):
        for label in LABEL_WIDTHS:
            parts = [f"{one['feature']} {_fitted(one['label'], label)}: {one['value']:.2f}" for one in each[:count]]
            parts += [f"{len(each) - count} more"] if count < len(each) else []
            text = "; ".join(parts)
            if cell_len(text) <= width:
                return text
    return text


def steering_text(generator: TextGenerator) -> str:
    """ "Steered: 4:12 (Monday, Tuesday) by KL 0.1 (alpha 3.2)."."""
    each = [
        f"{one.layer}:{one.feature} ({one.label}) by KL {one.kl:g} (alpha {one.alpha:.3g}{', built in' * one.built_in})"
        for one in generator.steered
    ]
    return f"Steered: {', '.join(each)}."


def write(bundle: Bundle, request: RunRequest, prompt: str, went: Generation, explanation: Mapping[str, Any]) -> None:
    """The picture and the result that were asked for.

    Args:
        bundle: that the text is of.
        request: with the files.
        prompt: as text.
        went: what followed it.
        explanation: of both.
    """
    if request.picture is not None:
        from edgekit.feature_pictures import draw_explanation

        draw_explanation(explanation, went.prompt_tokens, request.picture, bundle.name)
    if request.output is not None:
        from edgekit.devices.results import append_results, new_result

        result = new_result(bundle, command_line(bundle, request, prompt), {"kind": "local"})
        result["explanation"] = {
            **explanation,
            "prompt": prompt,
            "text": went.text,
            "prompt_tokens": went.prompt_tokens,
            "hierarchy": _hierarchy(bundle),
        }
        append_results(request.output, [result])


def command_line(bundle: Bundle, request: RunRequest, prompt: str) -> str:
    """The command that gives the same text and explanation again."""
    words = ["edgekit", "run", str(bundle.path), "--prompt", prompt]
    options = {"max-tokens": request.max_tokens, "temperature": request.temperature, "seed": request.seed}
    for name, value in options.items():
        words += [] if value is None else [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    for one in request.steer:
        words += ["--steer", one]
    return shlex.join([*words, "--explain"])


def _hierarchy(bundle: Bundle) -> list[dict[str, Any]]:
    from edgekit.models.features.listed import bundle_features

    return [
        {"layer": one.layer, "labels": [feature.label for feature in one.features], "tree": one.tree}
        for one in bundle_features(bundle).layers
        if one.tree
    ]


def _word(token: Mapping[str, Any]) -> str:
    from edgekit.explanations import word

    return word(token)


def _width() -> int:
    if not sys.stdout.isatty():
        return WIDTH
    from rich.console import Console

    return Console().width


def _fitted(text: str, width: int) -> str:
    """A text of so many columns at most; signs of some scripts take two."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1).rstrip()}…"


def _padded(text: str, width: int) -> str:
    from rich.cells import set_cell_size

    return set_cell_size(text, width)
