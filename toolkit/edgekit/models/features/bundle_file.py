"""`features.json`: what a bundle says of the features of its tapped layers."""

from __future__ import annotations

import json
from typing import Any

from .dictionary import Dictionary, LayerDictionary
from .tree import layer_tree

#: The file's name in a bundle.
FEATURES_FILE = "features.json"
SCHEMA = 1


def features_json(dictionary: Dictionary) -> bytes:
    """The file: labels, tokens, steering and hierarchy by layer, without the atoms, which the program has."""
    content = {"schema": SCHEMA, "layers": [_layer(layer) for layer in dictionary.layers]}
    return (json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _layer(layer: LayerDictionary) -> dict[str, Any]:
    features = [feature.to_dict() for feature in layer.features]
    return {"layer": layer.layer, "features": features, "tree": layer_tree(layer)}
