"""What a `.tflite` program calls, and that its constants lie where custom operators can read them."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor, nn

from edgekit.errors import EdgekitError
from edgekit.export.tflite_file import ALIGNMENT, align_constants, custom_codes, read_subgraphs
from edgekit.export.tflite_operators import custom_code, register_lowerings
from edgekit.kernels import ops, stateless
from edgekit.native_log import captured_stderr

pytest.importorskip("litert_torch", reason="edgekit[tflite] is not installed")

HEADS, SIZE, CAPACITY = 2, 4, 8


class _Chain(nn.Module):
    """Operators with constants among them, one of which LiteRT's own operator reads too."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("weight", torch.randn(3, 1, 3, 3, generator=generator))
        self.register_buffer("bias", torch.randn(3, generator=generator))
        self.register_buffer("crow", torch.tensor([0, 2, 3]))
        self.register_buffer("col", torch.tensor([0, 4, 1]))
        self.register_buffer("val", torch.tensor([1.5, -2.0, 0.25]))

    def forward(self, x: Tensor, start_pos: Tensor, k_cache: Tensor, v_cache: Tensor) -> tuple[Tensor, ...]:
        image = ops.conv2d(x, self.weight, self.bias, (1, 1), 0.1)
        values, indices = ops.sparse_topk(ops.csr_matmul(self.crow, self.col, self.val, image) + self.bias[0], 3, False)
        rows = values[0, :HEADS].repeat(1, 1, 2)[..., :SIZE]
        return (indices, *stateless.kv_append(rows, rows, start_pos, k_cache, v_cache))


INPUTS = (
    torch.ones(1, 1, 5, 6),
    torch.tensor(1),
    torch.zeros(HEADS, CAPACITY, SIZE),
    torch.zeros(HEADS, CAPACITY, SIZE),
)
CODES = [
    "edgekit.conv2d?activation=0.1&padding=1,1",
    "edgekit.csr_matmul",
    "edgekit.kv_append",
    "edgekit.sparse_topk?k=3&sorted=false",
]


def _convert(module: nn.Module, *inputs: Tensor) -> bytes:
    register_lowerings()
    logging.getLogger().setLevel(logging.ERROR)
    with captured_stderr():
        import litert_torch

        return bytes(litert_torch.signature("step", module.eval(), inputs).convert().model_content())


@pytest.fixture(scope="module")
def program() -> bytes:
    return _convert(_Chain(), *INPUTS)


def _places(program: bytes) -> dict[int, int]:
    """Where the constants begin in a program, by buffer."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(program, 0)
    tables = ((index, model.Buffers(index)) for index in range(model.BuffersLength()))
    return {index: table._tab.Vector(table._tab.Offset(4)) for index, table in tables if table.DataLength()}


def test_an_operator_is_named_by_its_attributes() -> None:
    assert custom_code("csr_matmul", {}) == "edgekit.csr_matmul"
    assert custom_code("x", {"b": [1, 2], "a": True, "c": 1e-7}) == "edgekit.x?a=true&b=1,2&c=1e-07"


def test_subgraphs(program: bytes) -> None:
    (graph,) = read_subgraphs(program)
    assert graph.signature == "step"
    assert [(end.name, end.dtype) for end in graph.inputs[:2]] == [("args_0", "float32"), ("args_1", "int32")]
    assert [(end.name, end.dtype, end.shape) for end in graph.outputs[:2]] == [
        ("output_0", "int32", (1, 3, 2, 3)),
        ("output_1", "float32", (HEADS, CAPACITY, SIZE)),
    ]
    assert {call.name for call in graph.operators if call.custom} == set(CODES)
    assert [(call.name, call.version) for call in graph.operators if call.name == "ADD"] == [("ADD", 1)]
    assert custom_codes(program) == CODES


def test_attributes_are_also_options(program: bytes) -> None:
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import flexbuffers

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(program, 0))
    options = {
        model.operatorCodes[call.opcodeIndex].customCode: flexbuffers.Loads(bytes(call.customOptions))
        for call in model.subgraphs[0].operators
        if call.customOptions is not None
    }
    assert options[CODES[0].encode()] == {"activation": 0.1, "padding": [1, 1]}
    assert options[CODES[3].encode()] == {"k": 3, "sorted": False}


def test_constants_that_custom_operators_read_are_aligned(program: bytes) -> None:
    aligned = align_constants(program)
    assert any(place % ALIGNMENT for place in _places(program).values()), "nothing to do"
    assert sum(place % ALIGNMENT == 0 for place in _places(aligned).values()) >= 5
    assert all(place % 16 == 0 for place in _places(aligned).values())
    assert read_subgraphs(aligned) == read_subgraphs(program)
    for index, place in _places(program).items():
        found = _places(aligned)[index]
        size = int.from_bytes(program[place - 4 : place], "little")
        assert aligned[found - 4 : found + size] == program[place - 4 : place + size]


def test_the_same_program_comes_out_in_the_same_bytes(program: bytes) -> None:
    aligned = align_constants(program)
    assert align_constants(program) == aligned
    assert align_constants(aligned) == aligned


def test_without_custom_operators_nothing_is_written() -> None:
    program = _convert(nn.Linear(4, 3), torch.ones(2, 4))
    assert align_constants(program) is program


def test_what_is_no_program_is_refused() -> None:
    with pytest.raises(EdgekitError, match=r"this is no \.tflite program"):
        read_subgraphs(b"x" * 64)
