"""The TFLite format: captured graphs to one `.tflite` by litert-torch, one signature a method, and what it asks for."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from edgekit.errors import EdgekitError
from edgekit.export.capture import Graphs, state_zeros
from edgekit.export.tflite_file import Subgraph, align_constants, constant_bytes, read_subgraphs
from edgekit.export.tflite_operators import register_lowerings
from edgekit.models.model import Method
from edgekit.native_log import captured_stderr

#: The oldest LiteRT whose C interface the session calls.
MINIMUM_RUNTIME = "2.3"


@dataclass(frozen=True)
class TFLiteProgram:
    """A finished program.

    Attributes:
        data: the file's bytes.
        subgraphs: what they take, give and call.
        constant_bytes: of all constants.
    """

    data: bytes
    subgraphs: tuple[Subgraph, ...]
    constant_bytes: int

    @property
    def custom_operators(self) -> tuple[str, ...]:
        """What the runtime must be given, sorted."""
        return tuple(sorted({call.name for graph in self.subgraphs for call in graph.operators if call.custom}))

    @property
    def builtin_operators(self) -> tuple[str, ...]:
        """The format's own that it calls, sorted."""
        return tuple(sorted({call.name for graph in self.subgraphs for call in graph.operators if not call.custom}))


def convert(graphs: Graphs, methods: Sequence[Method]) -> bytes:
    """All methods in one program in fp32, each a signature of its name; int64 becomes int32.

    Raises:
        EdgekitError: litert-torch cannot convert a graph.
    """
    with quiet():
        import litert_torch

        register_lowerings()

        converter = None
        for method in methods:
            module = graphs[method.spec.name].module()
            add = litert_torch.signature if converter is None else converter.add_signature
            converter = add(method.spec.name, module, (*method.samples, *state_zeros(method)))
        assert converter is not None
        try:
            with tempfile.TemporaryDirectory() as folder, _held_constants():
                path = Path(folder, "program.tflite")
                converter.convert().export(str(path))
                return path.read_bytes()
        except Exception as error:  # its passes raise many kinds
            raise EdgekitError(f"litert-torch cannot convert this graph: {_reason(error)}.") from error


@contextlib.contextmanager
def _held_constants() -> Iterator[None]:
    """Keeps every constant that is converted until all are.

    litert-torch 0.10 knows a constant again by its address and shape. That of one that it transposed is free as soon as
    it is written, so that the next one of that shape may get it, and would be taken for the first.
    """
    from litert_torch.backend.inline_consts import _ConstantFingerprint

    held, known = [], _ConstantFingerprint.from_tensor

    def from_tensor(tensor: torch.Tensor) -> object:
        held.append(tensor)
        return known(tensor)

    _ConstantFingerprint.from_tensor = from_tensor
    try:
        yield
    finally:
        _ConstantFingerprint.from_tensor = known


def finish(data: bytes) -> TFLiteProgram:
    """A converted, maybe quantized program as it goes into a bundle."""
    data = align_constants(data)
    return TFLiteProgram(data, tuple(read_subgraphs(data)), constant_bytes(data))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what LiteRT's tools say about themselves off the terminal."""
    with captured_stderr(), contextlib.redirect_stdout(io.StringIO()):
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            from litert_torch import progress

            progress.config.show_progress = False
            yield
        finally:
            logging.disable(before)


def _reason(error: Exception) -> str:
    if isinstance(error, EdgekitError):
        return str(error).removesuffix(".")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # What cannot be lowered is named in the last line of some, in the first of others.
    named = [line for line in lines if "Lowering not found" in line or "failed to legalize" in line]
    return (named or lines or [type(error).__name__])[0].rstrip(".")
