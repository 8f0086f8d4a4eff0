"""Bundles around a module that litert-torch converts, without what an export measures: for the engine's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from edgekit import bundle as bundles
from edgekit.export.tflite import quiet
from edgekit.export.tflite_file import align_constants, custom_codes
from edgekit.export.tflite_operators import register_lowerings


def convert(signatures: Mapping[str, tuple[nn.Module, tuple[Tensor, ...]]]) -> bytes:
    """A program with a signature a module; constants aligned."""
    register_lowerings()
    with quiet():
        import litert_torch

        converter: Any = litert_torch
        for name, (module, inputs) in signatures.items():
            converter = converter.signature(name, module.eval(), inputs)
        return align_constants(bytes(converter.convert().model_content()))


def leave_rows_open(program: bytes) -> bytes:
    """The program with the first size of all tensors open, which litert-torch does for few operators only."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(program, 0))
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.shape is not None and len(tensor.shape) > 1:
                tensor.shapeSignature = np.array([-1, *tensor.shape[1:]], np.int32)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def write_bundle(
    folder: Path,
    program: bytes,
    methods: Sequence[Mapping[str, Any]],
    states: Sequence[Mapping[str, Any]] = (),
    in_place: bool = True,
    operators: Sequence[str] | None = None,
    share_packed_weights: bool = True,
) -> Path:
    """A folder that a session opens."""
    folder.mkdir(parents=True)
    (folder / "program.tflite").write_bytes(program)
    entry = {
        "file": "program.tflite",
        "format": "tflite",
        "methods": list(methods),
        "operators": custom_codes(program) if operators is None else list(operators),
        "delegates": [],
        "states": list(states),
        "states_in_place": in_place,
        "share_packed_weights": share_packed_weights,
    }
    fields = {"model": {}, "tools": {}, "accuracy": {}, "device": "", "recipe": "", "seed": 0}
    known = {"minimum_runtime": {}, "memory": {}, "pipeline": {"name": "run"}, "programs": [entry]}
    bundles.seal(folder, fields | known)
    return folder


def end(name: str, tensor: Tensor, dynamic: bool = False) -> dict[str, Any]:
    """An input or output as a manifest has it."""
    spec = {"name": name, "dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape), "units": ""}
    return spec | ({"dynamic": True} if dynamic else {})


def method(
    name: str,
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    states: Sequence[str] = (),
    dynamic: bool = False,
) -> dict[str, Any]:
    """A method as a manifest has it; `dynamic` is for all of its inputs and outputs."""
    ends = [[end(key, tensor, dynamic) for key, tensor in side.items()] for side in (inputs, outputs)]
    return {"name": name, "inputs": ends[0], "outputs": ends[1], "states": list(states)}
