"""A sensitivity that was measured once, as a JSON file beside the checkpoint, with what it was measured of."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from edgekit.errors import EdgekitError
from edgekit.export.pipeline import tool_versions
from edgekit.export.quantize import calibration_inputs
from edgekit.export.recipes import Recipe
from edgekit.export.sensitivity import Measuring, OnBlock, Sensitivity, measure_sensitivity
from edgekit.files import read_json_object, write_text

FORMAT = "edgekit sensitivity 1"
MAX_BYTES = 16 << 20


def place_of(measuring: Measuring, recipe: Recipe, checkpoint: Path | None) -> Path:
    """Where a model's sensitivity is kept: beside its checkpoint, or in the user's cache where that cannot be written.

    Args:
        measuring: of the model.
        recipe: that is measured.
        checkpoint: a file or a folder; None for the one in the package.
    """
    name = f"{recipe.label}.sensitivity.json"
    if checkpoint is not None and os.access(checkpoint.resolve().parent, os.W_OK | os.X_OK):
        return checkpoint.resolve().parent / f"{checkpoint.resolve().name}.{name}"
    from platformdirs import user_cache_path

    model = measuring.model
    return user_cache_path("edgekit") / "sensitivity" / f"{model.name}-{model.variant}.{name}"


def kept_sensitivity(
    measuring: Measuring,
    recipe: Recipe,
    blocks: Sequence[str],
    place: Path,
    on_block: OnBlock = lambda block: None,
    say: Callable[[str], None] = lambda line: None,
) -> Sensitivity:
    """What `place` holds where it is of the same weights, data, recipe and versions; else measured, and kept there.

    A file that is no sensitivity is left alone, and `say` is told.
    """
    key = _key(measuring, recipe, blocks)
    foreign = False
    if place.exists():
        try:
            fields = _read(place)
            if fields["of"] == key:
                found = Sensitivity.from_dict(fields["sensitivity"])
                if sorted(cost.block for cost in found.blocks) == sorted(blocks):
                    say(f"sensitivity as it was measured before: {place}")
                    return found
        except (EdgekitError, ValueError) as error:
            foreign = True
            reason = str(error).removesuffix(".")
            say(f"{place} holds no sensitivity ({reason}): measured anew, the file left alone.")
    found = measure_sensitivity(measuring, recipe, blocks, on_block)
    if foreign:
        return found
    try:
        content = {"format": FORMAT, "of": key, "sensitivity": found.to_dict()}
        write_text(place, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")
    except EdgekitError as error:  # it is a help and no more
        say(f"not kept for the next time: {error}")
    return found


def _read(place: Path) -> dict[str, Any]:
    if not place.is_file() or place.stat().st_size > MAX_BYTES:
        raise ValueError("no file of such a size")
    fields = read_json_object(place)
    if fields.get("format") != FORMAT or not isinstance(fields.get("of"), dict):
        raise ValueError("another format")
    if not isinstance(fields.get("sensitivity"), dict):
        raise ValueError("no table")
    return fields


def _key(measuring: Measuring, recipe: Recipe, blocks: Sequence[str]) -> dict[str, Any]:
    """What a sensitivity depends on, as JSON gives it back."""
    model = measuring.model
    weights, data = hashlib.sha256(), hashlib.sha256()
    for name, tensor in sorted(model.reference.state_dict().items()):
        _digest(weights, name, tensor)
    methods = model.methods(recipe.kv)
    for method in methods:
        data.update(method.spec.name.encode())
        if recipe.calibrated:
            for inputs in calibration_inputs(model, method, recipe):
                for tensor in inputs:
                    _digest(data, "calibration", tensor)
    for sample in measuring.samples:
        for array in (*sample.inputs, *sample.outputs):
            data.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    # The evaluation set by what the eager model makes of it.
    data.update(repr(measuring.eager).encode())
    key = {
        "weights": weights.hexdigest(),
        "data": data.hexdigest(),
        "recipe": recipe.to_dict(),
        "blocks": list(blocks),
        "kept_by_model": list(model.keep_fp32),
        "device": list(measuring.device.cpu.isa),
        "tools": tool_versions(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(key))
    return plain


def _digest(digest: Any, name: str, tensor: Tensor) -> None:
    array = tensor.detach().cpu().contiguous().numpy()
    digest.update(f"{name} {array.dtype}{array.shape}".encode())
    digest.update(array.tobytes())
