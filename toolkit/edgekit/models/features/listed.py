"""The features of a dictionary or of a bundle in one form, to be shown: without atoms, with the tree."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgekit.bundle import Bundle
from edgekit.errors import EdgekitError, UsageError
from edgekit.files import read_json_object
from edgekit.manifest import is_bundle
from edgekit.models.features.bundle_file import SCHEMA
from edgekit.models.features.dictionary import MAX_FEATURES, MAX_LAYERS, Feature, load_dictionary
from edgekit.models.features.tree import checked_tree, layer_tree
from edgekit.models.shipped import shipped_or

#: What a dictionary in the package is called, and its file without the ending.
SHIPPED, SHIPPED_FILE = "shipped", "base.dictionary"
#: Of a bundle's file; with every feature that a dictionary can have it takes less.
MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class ListedLayer:
    """One layer.

    Attributes:
        layer: from 1.
        features: by number, from 0.
        tree: levels of parents (`tree.layer_tree`); empty without a hierarchy.
    """

    layer: int
    features: tuple[Feature, ...]
    tree: list[list[dict[str, Any]]]


@dataclass(frozen=True)
class Listed:
    """Some layers' features.

    Attributes:
        origin: the file or bundle, as it was given.
        layers: in order.
    """

    origin: str
    layers: tuple[ListedLayer, ...]

    def chosen(self, number: int | None) -> tuple[ListedLayer, ...]:
        """The layer of that number, counted from 1; all for None.

        Raises:
            UsageError: there is no such layer.
        """
        found = tuple(one for one in self.layers if number in (None, one.layer))
        if not found:
            raise UsageError(f"{self.origin} has no layer {number}, but {self._numbers()}: choose one of them.")
        return found

    def find(self, name: str, layer: int | None = None) -> tuple[ListedLayer, int]:
        """A feature by its name on a command line: "4:12" (layer 4), or "12" where one layer is meant.

        Raises:
            UsageError: it is no such name, or there is no such feature.
        """
        match = re.fullmatch(r"(?:(\d{1,4}):)?(\d{1,6})", name)
        if match is None:
            raise UsageError(f"{name!r} is no feature: write its number, such as 12, or 4:12 for one of layer 4.")
        if match[1] is not None and layer is not None and int(match[1]) != layer:
            raise UsageError(f"feature {name} is of layer {match[1]}, and --layer says {layer}: leave one out.")
        layers = self.chosen(int(match[1]) if match[1] is not None else layer)
        if len(layers) > 1:
            raise UsageError(
                f"{self.origin} has layers {self._numbers()}: write LAYER:FEATURE, say {layers[0].layer}:{match[2]}."
            )
        (one,) = layers
        if int(match[2]) >= len(one.features):
            raise UsageError(
                f"layer {one.layer} of {self.origin} has no feature {match[2]}: its features are 0 to "
                f"{len(one.features) - 1}, `edgekit explain show {self.origin}` lists them."
            )
        return one, int(match[2])

    def _numbers(self) -> str:
        return ", ".join(str(one.layer) for one in self.layers)


def open_features(path: Path) -> Listed:
    """The features of a bundle, of a dictionary's file, or of the dictionary in the package ("shipped").

    Raises:
        UsageError: there is no such file or bundle, or the bundle has no features.
        EdgekitError: it is damaged.
    """
    if os.fspath(path) == SHIPPED and not path.exists():
        with shipped_or(None, "sea_opt", SHIPPED_FILE) as file:
            return _of_dictionary(file, SHIPPED)
    if path.is_dir():
        if not is_bundle(path):
            raise UsageError(f"{path} is no bundle: give one, or the file of a dictionary.")
        return bundle_features(Bundle.open(path))
    return _of_dictionary(path, os.fspath(path))


def explained_layers(bundle: Bundle) -> Mapping[str, Any]:
    """What a bundle's manifest says of its features.

    Raises:
        UsageError: it has none.
    """
    explain = bundle.manifest["pipeline"].get("explain")
    if not isinstance(explain, Mapping):
        raise UsageError(
            f"{bundle.path} has no features: export a language model with them, "
            f"`edgekit export sea-opt --set dictionary=shipped` or your own FILE of `edgekit explain fit`."
        )
    return explain


def bundle_features(bundle: Bundle) -> Listed:
    """The features of a bundle whose files were checked.

    Raises:
        UsageError: it has none.
        EdgekitError: their file is damaged.
    """
    name = str(explained_layers(bundle).get("file"))
    path = bundle.path / name
    if bundle.manifest["files"].get(name, {}).get("bytes", MAX_BYTES + 1) > MAX_BYTES:
        raise EdgekitError(f"{path} is no file of the bundle, or too large for one of features: export it again.")
    values = read_json_object(path)
    try:
        if values["schema"] != SCHEMA:
            raise ValueError(f"schema {values['schema']!r}, not {SCHEMA}")
        layers = values["layers"]
        if not isinstance(layers, list) or not 1 <= len(layers) <= MAX_LAYERS:
            raise ValueError("no list of layers")
        return Listed(os.fspath(bundle.path), tuple(_layer(layer) for layer in layers))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise EdgekitError(f"{path} is no file of features ({said}): export the bundle again.") from error


def _layer(values: Mapping[str, Any]) -> ListedLayer:
    number, features = values["layer"], values["features"]
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"layer {number!r}")
    if not isinstance(features, list) or not 1 <= len(features) <= MAX_FEATURES:
        raise ValueError(f"layer {number} has no list of features")
    known = {one.name for one in fields(Feature)}
    # A later edgekit may say more of a feature.
    listed = tuple(Feature.from_dict({name: one[name] for name in known & set(one)}) for one in features)
    return ListedLayer(number, listed, checked_tree(values.get("tree", []), len(listed)))


def _of_dictionary(path: Path, origin: str) -> Listed:
    layers = load_dictionary(path).layers
    return Listed(origin, tuple(ListedLayer(one.layer, one.features, layer_tree(one)) for one in layers))
