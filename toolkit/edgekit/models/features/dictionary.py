"""A dictionary: the features of some layers of one language model, with their names and how to steer by them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.tensor_file import HEADER, read_tensor_file, write_tensor_file

FORMAT = "edgekit dictionary 1"
#: Most that a dictionary may have: layers, and features of one.
MAX_LAYERS, MAX_FEATURES = 64, 4096


@dataclass(frozen=True)
class Feature:
    """What is known of one feature.

    Attributes:
        label: a few words for people; the first of its `tokens`.
        tokens: at which it is strongest, the strongest first.
        contexts: the text around these.
        promoted, suppressed: tokens that it makes likelier or unlikelier, by the logit lens; the most first.
        mean: of its coefficient over the fitted tokens, in units of activations.
        maximum: the 99.9 % quantile of the same.
        steering: (kl, alpha), by kl: what to add alpha times its atom to every activation costs, in nats of
            KL(before || after) of the next token; with a negative alpha kl is given a minus sign too.
    """

    label: str = ""
    tokens: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    promoted: tuple[str, ...] = ()
    suppressed: tuple[str, ...] = ()
    mean: float = 0.0
    maximum: float = 0.0
    steering: tuple[tuple[float, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Feature:
        """Raises ValueError where a field is missing, unknown, or of another kind."""
        if set(values) != {one.name for one in fields(cls)}:
            raise ValueError(f"a feature has the fields {sorted(values)}")
        if not isinstance(values["label"], str):
            raise ValueError("a feature's label is no text")
        return cls(
            label=values["label"],
            tokens=_texts(values["tokens"]),
            contexts=_texts(values["contexts"]),
            promoted=_texts(values["promoted"]),
            suppressed=_texts(values["suppressed"]),
            mean=_number(values["mean"]),
            maximum=_number(values["maximum"]),
            steering=tuple((_number(kl), _number(alpha)) for kl, alpha in values["steering"]),
        )


@dataclass(frozen=True)
class LayerDictionary:
    """The features of one layer.

    Attributes:
        layer: from 1, as the command line counts.
        atoms: D (da, k) float32, columns of unit length: the direction of each feature among the da neurons, the
            strongest feature first.
        features: k.
        levels: of the hierarchy above them, the lowest first: (parents, children) float32, not negative, how much a
            parent uses each child; the children of the first are the features.
        level_labels: of every level's parents.
    """

    layer: int
    atoms: Tensor
    features: tuple[Feature, ...]
    levels: tuple[Tensor, ...] = ()
    level_labels: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Dictionary:
    """The features of some layers; all layers have as many.

    Attributes:
        model_sha256: `fingerprint` of the model that it is for.
        layers: in order.
        fit: how it was made: plain values.
    """

    model_sha256: str
    layers: tuple[LayerDictionary, ...]
    fit: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise EdgekitError(f"a dictionary has 1 to {MAX_LAYERS} layers, not {len(self.layers)}.")
        numbers = [layer.layer for layer in self.layers]
        if numbers != sorted(set(numbers)) or numbers[0] < 1:
            raise EdgekitError(f"a dictionary's layers are {numbers}: give each once, in order, from 1.")
        shape = self.layers[0].atoms.shape
        for one in self.layers:
            if one.atoms.ndim != 2 or one.atoms.shape != shape or one.atoms.dtype != torch.float32:
                raise EdgekitError(
                    f"the atoms of layer {one.layer} are {one.atoms.dtype} {tuple(one.atoms.shape)}, those of "
                    f"layer {numbers[0]} {tuple(shape)}: all layers have as many features, in float32."
                )
            if len(one.features) != shape[1] or not 1 <= shape[1] <= MAX_FEATURES:
                raise EdgekitError(f"layer {one.layer} has {shape[1]} atoms and {len(one.features)} features.")
            if not torch.isfinite(one.atoms).all() or ((one.atoms.norm(dim=0) - 1).abs() > 1e-2).any():
                raise EdgekitError(f"layer {one.layer} has atoms that are not of unit length: fit it again.")
            below = shape[1]
            for level, labels in zip_longest(one.levels, one.level_labels):
                fits = level is not None and labels is not None and level.shape == (len(labels), below)
                if not fits or not (level >= 0).all():
                    raise EdgekitError(f"layer {one.layer} has a hierarchy that does not fit its features.")
                below = len(labels)

    @property
    def width(self) -> int:
        """Neurons da of a layer."""
        return self.layers[0].atoms.shape[0]

    @property
    def count(self) -> int:
        """Features k of a layer."""
        return self.layers[0].atoms.shape[1]

    def layer(self, number: int | None) -> LayerDictionary:
        """One layer, counted from 1; the only one for None.

        Raises:
            UsageError: there is no such layer, or several and none is named.
        """
        numbers = ", ".join(str(one.layer) for one in self.layers)
        if number is None and len(self.layers) > 1:
            raise UsageError(f"the dictionary has the layers {numbers}: choose one with --layer.")
        for one in self.layers:
            if number in (None, one.layer):
                return one
        raise UsageError(f"the dictionary has no layer {number}, but {numbers}.")

    def check_model(self, module: nn.Module, where: str) -> None:
        """Refuses a dictionary of another model.

        Raises:
            EdgekitError: `module` has other weights than the model that was explained.
        """
        if fingerprint(module) != self.model_sha256:
            raise EdgekitError(
                f"{where} is for another checkpoint than this one (their weights differ): fit one with "
                f"`edgekit explain fit`, or give the checkpoint that it was made of."
            )


def fingerprint(module: nn.Module) -> str:
    """Hex SHA-256 of a model's parameters, by name: of any file or folder with the same weights the same."""
    digest = hashlib.sha256()
    for name, parameter in sorted(module.named_parameters()):
        values = parameter.detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name} {tuple(values.shape)}\n".encode())
        digest.update(values.numpy().data)
    return digest.hexdigest()


