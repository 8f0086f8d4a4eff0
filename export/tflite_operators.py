"""edgekit's operators in `.tflite` programs: custom operators named `edgekit.NAME?attribute=value&...`.

A custom operator's attributes stand in its name, for LiteRT's C interface hands a kernel nothing else that differs from
node to node. They stand in its custom options too, as a flexbuffer, for tools that show those. Operands are the tensors
of the torch schema in its order, the ones that are None left out.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch

import edgekit.kernels  # noqa: F401 (defines torch.ops.edgekit)

#: What a custom operator of ours is called, before its name.
PREFIX = "edgekit."
#: Pure functions: a program of this format has no memory of its own.
OPERATORS = (
    torch.ops.edgekit.sparse_topk.default,
    torch.ops.edgekit.csr_matmul.default,
    torch.ops.edgekit.conv2d.default,
    torch.ops.edgekit.kv_append.tensors,
    torch.ops.edgekit.sparse_topk_attention.tensors,
    torch.ops.edgekit.sea_estimate.tensors,
)

Attribute = bool | int | float | Sequence[int]


def custom_code(name: str, attributes: Mapping[str, Attribute]) -> str:
    """What a program calls an operator: `edgekit.conv2d?activation=0.1&padding=4,4`, attributes sorted by name."""
    text = "&".join(f"{key}={_text(attributes[key])}" for key in sorted(attributes))
    return PREFIX + name + ("?" + text if text else "")


def _text(value: Attribute) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, Sequence) else repr(value)


@functools.cache
def register_lowerings() -> None:
    """Tells litert-torch how `torch.ops.edgekit.*` are lowered, once."""
    from litert_torch.backend import lowerings

    for operator in OPERATORS:
        lowerings.lower(operator)(functools.partial(_lower, operator))


def _lower(operator: torch._ops.OpOverload, context: Any, *arguments: Any, **keywords: Any) -> Any:
    """The operator as `tfl.custom`: one value, or a list of them as the schema says."""
    from flatbuffers import flexbuffers
    from litert_converter.mlir import ir
    from litert_torch.backend.lowerings import utils

    schema = operator._schema
    operands: list[Any] = []
    attributes: dict[str, Attribute] = {}
    for place, argument in enumerate(schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        value = arguments[place] if place < len(arguments) else keywords.get(argument.name, default)
        if "Tensor" not in str(argument.type):
            attributes[argument.name] = value  # type: ignore[assignment]
        elif value is not None:
            operands += value if isinstance(value, Sequence) else [value]
    options = bytes(flexbuffers.Dumps({key: attributes[key] for key in sorted(attributes)}))
    results = ir.Operation.create(
        "tfl.custom",
        results=utils.node_meta_to_ir_types(context.node),
        operands=operands,
        attributes={
            "custom_code": ir.StringAttr.get(custom_code(schema.name.split("::")[1], attributes)),
            "custom_option": ir.Attribute.parse(f'#tfl<const_bytes: "0x{options.hex()}">'),
        },
    ).results
    alone = len(schema.returns) == 1 and str(schema.returns[0].type) == "Tensor"
    return results[0] if alone else list(results)
