"""Names, shapes and dtypes of what goes into and comes out of a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.errors import EdgekitError, UsageError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: what it is.
        shape: its static shape.
        dtype: its numpy dtype name.
        units: what its numbers mean ("scaled readings", "logits", ...); empty if unknown.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    units: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"shape": list(self.shape)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TensorSpec:
        shape = tuple(int(size) for size in values["shape"])
        return cls(str(values["name"]), shape, str(values["dtype"]), str(values["units"]))

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    def describe(self) -> str:
        return f"{self.name}: {self.dtype} {'x'.join(map(str, self.shape)) or 'scalar'}"


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
        return [spec.shape for spec in self.inputs] == list(shapes)


def pick_method(methods: Sequence[MethodSpec], shapes: Sequence[tuple[int, ...]]) -> MethodSpec:
    """The method whose inputs have these shapes.

    Raises:
        UsageError: there is none; the message lists the shapes that exist.
    """
    for method in methods:
        if method.accepts(shapes):
            return method
    given = ", ".join("x".join(map(str, shape)) for shape in shapes) or "no inputs"
    known = "; ".join(", ".join("x".join(map(str, spec.shape)) for spec in method.inputs) for method in methods)
    raise UsageError(f"no method of this bundle takes {given}; it has {known}: resize the input, or export that shape.")


def check_array(array: Array, spec: TensorSpec) -> Array:
    """The array, contiguous, if it fits the spec.

    Raises:
        EdgekitError: another shape or dtype.
    """
    if array.shape != spec.shape or array.dtype != np.dtype(spec.dtype):
        raise EdgekitError(f"input {spec.name!r} is {array.dtype} {array.shape}, {spec.dtype} {spec.shape} is needed.")
    return np.asarray(array, order="C")  # ascontiguousarray would make a scalar (1,)
