"""A session: a loaded bundle, ready to run."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.bundle import Bundle
from edgekit.errors import EdgekitError, UsageError
from edgekit.native_log import captured_stderr
from edgekit.tensors import Array, MethodSpec, check_array, pick_method


def _load_quantized() -> None:
    importlib.import_module("executorch.kernels.quantized")


def _load_ours() -> None:
    from edgekit.kernels.native import load_executorch_binding

    load_executorch_binding()


def _load_llama() -> None:
    importlib.import_module("executorch.extension.llm.custom_ops.custom_ops")


#: What registers the operators of a namespace that the stock runtime does not bring along.
_LOADERS = {"quantized_decomposed": _load_quantized, "edgekit": _load_ours, "llama": _load_llama}


class Session:
    """Runs a bundle's program. Methods share their weights and are loaded when first used.

    Args:
        bundle: a bundle or its folder.

    Raises:
        EdgekitError: hashes, schema, operators or the runtime do not fit; the message says what to do.
    """

    def __init__(self, bundle: Bundle | Path | str) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        self.program = self.bundle.program
        self._runtime = _runtime(self.bundle)
        self._methods: dict[str, Any] = {}
        path = self.bundle.path / self.program.file
        with captured_stderr() as log:
            try:
                self._program = self._runtime.load_program(path)
            except RuntimeError:
                self._program = None
        if self._program is None:
            raise EdgekitError(f"{path} cannot be loaded ({log.errors() or 'no reason given'}): export it again.")

    @property
    def methods(self) -> tuple[MethodSpec, ...]:
        """Every method with its inputs and outputs."""
        return self.program.methods

    def run(self, *inputs: Array, method: str | None = None) -> list[Array]:
        """Runs one method on numpy arrays.

        Args:
            inputs: one array per input, of exactly the method's shapes and dtypes.
            method: its name; if None, the method that takes arrays of these shapes.

        Returns:
            One array per output, the caller's own.

        Raises:
            UsageError: no such method, or no method of these shapes.
            EdgekitError: another dtype, or the program failed.
        """
        spec = self._spec(method, inputs)
        if len(inputs) != len(spec.inputs):
            raise UsageError(f"method {spec.name!r} takes {len(spec.inputs)} inputs, {len(inputs)} were given.")
        arrays = [check_array(np.asarray(array), wanted) for array, wanted in zip(inputs, spec.inputs, strict=True)]
        import torch

        loaded = self._load(spec.name)
        try:
            outputs = loaded.execute([torch.from_numpy(array) for array in arrays])
        except RuntimeError as error:
            raise EdgekitError(f"method {spec.name!r} of {self.bundle.path} failed: {error}.") from error
        # Copied: the runtime writes the next answer over the same memory.
        return [np.array(output.numpy()) for output in outputs]

    def _spec(self, method: str | None, inputs: Sequence[Array]) -> MethodSpec:
        if method is None:
            return pick_method(self.methods, [np.shape(array) for array in inputs])
        for spec in self.methods:
            if spec.name == method:
                return spec
        raise UsageError(f"there is no method {method!r}; it has {', '.join(spec.name for spec in self.methods)}.")

    def _load(self, name: str) -> Any:
        if name not in self._methods:
            with captured_stderr() as log:
                try:
                    loaded = self._program.load_method(name)
                except (RuntimeError, KeyError):  # KeyError: the program has no such method
                    loaded = None
            if loaded is None:
                raise EdgekitError(
                    f"method {name!r} of {self.bundle.path} cannot be loaded ({log.errors() or 'no reason given'}): "
                    f"`edgekit doctor` shows whether the runtime fits."
                )
            self._methods[name] = loaded
        return self._methods[name]


def _runtime(bundle: Bundle) -> Any:
    """The ExecuTorch runtime with every operator that the bundle's program calls."""
    from packaging.version import Version

    try:
        with captured_stderr():
            import executorch.runtime
            from executorch.version import __version__ as version
    except (ImportError, OSError) as error:
        raise EdgekitError(f"ExecuTorch cannot be imported ({error}): run `edgekit doctor`.") from error
    needed = str(bundle.manifest["minimum_runtime"].get("executorch", "0"))
    if Version(version) < Version(needed):
        raise EdgekitError(
            f"{bundle.path} needs ExecuTorch {needed} or newer, {version} is installed: "
            f"pip install 'executorch>={needed}'."
        )
    operators = bundle.program.operators
    with captured_stderr():
        runtime = executorch.runtime.Runtime.get()
        for namespace in {operator.partition("::")[0] for operator in operators} & _LOADERS.keys():
            _LOADERS[namespace]()
        registered = set(runtime.operator_registry.operator_names)
        backends = set(runtime.backend_registry.registered_backend_names)
    missing = sorted(set(operators) - registered) + sorted(set(bundle.program.delegates) - backends)
    if missing:
        raise EdgekitError(
            f"{bundle.path} needs {', '.join(missing)}, which this ExecuTorch does not have: "
            f"`edgekit doctor` shows what is installed."
        )
    return runtime
