"""Mixed precision: which modules a recipe leaves in fp32."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from edgekit.errors import UsageError
from edgekit.export.recipes import Recipe
from edgekit.models.model import Method, Model, is_inside


def kept_by_model(model: Model, recipe: Recipe) -> tuple[str, ...]:
    """What the model itself keeps in fp32: what integers would spoil."""
    return model.keep_fp32 if recipe.weights in ("int8", "int4") else ()


def kept_modules(model: Model, methods: Sequence[Method], recipe: Recipe) -> tuple[str, ...]:
    """Names of the modules that stay in fp32, with all that is in them: the model's own and the recipe's.

    Args:
        model: whose modules.
        methods: of the model; names are those in what they capture.
        recipe: with names, or patterns as `fnmatch` takes them.

    Raises:
        UsageError: a name or pattern matches no module.
    """
    modules = [method.module or model.device_module for method in methods]
    known = list(dict.fromkeys(name for module in modules for name, _ in module.named_modules() if name))
    kept = list(kept_by_model(model, recipe))
    for pattern in recipe.keep_fp32:
        matched = [name for name in known if fnmatchcase(name, pattern)]
        if not matched:
            near = difflib.get_close_matches(pattern, known, n=1, cutoff=0.3)
            nearest = f"did you mean {near[0]!r}?" if near else "there are others:"
            raise UsageError(
                f"{model.name} has no module {pattern!r} to keep in fp32: {nearest} {model.blocks_listed_by}."
            )
        kept += matched
    return tuple(name for name in dict.fromkeys(kept) if not is_inside(name, set(kept) - {name}))
