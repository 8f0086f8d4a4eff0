"""A bundle that has features and no program worth the name, and what stands in its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgekit.bundle import seal
from edgekit.models.features.bundle_file import features_json
from edgekit.models.features.dictionary import Dictionary

FIELDS: dict[str, Any] = {
    "minimum_runtime": {"executorch": "1.5"},
    "tools": {},
    "model": {"name": "sea-opt", "variant": "base"},
    "device": "linux-x86_64",
    "recipe": "fp32",
    "seed": 0,
    "programs": [{"file": "program.pte", "format": "pte", "methods": [], "operators": [], "delegates": []}],
    "memory": {},
    "accuracy": {},
}


def features_file(dictionary: Dictionary) -> dict[str, Any]:
    """As JSON says it."""
    plain: dict[str, Any] = json.loads(features_json(dictionary))
    return plain


def write_bundle(folder: Path, features: Any) -> Path:
    """A sealed bundle with this file of features; a text is written as it is, and None leaves features out."""
    folder.mkdir(parents=True)
    (folder / "program.pte").write_bytes(b"program")
    pipeline: dict[str, Any] = {"name": "generate_text"}
    if features is not None:
        text = features if isinstance(features, str) else json.dumps(features)
        (folder / "features.json").write_text(text)
        pipeline["explain"] = {"layers": [4, 6], "features": 24, "shown": 5, "file": "features.json"}
    seal(folder, FIELDS | {"pipeline": pipeline})
    return folder
