"""A session: a loaded bundle, ready to run."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgekit_runtime import _native
from edgekit_runtime.errors import EdgekitError, UsageError
from edgekit_runtime.tensors import Array, MethodSpec, TensorSpec, check_array, pick_method


class Memory(NamedTuple):
    """Bytes that a session holds.

    Attributes:
        program: the file, which is mapped: weights and graph.
        arena: planned for the tensors of all methods.
        state: of all named states.
        scratch: of operators, as much as the largest call so far needed.
        runtime: the loaded methods' own records. What a delegate packs is not counted.
    """

    program: int
    arena: int
    state: int
    scratch: int
    runtime: int


class Gpu(NamedTuple):
    """Operators on an NVIDIA GPU: what went on in this process so far.

    Attributes:
        name: the GPU that this session's operators go to where that pays; None if there is none.
        reason: why there is none, in some words; None if there is one, or none was looked for.
        launches: of kernels, by operator.
        hand_overs: how often the CPU waited for the GPU.
        bytes_to_gpu: copied to it.
        bytes_to_cpu: copied back.
    """

    name: str | None
    reason: str | None
    launches: dict[str, int]
    hand_overs: int
    bytes_to_gpu: int
    bytes_to_cpu: int


#: Operators that ExecuTorch has in its own Python package only, by namespace: the module that registers them.
_ELSEWHERE = {"llama": "executorch.extension.llm.custom_ops.custom_ops"}

#: By format of a program: the runtime, the package that brings its library, where in it, and the variable that names
#: another one.
_LIBRARIES = {
    "tflite": ("litert", "ai_edge_litert", "libLiteRt.so", "EDGEKIT_LITERT"),
    "onnx": ("onnxruntime", "onnxruntime", "capi/libonnxruntime.so*", "EDGEKIT_ONNXRUNTIME"),
}


#: Bytes of the largest manifest that the session reads.
_MOST_MANIFEST = 16 << 20


class Session:
    """Runs a bundle's program. Methods share their weights and are loaded when first used.

    A session takes one call at a time; sessions of their own may be used at once.

    Args:
        path: the bundle's folder.
        check_files: whether every file is compared with the manifest's hashes.
        check_finite: whether float32 inputs with an infinity or NaN are refused.
        public_key: a file of public keys, one of which must have signed the bundle (`edgekit bundle sign`); files are
            then compared in any case. EDGEKIT_REQUIRE_SIGNATURE in the environment names such a file for every session.

    Raises:
        UsageError: there is no such folder.
        EdgekitError: signature, hashes, schema or operators do not fit; the message says what to do.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        check_files: bool = True,
        check_finite: bool = True,
        public_key: str | os.PathLike[str] | None = None,
    ) -> None:
        self.path = Path(path)
        _find_runtime(self.path)
        key = None if public_key is None else os.fspath(public_key)
        self._native = _native.Session(os.fspath(path), check_files, check_finite, key)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What `manifest.json` holds."""
        fields: dict[str, Any] = json.loads(self._native.manifest)
        return fields

    @cached_property
    def methods(self) -> tuple[MethodSpec, ...]:
        """Every method with its inputs and outputs."""
        return tuple(
            MethodSpec(
                name,
                tuple(TensorSpec(spec[0], tuple(spec[1]), *spec[2:]) for spec in inputs),
                tuple(TensorSpec(spec[0], tuple(spec[1]), *spec[2:]) for spec in outputs),
            )
            for name, inputs, outputs in self._native.methods()
        )

    def run(self, *inputs: Array, method: str | None = None) -> list[Array]:
        """Runs one method on numpy arrays.

        Args:
            inputs: one array per input, of exactly the method's shapes and dtypes.
            method: its name; if None, the method that takes arrays of these shapes.

        Returns:
            One array per output, the caller's own.

        Raises:
            UsageError: no such method, another number of inputs, another shape or dtype, or a number that is not
                finite.
            EdgekitError: the program failed.
        """
        spec = self._spec(method, inputs)
        if len(inputs) != len(spec.inputs):
            raise UsageError(f"method {spec.name!r} takes {len(spec.inputs)} inputs, {len(inputs)} were given.")
        # A mapped file may end with its page, and kernels read whole vectors.
        own = [np.array(array) if isinstance(array, np.memmap) else np.asarray(array) for array in inputs]
        arrays = [check_array(array, wanted) for array, wanted in zip(own, spec.inputs, strict=True)]
        try:
            outputs: list[Array] = [np.empty(output.shape, output.dtype) for output in spec.outputs]
        except MemoryError:
            raise EdgekitError(
                f"there is no memory for what method {spec.name!r} of {self.path} gives: close something."
            ) from None
        rows = self._native.run(spec.name, arrays, outputs)
        return [
            array[:count] if output.dynamic else array
            for array, count, output in zip(outputs, rows, spec.outputs, strict=True)
        ]

    def load(self, method: str) -> None:
        """Loads a method, so that its first run takes no longer than the others."""
        self._native.load(method)

    @property
    def state(self) -> str:
        """The name of the state in use: what methods remember from call to call. The first one is "default"."""
        return str(self._native.state)

    def use_state(self, name: str) -> None:
        """Goes on with another named state, a new name's from zeros. States share the weights."""
        self._native.use_state(name)

    def drop_state(self, name: str) -> None:
        """Forgets a state that is not in use."""
        self._native.drop_state(name)

    def reset_state(self) -> None:
        """Zeros in the state in use."""
        self._native.reset_state()

    def save_state(self) -> bytes:
        """The state in use."""
        return bytes(self._native.save_state())

    def restore_state(self, state: bytes) -> None:
        """Sets the state in use to what `save_state` gave, of this bundle."""
        self._native.restore_state(state)

    def memory(self) -> Memory:
        """Bytes that are held now."""
        return Memory(*self._native.memory())

    @property
    def gpu(self) -> Gpu:
        """The GPU that operators go to. EDGEKIT_GPU=0 in the environment keeps them from it, 1 sends all."""
        name, reason, operators, *counts = self._native.gpu()
        launches = {operator: launched for operator, _, launched in operators}
        return Gpu(name or None, reason or None, launches, *counts)

    def required_scratch(self, method: str) -> int:
        """Bytes that a method's operators needed in its largest call so far."""
        return int(self._native.required_scratch(method))

    def _spec(self, method: str | None, inputs: Sequence[Array]) -> MethodSpec:
        if method is None:
            return pick_method(self.methods, [np.shape(array) for array in inputs])
        for spec in self.methods:
            if spec.name == method:
                return spec
        raise UsageError(f"there is no method {method!r}; it has {', '.join(spec.name for spec in self.methods)}.")


def _find_runtime(folder: Path) -> None:
    """Finds what a bundle's programs need of other packages; what is missing, the session will name."""
    manifest = folder / "manifest.json"
    # Nothing was checked yet: it may be anything, of any size, and wait for a writer.
    if not manifest.is_file() or manifest.stat().st_size > _MOST_MANIFEST:
        return
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        for program in json.loads(manifest.read_bytes())["programs"]:
            for namespace in {name.partition("::")[0] for name in program["operators"]} & _ELSEWHERE.keys():
                with suppress(ImportError):
                    importlib.import_module(_ELSEWHERE[namespace])
            if program["format"] in _LIBRARIES:
                runtime, package, inside, variable = _LIBRARIES[program["format"]]
                found = importlib.util.find_spec(package)
                places = found.submodule_search_locations if found is not None else None
                files = [file for place in places or () for file in sorted(Path(place).glob(inside))]
                if files and variable not in os.environ:
                    _native.set_library(runtime, os.fspath(files[0]))
