"""A dictionary of features beside an exported model: what `--set dictionary=`, `shown=` and `steer=` ask for."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.features.bundle_file import FEATURES_FILE
from edgekit.models.features.dictionary import Dictionary, load_dictionary
from edgekit.models.features.listed import SHIPPED, SHIPPED_FILE
from edgekit.models.features.steering import Amount, coefficients, read_steering
from edgekit.models.shipped import shipped_or

from .opt import OPT


@dataclass(frozen=True)
class Explained:
    """Which features a bundle finds.

    Attributes:
        dictionary: of the layers that are tapped.
        shown: features that are given of a token and layer, the strongest.
        steering: what is added for good.
    """

    dictionary: Dictionary
    shown: int
    steering: tuple[Amount, ...] = ()

    @property
    def constant(self) -> Mapping[int, Tensor]:
        """Coefficients (k,) float32 by layer, from 1, that steer for good."""
        return coefficients(self.steering, self.dictionary.count)

    def steered(self, opt: OPT) -> OPT:
        """The model with what steers for good in its biases; itself where nothing does. It shares all else."""
        constant = self.constant
        if not constant:
            return opt
        made = copy.deepcopy(opt, {id(tensor): tensor for tensor in (*opt.parameters(), *opt.buffers())})
        linears = made.second_linears()
        for layer in self.dictionary.layers:
            if layer.layer in constant:
                linear = linears[layer.layer]
                change = linear.weight.double() @ (layer.atoms.double() @ constant[layer.layer].double())
                linear.bias = nn.Parameter((linear.bias.double() + change).float(), requires_grad=False)
        return made

    def to_dict(self) -> dict[str, Any]:
        """The manifest's `explain`."""
        return {
            "layers": [layer.layer for layer in self.dictionary.layers],
            "features": self.dictionary.count,
            "shown": self.shown,
            "file": FEATURES_FILE,
            **({"steering": [one.to_dict() for one in self.steering]} if self.steering else {}),
        }


def load_explained(dictionary: str | None, shown: int, steer: str | None, opt: OPT) -> Explained | None:
    """What an export's settings ask for; None where there is no dictionary.

    Args:
        dictionary: "shipped", or a file.
        shown: most features a token and layer.
        steer: FEATURE=KL,...
        opt: whose features these are.

    Raises:
        UsageError: no such file, features without a dictionary, or what it does not have.
        EdgekitError: it is of another model.
    """
    if dictionary is None:
        if steer is not None:
            raise UsageError("--set steer=: without a dictionary there are no features: give one with dictionary=.")
        return None
    if dictionary == SHIPPED:
        with shipped_or(None, "sea_opt", SHIPPED_FILE) as path:
            if not path.is_file():
                raise UsageError(
                    "no dictionary ships with this edgekit: make one with `edgekit explain fit`, and give its file."
                )
            found = load_dictionary(path)
    else:
        found = load_dictionary(Path(dictionary))
    where = f"--set dictionary={dictionary}"
    found.check_model(opt, where)
    layers, widest = opt.config.num_hidden_layers, found.layers[-1].layer
    if widest > layers or found.width != opt.config.ffn_dim:
        raise EdgekitError(
            f"{where} is of {found.width} neurons in layer {widest}, the model has {opt.config.ffn_dim} in layers 1 to "
            f"{layers}: fit it again."
        )
    if not 1 <= shown <= found.count:
        raise UsageError(f"--set shown={shown}: the dictionary has {found.count} features: give 1 to {found.count}.")
    return Explained(found, shown, () if steer is None else read_steering(steer, found, dictionary))