def unit_atoms(atoms: Tensor) -> tuple[Tensor, Tensor]:
    """Columns (da, k) of unit length, and the lengths (k,) that they had; a column of zeros stays one.

    Coefficients that are multiplied by the lengths stand for the same activations.
    """
    lengths = atoms.norm(dim=0)
    return atoms / lengths.clamp_min(torch.finfo(atoms.dtype).tiny), lengths


def save_dictionary(dictionary: Dictionary, path: Path) -> None:
    """Writes the whole file or nothing; atoms in float16, hierarchies in float32.

    Raises:
        EdgekitError: it cannot be written.
    """
    tensors = {}
    for one in dictionary.layers:
        tensors[f"layer{one.layer}.atoms"] = one.atoms.half().contiguous()
        tensors |= {f"layer{one.layer}.level{number}": level for number, level in enumerate(one.levels, 1)}
    header = {
        "format": FORMAT,
        "model_sha256": dictionary.model_sha256,
        "fit": dict(dictionary.fit),
        "layers": [
            {
                "layer": one.layer,
                "levels": [list(labels) for labels in one.level_labels],
                "features": [feature.to_dict() for feature in one.features],
            }
            for one in dictionary.layers
        ],
    }
    write_tensor_file(path, tensors, header)


def load_dictionary(path: Path) -> Dictionary:
    """A file of `save_dictionary`, its atoms of unit length in float32.

    Raises:
        UsageError: there is no such file.
        EdgekitError: it is cut short, or no dictionary of this version.
    """
    if not path.is_file():
        raise UsageError(f"there is no dictionary {path}: make one with `edgekit explain fit`.")
    tensors, metadata = read_tensor_file(path, "the dictionary", "copy or fit it again")
    try:
        header = json.loads(metadata[HEADER])
        if header["format"] != FORMAT:
            raise ValueError(header["format"])
        layers = tuple(_layer(values, tensors) for values in header["layers"])
        return Dictionary(str(header["model_sha256"]), layers, dict(header["fit"]))
    except (KeyError, TypeError, ValueError, AttributeError, EdgekitError) as error:
        raise EdgekitError(
            f"{path} is not a dictionary of this version of edgekit ({str(error).rstrip('.')}): give a file of "
            f"`edgekit explain fit`."
        ) from error


def with_features(layer: LayerDictionary, features: Sequence[Feature]) -> LayerDictionary:
    """The same atoms, of which more is known."""
    return replace(layer, features=tuple(features))


def _layer(values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> LayerDictionary:
    number, labels = values["layer"], tuple(_texts(one) for one in values["levels"])
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"layer {number!r}")
    atoms, _ = unit_atoms(tensors[f"layer{number}.atoms"].float())
    features = tuple(Feature.from_dict(feature) for feature in values["features"])
    levels = tuple(tensors[f"layer{number}.level{level}"].float() for level in range(1, len(labels) + 1))
    return LayerDictionary(number, atoms, features, levels, labels)


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("tokens, contexts and labels are lists of text")
    return tuple(values)


def _number(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)
