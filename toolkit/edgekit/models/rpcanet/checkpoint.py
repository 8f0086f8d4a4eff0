"""Trained RPCANets on disk: the authors' files (.pkl, .pth, .safetensors) and our own, with a card in the header."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.pickled import load_state_dict
from edgekit.models.tensor_file import HEADER, read_tensor_file, write_tensor_file

from .config import VARIANTS, RPCANetConfig, find_config
from .module import RPCANet

FORMAT = "edgekit rpcanet 1"
MAX_CHECKPOINT_BYTES = 1 << 28
PICKLED = (".pkl", ".pth", ".pt")
#: The variant of a shape that has no name of its own.
CUSTOM = "custom"


@dataclass(frozen=True)
class Checkpoint:
    """A trained RPCANet.

    Attributes:
        module: the trained module, in eval mode.
        variant: its variant's name, "custom" for a shape without one.
        training: what it was trained on and how, for the card; empty for the authors' files.
    """

    module: RPCANet
    variant: str
    training: dict[str, Any]


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Writes the whole file, as safetensors, or nothing."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in checkpoint.module.state_dict().items()}
    config = checkpoint.module.config.to_dict()
    header = {"format": FORMAT, "variant": checkpoint.variant, "config": config, "training": checkpoint.training}
    write_tensor_file(path, tensors, header)


def load_checkpoint(path: Path, variant: str | None = None) -> Checkpoint:
    """Reads a checkpoint, checking every name, shape and value.

    Args:
        path: the authors' state dict as .pkl, .pth or .safetensors, or a file of ours.
        variant: which one it must be; None to tell from the tensors.

    Raises:
        UsageError: there is no such file, of an unknown kind, or an unknown variant.
        EdgekitError: the file is cut short, holds something else, or is of another variant.
    """
    wanted = None if variant is None else find_config(variant)
    tensors, header = _read(path)
    config = _header_config(header, path) if header is not None else None
    found = config or _config_of(tensors, path)
    if wanted is not None and config not in (None, wanted):
        raise EdgekitError(f"the checkpoint {path} is {_called(found)}, not variant {variant!r}.")
    config = config or wanted or _known(found, path)
    module = RPCANet(config).eval().requires_grad_(False)
    state = _fitting(path, tensors, module.state_dict(), "" if found == config else f": it is {_called(found)}")
    module.load_state_dict(state, strict=True)
    return Checkpoint(module, _variant_of(config) or CUSTOM, dict(header["training"]) if header else {})


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """The tensors of a file, and our header where it has one."""
    if not path.is_file():
        raise UsageError(f"there is no checkpoint {path}: give a .pkl, .pth or .safetensors file.")
    if path.suffix.lower() not in (*PICKLED, ".safetensors"):
        raise UsageError(f"{path} is no checkpoint by its name: .pkl, .pth, .pt and .safetensors are read.")
    if path.stat().st_size > MAX_CHECKPOINT_BYTES:
        raise EdgekitError(f"the checkpoint {path} is larger than {MAX_CHECKPOINT_BYTES >> 20} MiB: not an RPCANet.")
    if path.suffix.lower() == ".safetensors":
        return _read_safetensors(path)
    return load_state_dict(path, "the checkpoint "), None


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    tensors, metadata = read_tensor_file(path, "the checkpoint", "copy it again")
    if HEADER not in metadata:
        return tensors, None
    try:
        header = json.loads(metadata[HEADER])
        if header["format"] != FORMAT or not isinstance(header["training"], dict):
            raise ValueError(header["format"])
    except (KeyError, TypeError, ValueError) as error:
        raise EdgekitError(f"{path} is not an RPCANet checkpoint of this version of edgekit ({error}).") from error
    return tensors, header


def _header_config(header: dict[str, Any], path: Path) -> RPCANetConfig:
    try:
        return RPCANetConfig.from_dict(dict(header["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise EdgekitError(f"{path} has no configuration in its header: train it again.") from error


def _config_of(tensors: Mapping[str, Tensor], path: Path) -> RPCANetConfig:
    """The shape that the names of tensors tell."""
    stages = {int(match[1]) for name in tensors if (match := re.match(r"decos\.(\d{1,3})\.", name))}
    if not stages:
        example = f" (it has {next(iter(tensors))!r})" if tensors else ""
        raise EdgekitError(f"the checkpoint {path} is not an RPCANet's: no tensor is called decos.0.…{example}.")
    return RPCANetConfig(max(stages) + 1, any(".contrast." in name or ".ConvLSTM." in name for name in tensors))


def _variant_of(config: RPCANetConfig) -> str | None:
    return next((name for name, known in VARIANTS.items() if known == config), None)


def _called(config: RPCANetConfig) -> str:
    name = _variant_of(config)
    return config.family if name is None else f"{config.family} (variant {name!r})"


def _known(config: RPCANetConfig, path: Path) -> RPCANetConfig:
    if _variant_of(config) is None:
        raise EdgekitError(f"the checkpoint {path} is {config.family}: edgekit has {', '.join(VARIANTS)}.")
    return config


def _fitting(
    path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], likely: str
) -> dict[str, Tensor]:
    """The tensors, floats as float32, if names, shapes and values fit; if not, `likely` ends the sentence."""
    likely = likely or ": it is damaged, or of another model"
    for name in expected:
        if name not in tensors:
            raise EdgekitError(f"the checkpoint {path} lacks tensor {name!r}{likely}.")
    for name, tensor in tensors.items():
        if name not in expected:
            raise EdgekitError(f"the checkpoint {path} has the unknown tensor {name!r}{likely}.")
        wanted = expected[name]
        if tensor.shape != wanted.shape or tensor.is_floating_point() != wanted.is_floating_point():
            raise EdgekitError(
                f"the checkpoint {path}: {name!r} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"{wanted.dtype} {tuple(wanted.shape)} is needed{likely}."
            )
        if not torch.isfinite(tensor).all():
            raise EdgekitError(f"the checkpoint {path}: {name!r} has values that are not finite.")
    return {name: tensors[name].to(wanted.dtype) for name, wanted in expected.items()}
