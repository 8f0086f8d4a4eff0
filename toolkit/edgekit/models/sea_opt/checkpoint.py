"""Checkpoints: our own file (weights, shapes, tokenizer and training in one), and Hugging Face's folders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgekit.errors import EdgekitError
from edgekit.models.tensor_file import HEADER, read_tensor_file, write_tensor_file
from edgekit.tokenizer import Tokenizer

from .config import OPTConfig, SEAConfig
from .huggingface import download, read_config, read_tensors
from .opt import OPT
from .weights import build, find_sea, standard_names

FORMAT = "edgekit sea-opt 1"
#: The checkpoint that ships: the package's folder and the file's name.
SHIPPED = "sea_opt", "base"


@dataclass(frozen=True)
class Checkpoint:
    """A trained OPT, dense or with SEA.

    Attributes:
        module: in eval mode, float32.
        tokenizer: None where the folder has none.
        training: what it was trained on and how, for the card; empty for others' files.
    """

    module: OPT
    tokenizer: Tokenizer | None
    training: dict[str, Any]


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Writes the whole file, weights in float16, or nothing.

    Raises:
        EdgekitError: a weight is beyond float16's range.
    """
    tensors = {}
    for name, value in checkpoint.module.state_dict().items():
        tensors[name] = value.detach().cpu().half().contiguous()
        if not torch.isfinite(tensors[name]).all():
            raise EdgekitError(f"{name} does not fit float16: train with a lower learning rate.")
    module = checkpoint.module
    header = {
        "format": FORMAT,
        "opt": module.config.to_dict(),
        "sea": module.sea.to_dict() if module.sea else None,
        "tokenizer": checkpoint.tokenizer.to_json() if checkpoint.tokenizer else None,
        "training": checkpoint.training,
    }
    write_tensor_file(path, tensors, header)


def load_checkpoint(source: Path) -> Checkpoint:
    """A file of ours, a folder with config.json and weights, or else OWNER/NAME of a hub.

    Weights of the authors' SEA checkpoints are taken as well (`weights` says which), in such a folder.

    Raises:
        UsageError: there is no such thing.
        EdgekitError: it is cut short, of another model, or a tensor does not fit.
    """
    if source.is_file():
        return _load_file(source)
    folder = source if source.is_dir() else download(str(source))
    values = read_config(folder)
    try:
        config = OPTConfig.from_hf(values)
    except EdgekitError as error:
        raise EdgekitError(f"{folder / 'config.json'}: {error}") from error
    tensors = standard_names(read_tensors(folder))
    where = f"the checkpoint {folder}"
    module = build(config, find_sea(tensors, where), tensors, where)
    return _fitting(Checkpoint(module, Tokenizer.from_folder(folder), {}), where)


def _load_file(path: Path) -> Checkpoint:
    halves, metadata = read_tensor_file(path, "the checkpoint", "copy or train it again")
    tensors = {name: halves.pop(name).float() for name in list(halves)}
    try:
        header = json.loads(metadata[HEADER])
        if header["format"] != FORMAT:
            raise ValueError(header["format"])
        config = OPTConfig.from_dict(header["opt"])
        sea = None if header["sea"] is None else SEAConfig.from_dict(header["sea"])
        vocabulary, training = header["tokenizer"], dict(header["training"])
    except (KeyError, TypeError, ValueError) as error:
        raise EdgekitError(
            f"{path} is not a SEA-OPT checkpoint of this version of edgekit ({error}): give a file of `edgekit train`, "
            f"or the folder of a Hugging Face checkpoint."
        ) from error
    where = f"the checkpoint {path}"
    tokenizer = None if vocabulary is None else Tokenizer.from_json(vocabulary, where)
    return _fitting(Checkpoint(build(config, sea, tensors, where), tokenizer, training), where)


def _fitting(checkpoint: Checkpoint, where: str) -> Checkpoint:
    tokenizer, words = checkpoint.tokenizer, checkpoint.module.config.vocab_size
    if tokenizer is not None and tokenizer.size > words:
        raise EdgekitError(f"{where}: its tokenizer has {tokenizer.size} tokens, its embedding {words}: it is damaged.")
    return checkpoint
