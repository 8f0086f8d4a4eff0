"""The ONNX format: graphs to one file a method, of the standard operators only.

torch's exporter makes the files; here they get the names, the weights and the bytes that a bundle promises.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, UsageError
from edgekit.export import tensorrt
from edgekit.export.recipes import Recipe
from edgekit.models.model import Method
from edgekit.native_log import captured_stderr

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

#: The oldest that torch's exporter writes, which the most runtimes read.
DEFAULT_OPSET = 18
#: By opset, the ONNX Runtime that read it first.
_FIRST_RUNTIMES = {17: "1.12", 18: "1.14", 19: "1.15", 20: "1.17", 21: "1.18"}
#: Weights that several methods share lie in it.
WEIGHTS_FILE = "program.weights"
#: Smaller ones stay in the program; the others begin at a multiple of it, so that a runtime can map them.
PAGE = 4096
#: Above this a program's weights lie outside of it: protobuf ends at 2 GiB.
LARGEST_FILE = 1 << 30


@dataclass(frozen=True)
class LoweredOnnx:
    """Finished programs.

    Attributes:
        files: contents by file name: `program.onnx`, or one file a method and the weights that they share.
        method_files: by method, the file that holds it.
        operators: what they call, sorted; all of the standard domain.
        opset: its version.
        minimum_runtime: the first ONNX Runtime that reads that.
        weights: bytes of all constants, each counted once.
    """

    files: Mapping[str, bytes]
    method_files: Mapping[str, str]
    operators: tuple[str, ...]
    opset: int
    minimum_runtime: str
    weights: int


def refused(recipe: Recipe) -> str | None:
    """Why ONNX does not take a recipe, the rest of a sentence that begins "onnx refuses int4: "; None where it does."""
    if recipe.weights == "int4":
        return "int4 weights came with opset 21; programs are of an older one, which TensorRT 10.3 takes"
    if recipe.activations == "int8 dynamic":
        return "TensorRT takes the ranges of activations from the program, it finds none at run time"
    return None


def lower(graphs: Mapping[str, ExportedProgram], methods: Sequence[Method], device: DeviceProfile) -> LoweredOnnx:
    """Lowers each method into a file; weights that several of them share are stored once.

    The inputs of a file are the method's, then its states; its outputs are the method's, then the changed states, whose
    names end in ".next".

    Args:
        graphs: by method, in a recipe's numbers; int8 for TensorRT has symmetric activations.
        methods: their names and states.
        device: its opset; where it has TensorRT, only what that takes is lowered.

    Raises:
        UsageError: onnx is not installed.
        EdgekitError: an operator that ONNX, or the device's TensorRT, does not have.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    except ImportError as error:
        raise UsageError("--format onnx needs more packages: run `pip install 'edgekit[onnx]'`.") from error
    opset = device.opset or DEFAULT_OPSET
    if opset not in _FIRST_RUNTIMES:
        known = ", ".join(map(str, _FIRST_RUNTIMES))
        raise EdgekitError(f"{device.name} asks for ONNX of opset {opset}: set opset in its profile to one of {known}.")
    protos: dict[str, onnx.ModelProto] = {}
    for method in methods:
        protos[method.spec.name] = _converted(graphs[method.spec.name], method, opset)
    operators = {_standard(name, node) for name, proto in protos.items() for node in tensorrt.nodes(proto.graph)}
    if (limits := tensorrt.limits_of(device)) is not None:
        for name, proto in protos.items():
            tensorrt.check(proto, name, device, limits)
    only = len(protos) == 1
    files_of = {name: "program.onnx" if only else f"program-{name}.onnx" for name in protos}
    weights = _Weights()
    for proto in protos.values():
        weights.count(proto)
        if not only or proto.ByteSize() > LARGEST_FILE:
            weights.take(proto)
    files = {files_of[name]: proto.SerializeToString(deterministic=True) for name, proto in protos.items()}
    if weights.stored:
        files[WEIGHTS_FILE] = bytes(weights.stored)
    _check(files, files_of)
    return LoweredOnnx(files, files_of, tuple(sorted(operators)), opset, _FIRST_RUNTIMES[opset], weights.size)


