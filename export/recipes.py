"""Recipes: how numbers are stored and computed. Adding one adds an entry to `_RECIPES`, and nothing elsewhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from edgekit.errors import UsageError, unknown_name
from edgekit.models.kv import KV
from edgekit.models.model import Model, Observer

#: Gate of recipes that round: the error has a tenth of the power of what the output says.
ROUNDED_SNR_DB = 10.0


@dataclass(frozen=True)
class Recipe:
    """One way to store and compute numbers.

    Attributes:
        name: as on the command line.
        summary: one line for people.
        weights: dtype that weights are stored in.
        activations: dtype that a delegate computes in; "int8" takes ranges that observers found, "int8 dynamic" finds
            them at every call.
        max_relative_error: gate: largest error of any output, as a share of that output's range.
        min_snr_db: gate: signal-to-noise ratio of every output against eager fp32, in dB.
        samples: inputs per method that the observers see; None for the model's own number.
        observer: how they find ranges; None for the model's own way.
        kv: how a language model's KV cache is stored; models without one take no notice.
        keep_fp32: names of modules of what is captured that stay in fp32, or patterns of names, beside those that the
            model keeps itself.
    """

    name: str
    summary: str
    weights: Literal["float32", "float16", "int8", "int4"]
    activations: Literal["float32", "int8", "int8 dynamic"]
    max_relative_error: float | None = None
    min_snr_db: float | None = None
    samples: int | None = None
    observer: Observer | None = None
    kv: KV = "fp32"
    keep_fp32: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its name with what was changed of it, for a bundle's folder: "int4", "int4-kv-int8", "int8-mixed"."""
        kv = "" if self.kv == find_recipe(self.name).kv else f"-kv-{self.kv}"
        return f"{self.name}{kv}{'-mixed' if self.keep_fp32 else ''}"

    @property
    def calibrated(self) -> bool:
        """Whether observers look at inputs."""
        return self.activations == "int8"

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
            "fp16",
            "weights in 16-bit floats; linear layers computed in them where the device's CPU can, the rest in fp32",
            "float16",
            "float32",
            min_snr_db=40.0,  # an error of a hundredth of what the output says
        ),
        Recipe(
            "int8",
            "static int8 (PT2E): weights per output channel, activations per tensor, calibrated",
            "int8",
            "int8",
            min_snr_db=ROUNDED_SNR_DB,
        ),
        Recipe(
            "int8-dynamic",
            "int8 weights per output channel; linear layers take int8 activations by their range at every call",
            "int8",
            "int8 dynamic",
            min_snr_db=ROUNDED_SNR_DB,
            kv="fp16",
        ),
        Recipe(
            "int4",
            "int4 weights in groups of 32; linear layers take int8 activations by their range at every call",
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


def taken_recipes(model: Model | type[Model]) -> tuple[Recipe, ...]:
    """The recipes that a model takes, the most exact first."""
    return tuple(recipe for recipe in recipes() if recipe.name not in model.refused_recipes)


def choose_recipe(name: str | None, default: str, model: Model, kv: KV | None = None) -> Recipe:
    """The recipe for a model.

    Args:
        name: what the user asked for; None for the default.
        default: of the device; the model's own where the model does not take it.
        model: which refuses some.
        kv: how the user wants a KV cache stored; None for the recipe's way, or the model's first.

    Raises:
        UsageError: unknown, or not for this model.
    """
    recipe = find_recipe(name or default)
    refused = model.refused_recipes.get(recipe.name)
    if refused is not None and name is not None:
        others = ", ".join(taken.name for taken in taken_recipes(model))
        raise UsageError(f"{model.name} refuses {recipe.name}: {refused}; choose one of {others} with --recipe.")
    if refused is not None:
        recipe = find_recipe(model.preferred_recipe)
    types = model.kv_types
    if kv is not None and not types:
        raise UsageError(f"{model.name} has no KV cache: leave --kv out.")
    if kv is not None and kv not in types:
        raise UsageError(f"{model.name} takes a KV cache of {', '.join(types)}, not {kv}: leave --kv out.")
    return recipe.with_kv(kv or (recipe.kv if recipe.kv in types or not types else types[0]))


def change_recipe(
    recipe: Recipe, keep_fp32: tuple[str, ...] = (), samples: int | None = None, observer: Observer | None = None
) -> Recipe:
    """A recipe with what the user changes of it.

    Raises:
        UsageError: nothing in the recipe is calibrated, or nothing is rounded.
    """
    if not recipe.calibrated and (samples, observer) != (None, None):
        option = "--observer" if samples is None else "--samples"
        raise UsageError(f"{option} is for recipes that are calibrated, which {recipe.name} is not: leave it out.")
    if recipe.weights == "float32" and keep_fp32:
        raise UsageError(f"--keep-fp32 is for recipes that round, which {recipe.name} does not: leave it out.")
    return replace(recipe, keep_fp32=keep_fp32, samples=samples, observer=observer)
