"""Names, shapes and dtypes of what goes into and comes out of a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit_runtime.errors import EdgekitError, UsageError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: what it is.
        shape: its shape, or the largest that it may have.
        dtype: its numpy dtype name.
        units: what its numbers mean ("scaled readings", "logits", ...); empty if unknown.
        dynamic: whether its first dimension may be anything from 1 to what `shape` says.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    units: str = ""
    dynamic: bool = False

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"shape": list(self.shape)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TensorSpec:
        shape = tuple(int(size) for size in values["shape"])
        return cls(str(values["name"]), shape, str(values["dtype"]), str(values["units"]), bool(values.get("dynamic")))

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor may have this shape."""
        if not self.dynamic:
            return shape == self.shape
        return shape[1:] == self.shape[1:] and len(shape) == len(self.shape) and 1 <= shape[0] <= self.shape[0]

    def shape_text(self) -> str:
        """Such as "1x3x224x224" or "1..128"."""
        sizes = [str(size) for size in self.shape]
        if self.dynamic:
            sizes[0] = f"1..{sizes[0]}"
        return "x".join(sizes) or "scalar"

    @property
    def nbytes(self) -> int:
        """Of the largest shape."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    def describe(self) -> str:
        return f"{self.name}: {self.dtype} {self.shape_text()}"


@dataclass(frozen=True)
class MethodSpec:
    """One entry point of a program: its name, and what goes in and out."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "inputs": [spec.to_dict() for spec in self.inputs],
            "outputs": [spec.to_dict() for spec in self.outputs],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MethodSpec:
        return cls(
            str(values["name"]),
            tuple(TensorSpec.from_dict(spec) for spec in values["inputs"]),
            tuple(TensorSpec.from_dict(spec) for spec in values["outputs"]),
        )

    def accepts(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        return len(shapes) == len(self.inputs) and all(
            spec.accepts(shape) for spec, shape in zip(self.inputs, shapes, strict=True)
        )


def pick_method(methods: Sequence[MethodSpec], shapes: Sequence[tuple[int, ...]]) -> MethodSpec:
    """The method whose inputs have these shapes.

    Raises:
        UsageError: there is none; the message lists the shapes that exist.
    """
    for method in methods:
        if method.accepts(shapes):
            return method
    given = ", ".join("x".join(map(str, shape)) for shape in shapes) or "no inputs"
    known = "; ".join(", ".join(spec.shape_text() for spec in method.inputs) or "no inputs" for method in methods)
    raise UsageError(f"no method of this bundle takes {given}; it has {known}: resize the input, or export that shape.")


def check_array(array: Array, spec: TensorSpec) -> Array:
    """The array, contiguous, if it fits the spec.

    Raises:
        EdgekitError: another shape or dtype.
    """
    if not spec.accepts(array.shape) or array.dtype != np.dtype(spec.dtype):
        needed = spec.shape_text() if spec.dynamic else spec.shape
        raise EdgekitError(f"input {spec.name!r} is {array.dtype} {array.shape}, {spec.dtype} {needed} is needed.")
    return np.asarray(array, order="C")  # ascontiguousarray would make a scalar (1,)
