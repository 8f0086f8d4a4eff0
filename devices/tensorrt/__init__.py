"""What versions of TensorRT take of ONNX: a TOML file each, named by a device profile's `gpu.tensorrt`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class TensorRT:
    """A version of TensorRT.

    Attributes:
        version: such as "10.3".
        oldest_opset: of ONNX that it reads.
        newest_opset: likewise.
        largest_topk: elements that a TopK gives at most.
        elements: by operator of ONNX, the names of the element types that it takes.
    """

    version: str
    oldest_opset: int
    newest_opset: int
    largest_topk: int
    elements: Mapping[str, frozenset[str]]


@cache
def known_versions() -> tuple[str, ...]:
    """Those that have a file, in the order of their numbers."""
    names = [entry.name for entry in files(__name__).iterdir() if entry.name.endswith(".toml")]
    versions = [name.removesuffix(".toml") for name in names]
    return tuple(sorted(versions, key=lambda version: [int(part) for part in version.split(".")]))


@cache
def load_tensorrt(version: str) -> TensorRT:
    """A known version."""
    values = tomllib.loads(files(__name__).joinpath(f"{version}.toml").read_text(encoding="utf-8"))
    elements = {name: frozenset(group["elements"]) for group in values.pop("operators") for name in group["names"]}
    return TensorRT(**values, elements=elements)
