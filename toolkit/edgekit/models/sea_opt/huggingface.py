"""Folders as Hugging Face's transformers writes them: config.json and weights, from disk or from a hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from edgekit.errors import EdgekitError, UsageError
from edgekit.files import read_json_object
from edgekit.models.pickled import load_state_dict

#: Weights by preference: one file, or an index of several.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def read_config(folder: Path) -> dict[str, Any]:
    """The values of config.json.

    Raises:
        EdgekitError: there is none, or it is damaged.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise EdgekitError(f"{folder} has no config.json: give a folder as transformers' save_pretrained writes it.")
    return read_json_object(path)


def read_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors, one file at a time; each tensor is the caller's alone.

    Raises:
        EdgekitError: there are no weights, or a file is missing, damaged, or holds more than tensors.
    """
    found = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if found is None:
        raise EdgekitError(f"{folder} has no weights: one of {', '.join(WEIGHTS)} is needed.")
    files = [found]
    if found.suffix == ".json":
        places = read_json_object(found).get("weight_map")
        if not isinstance(places, dict) or not all(_is_name(name) for name in places.values()):
            raise EdgekitError(f"{found} has no weight_map with names of files in its folder: copy it again.")
        files = [folder / name for name in sorted(set(places.values()))]
    for file in files:
        if not file.is_file():
            raise EdgekitError(f"{found.name} names {file.name}, which is not in {folder}: copy all files.")
        yield from _safetensors(file) if file.suffix == ".safetensors" else _pickled(file)


def download(name: str) -> Path:
    """The folder of a model's files, fetched from the hub by `huggingface_hub` into its own cache.

    Raises:
        UsageError: the name is none, or the package is not installed.
        EdgekitError: the hub cannot be reached, or does not have the model.
    """
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) is None:
        raise UsageError(f"there is no checkpoint {name}: give a .safetensors file, a folder, or OWNER/NAME on a hub.")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise UsageError(
            f"there is no folder {name}, and to fetch it from a hub needs a package: pip install huggingface_hub."
        ) from error
    beside = [
        "config.json",
        "vocab.json",
        "merges.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ]
    try:
        folder = Path(snapshot_download(name, allow_patterns=[*beside, "model*.safetensors", WEIGHTS[1]]))
        if not any((folder / weights).is_file() for weights in WEIGHTS[:2]):
            folder = Path(snapshot_download(name, allow_patterns=[*beside, "pytorch_model*.bin", WEIGHTS[3]]))
    except Exception as error:  # whatever the network and the hub come up with
        raise EdgekitError(
            f"{name} is no folder here and could not be fetched from the hub ({type(error).__name__}): "
            f"download it elsewhere and give its folder."
        ) from error
    return folder


def _is_name(name: object) -> bool:
    """Whether it is the name of a file, without a path."""
    return isinstance(name, str) and Path(name).name == name


def _safetensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a mapping)
                yield name, file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise EdgekitError(f"{path} is cut short or not a safetensors file ({error}): copy it again.") from error


def _pickled(path: Path) -> Iterator[tuple[str, Tensor]]:
    loaded = load_state_dict(path)
    while loaded:
        name = next(iter(loaded))
        yield name, loaded.pop(name)
