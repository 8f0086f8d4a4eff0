"""Recipes: how numbers are stored and computed. Adding one adds an entry to `_RECIPES`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from edgekit.errors import UsageError, unknown_name
from edgekit.models.kv import KV

#: Gate of recipes that round: the error has a tenth of the power of what the output says.
ROUNDED_SNR_DB = 10.0


@dataclass(frozen=True)
class Recipe:
    """One way to store and compute numbers.

    Attributes:
        name: as on the command line.
        summary: one line for people.
        weights: dtype of the delegate's weights.
        activations: dtype of the delegate's activations; "int8 dynamic" finds their range at every call.
        calibration_samples: inputs per method that the observers see; 0 if none are needed.
        max_relative_error: gate: largest error of any output, as a share of that output's range.
        min_snr_db: gate: signal-to-noise ratio of every output against eager fp32, in dB.
        kv: how a language model's KV cache is stored; models without one take no notice.
        keep_fp32: names of modules of the captured module that stay in fp32, beside those that the model keeps itself.
    """

    name: str
    summary: str
    weights: Literal["float32", "int8", "int4"]
    activations: Literal["float32", "int8", "int8 dynamic"]
    calibration_samples: int = 0
    max_relative_error: float | None = None
    min_snr_db: float | None = None
    kv: KV = "fp32"
    keep_fp32: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its name with what was changed of it, for a bundle's folder: "int4", "int4-kv-int8", "int8-mixed"."""
        kv = "" if self.kv == find_recipe(self.name).kv else f"-kv-{self.kv}"
        return f"{self.name}{kv}{'-mixed' if self.keep_fp32 else ''}"

    def with_kv(self, kv: KV) -> Recipe:
        """The same with another KV cache; one that is rounded is held to what rounded recipes are held to."""
        if kv == "fp32" or self.min_snr_db is not None:
            return replace(self, kv=kv)
        return replace(self, kv=kv, max_relative_error=None, min_snr_db=ROUNDED_SNR_DB)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


_RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("fp32", "32-bit floats as trained", "float32", "float32", max_relative_error=1e-4),
        Recipe(
            "int8",
            "static int8 (PT2E): weights per output channel, activations per tensor, calibrated",
            "int8",
            "int8",
            calibration_samples=128,
            min_snr_db=ROUNDED_SNR_DB,
        ),
        Recipe(
            "int8-dynamic",
            "int8 weights per output channel, activations in int8 by their range at every call; linear layers",
            "int8",
            "int8 dynamic",
            min_snr_db=ROUNDED_SNR_DB,
            kv="fp16",
        ),
        Recipe(
            "int4",
            "int4 weights in groups of 32, activations in int8 by their range at every call; linear layers",
            "int4",
            "int8 dynamic",
            min_snr_db=ROUNDED_SNR_DB,
            kv="fp16",
        ),
    )
}


def recipes() -> tuple[Recipe, ...]:
    """Every recipe, the most exact first."""
    return tuple(_RECIPES.values())


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: unknown; the message names the nearest.
    """
    if name.lower() not in _RECIPES:
        raise unknown_name("recipe", name, list(_RECIPES), "edgekit list recipes")
    return _RECIPES[name.lower()]


def choose_recipe(
    name: str | None,
    default: str,
    taken: Sequence[str],
    model: str,
    kv: KV | None = None,
    kv_types: Sequence[KV] = (),
) -> Recipe:
    """The recipe for a model.

    Args:
        name: what the user asked for; None for the default.
        default: of the device; the model's first where the model does not take it.
        taken: names that the model takes.
        model: its name.
        kv: how the user wants a KV cache stored; None for the recipe's way, or the model's first.
        kv_types: ways that the model takes; none where it has no cache.

    Raises:
        UsageError: unknown, or not for this model.
    """
    recipe = find_recipe(name or (default if default in taken else taken[0]))
    if recipe.name not in taken:
        raise UsageError(f"{model} takes {', '.join(taken)}, not {recipe.name}: choose one of them with --recipe.")
    if kv is not None and not kv_types:
        raise UsageError(f"{model} has no KV cache: leave --kv out.")
    if kv is not None and kv not in kv_types:
        raise UsageError(f"{model} takes a KV cache of {', '.join(kv_types)}, not {kv}: leave --kv out.")
    chosen = kv or (recipe.kv if recipe.kv in kv_types or not kv_types else kv_types[0])
    return recipe.with_kv(chosen)
