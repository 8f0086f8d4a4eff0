"""Results of `edgekit run --explain`, made up: two texts of one bundle, the second one steered."""

from __future__ import annotations

from typing import Any

from edgekit.models.features.tree import layer_tree

from ..made_explanation import PROMPT, made_dictionary, made_explanation
from .made_results import made_results


def made_explained_results(tokens: int = 30) -> list[dict[str, Any]]:
    """Of the made-up results' language model."""
    bundle = next(one["bundle"] for one in made_results(12) if one["bundle"]["task"] == "generate_text")
    dictionary = made_dictionary()
    hierarchy = [
        {"layer": one.layer, "labels": [feature.label for feature in one.features], "tree": layer_tree(one)}
        for one in dictionary.layers
    ]
    results = []
    for steered in (False, True):
        explanation = made_explanation(tokens, dictionary, steered)
        words = [token["text"] for token in explanation["tokens"]]
        option = " --steer 4:3=-0.1" if steered else ""
        results.append(
            {
                "schema": 1,
                "bundle": bundle,
                "target": {"kind": "local", "address": None, "emulated": False},
                **dict.fromkeys(
                    ("machine", "settings", "measured", "operators", "roofline", "estimated", "arena"),
                ),
                "explanation": {
                    **explanation,
                    "prompt": "".join(words[:PROMPT]),
                    "text": "".join(words[PROMPT:]) + " end",
                    "prompt_tokens": PROMPT,
                    "hierarchy": hierarchy,
                },
                "versions": {"edgekit": "0.1.0"},
                "command": f"edgekit run bundles/{bundle['name']} --prompt 'a prompt' --explain{option}",
                "date": "2026-11-26T18:00:00+00:00",
            }
        )
    return results