def _converted(graph: ExportedProgram, method: Method, opset: int) -> onnx.ModelProto:
    """One method as ONNX, with our names and without a trace of where it was made."""
    import onnx
    import onnx_ir
    from onnxscript.optimizer import optimize_ir

    from edgekit.export.onnx_graph import clean, move_transposes, name_ends, replace_unlisted, stays

    name = method.spec.name
    try:
        with captured_stderr(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _convertible(graph), dynamo=True, opset_version=opset, optimize=False, verbose=False
            )
            if program is None or program.exported_program is None:
                raise EdgekitError("torch's exporter gave nothing.")
            _check_changes(program.exported_program)
            model: ir.Model = program.model
            optimize_ir(model, should_fold=stays)
            move_transposes(model)
            replace_unlisted(model)
            states = [spec.name for spec in method.states]
            name_ends(
                model,
                [*(spec.name for spec in method.spec.inputs), *states],
                [*(spec.name for spec in method.spec.outputs), *(f"{state}.next" for state in states)],
            )
            clean(model)
            proto = onnx_ir.to_proto(model)
            made = next(entry.version for entry in proto.opset_import if entry.domain == "")
            if made != opset:
                proto = onnx.version_converter.convert_version(proto, opset)
            proto.ir_version = onnx.helper.find_min_ir_version_for(proto.opset_import)
    except Exception as error:  # its passes raise many kinds
        raise EdgekitError(f"method {name!r} cannot be written as ONNX: {_reason(error)}") from error
    return proto


def _convertible(graph: ExportedProgram) -> ExportedProgram:
    """The same graph without what torch's exporter stumbles over: whole numbers divided by tensors."""
    floor_divide = torch.ops.aten.floor_divide.default

    def divide(dividend: torch.Tensor | int, divisor: torch.Tensor) -> torch.Tensor:
        if isinstance(dividend, torch.Tensor):
            return NotImplemented
        result: torch.Tensor = floor_divide(torch.full_like(divisor, dividend), divisor)
        return result

    if any(node.target is floor_divide and not isinstance(node.args[0], Node) for node in graph.graph.nodes):
        return graph.run_decompositions({floor_divide: divide})
    return graph


def _check_changes(graph: ExportedProgram) -> None:
    """Refuses a graph, in functional form, that changes a buffer or an input: ONNX has no memory from call to call."""
    signature = graph.graph_signature
    for name in (*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()):
        raise EdgekitError(f"it changes {name!r} in place: take that as an input and give it as an output.")


def _reason(error: BaseException) -> str:
    """Why torch's exporter or onnx's checker gave up: the end of a sentence."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    for known in causes:
        if isinstance(known, EdgekitError):
            return str(known)
    texts = [str(cause) for cause in causes]
    # The exporter's own words, the one around the other; the first are many lines in colours.
    node = next((found[1] for text in texts if (found := re.search(r"translating node %(\w+)", text))), None)
    where = "" if node is None else f" (node {node!r})"
    for text in texts:
        if found := re.search(r"No ONNX function found for .*?op='([\w.]+)'", text):
            operator = found[1].replace(".", "::", 1)
            return f"ONNX has no operator for {operator}{where}: use others in the module, or another --format."
    lines = [line.strip() for line in texts[-1].splitlines() if line.strip()]
    remedy = "" if node is None else ": say it otherwise in the module, or take another --format"
    return f"{lines[0].rstrip('.') if lines else type(causes[-1]).__name__}{where}{remedy}."


def _standard(method: str, node: onnx.NodeProto) -> str:
    """The operator's name, if the standard has it."""
    if node.domain not in ("", "ai.onnx"):
        raise EdgekitError(
            f"node {node.name!r} of method {method!r} is {node.domain}::{node.op_type}, which is no standard ONNX "
            f"operator: use others in the module, or another --format."
        )
    return str(node.op_type)


class _Weights:
    """The constants of all methods; what is `stored` has each once.

    Attributes:
        stored: those that were taken.
        size: bytes of all that were counted, each once.
    """

    def __init__(self) -> None:
        self.stored = bytearray()
        self.size = 0
        self._counted: set[bytes] = set()
        self._places: dict[bytes, int] = {}

    def count(self, proto: onnx.ModelProto) -> None:
        for tensor in proto.graph.initializer:
            digest = hashlib.sha256(tensor.raw_data).digest()
            if digest not in self._counted:
                self._counted.add(digest)
                self.size += len(tensor.raw_data)

    def take(self, proto: onnx.ModelProto) -> None:
        """Moves a program's larger constants out of it."""
        import onnx

        for tensor in proto.graph.initializer:
            if len(tensor.raw_data) < PAGE:
                continue
            digest = hashlib.sha256(tensor.raw_data).digest()
            if digest not in self._places:
                self.stored.extend(bytes(-len(self.stored) % PAGE))
                self._places[digest] = len(self.stored)
                self.stored.extend(tensor.raw_data)
            place = {"location": WEIGHTS_FILE, "offset": self._places[digest], "length": len(tensor.raw_data)}
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))


def _check(files: Mapping[str, bytes], files_of: Mapping[str, str]) -> None:
    """Has onnx check the programs as they will lie in the bundle."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        for method, name in files_of.items():
            try:
                onnx.checker.check_model(str(Path(folder) / name), full_check=True)
            except Exception as error:  # the checker's own, and shape inference's
                raise EdgekitError(f"method {method!r} is no valid ONNX: {_reason(error)}") from error
