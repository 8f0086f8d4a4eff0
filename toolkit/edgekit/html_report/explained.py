"""What the page shows of texts that were explained: tokens by features, steering, and the hierarchy above the features.

A text's tables and a bundle's hierarchies are packed like a bundle's details (`details.py`), and drawn when opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.explanations import LayerUse, layer_use, word
from edgekit.html_report.details import packed
from edgekit.html_report.figures import figure, text
from edgekit.models.features.tree import checked_tree

#: Of a text: tokens, and features of a layer. What is left out is counted.
MOST_TOKENS, MOST_FEATURES = 256, 20


def explained_text(explanation: Mapping[str, Any]) -> dict[str, Any]:
    """A result's `explanation` without its hierarchy.

    Raises:
        KeyError, TypeError, ValueError, IndexError: it is not as its schema says.
    """
    tokens = explanation["tokens"]
    shown = {"layers": explanation["layers"], "tokens": tokens[:MOST_TOKENS]}
    uses = [layer_use(shown, place, MOST_FEATURES) for place in range(len(explanation["layers"]))]
    tables = {
        "words": [text(word(token)) for token in shown["tokens"]],
        "layers": [_table(use) for use in uses],
    }
    return {
        "prompt": text(explanation["prompt"]),
        "text": text(explanation["text"]),
        "prompt_tokens": min(len(shown["tokens"]), int(explanation["prompt_tokens"])),
        "tokens": len(tokens),
        "shown": len(shown["tokens"]),
        "layers": [use.layer for use in uses],
        "steering": [
            {
                "feature": f"{int(one['layer'])}:{int(one['feature'])}",
                "label": text(one["label"]) + (", built in" if one.get("built_in") else ""),
                "kl": figure(one["kl"]),
                "alpha": figure(one["alpha"], 4),
            }
            for one in explanation["steering"]
        ],
        "details": packed(tables),
    }


def hierarchies(explanation: Mapping[str, Any]) -> str | None:
    """The trees of its layers, packed; None without any.

    Raises:
        KeyError, TypeError, ValueError: they are not as their schema says.
    """
    found = []
    for one in explanation["hierarchy"]:
        labels = [text(label) for label in one["labels"]]
        levels = [
            [{"label": text(parent["label"]), "children": parent["children"]} for parent in level]
            for level in checked_tree(one["tree"], len(labels))
        ]
        if levels:
            found.append({"layer": int(one["layer"]), "labels": labels, "levels": levels})
    return packed(found) if found else None


def _table(use: LayerUse) -> dict[str, Any]:
    """By column: a feature's tokens and how much of it they have, those that have any."""
    columns: list[Sequence[Any]] = []
    for row in use.values:
        places = row.nonzero()[0].tolist()
        columns.append([places, [figure(float(row[place]), 3) for place in places]])
    return {
        "layer": int(use.layer),
        "features": [int(feature) for feature in use.features],
        "labels": [text(label) for label in use.labels],
        "columns": columns,
        "unexplained": [figure(float(share), 3) for share in use.unexplained],
        "others": use.others,
    }
