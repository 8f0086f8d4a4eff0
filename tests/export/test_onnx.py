"""ONNX programs: answers in ONNX Runtime against eager torch, names, weights stored once, and what is refused."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("onnxscript", reason="edgekit[onnx] is not installed")
import onnx
import onnxruntime

from edgekit.devices.profile import load_profile
from edgekit.errors import EdgekitError
from edgekit.export.capture import capture
from edgekit.export.module import ModuleModel
from edgekit.export.onnx import LoweredOnnx, lower, refused
from edgekit.export.quantize import quantize
from edgekit.export.recipes import change_recipe, find_recipe, recipes
from edgekit.models.model import Method
from edgekit_runtime.tensors import MethodSpec, TensorSpec

JETSON, LINUX = load_profile("jetson"), load_profile("linux-x86_64")


class Net(nn.Module):
    """Convolutions, words, linear layers, and a choice of the largest."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 24, 5, padding=2, stride=2))
        self.words = nn.Embedding(41, 24)
        self.head = nn.Sequential(nn.Linear(24, 96), nn.ReLU(), nn.Linear(96, 10))

    def forward(self, image: torch.Tensor, word: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores = self.head((torch.relu(self.body(image)).mean(dim=(2, 3)) + self.words(word))[:, None])[:, 0]
        values, places = scores.topk(3)
        return scores, places + values.argmax(-1, keepdim=True)


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval().requires_grad_(False)


def inputs(seed: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 1, 20, 24, generator=generator), torch.randint(40, (batch,), generator=generator)


def model_of(net: nn.Module, *samples: tuple[torch.Tensor, ...]) -> ModuleModel:
    return ModuleModel(net.eval(), samples[0] if len(samples) == 1 else list(samples), None, None, 0)


def lowered(
    net: nn.Module, recipe: str = "fp32", device=JETSON, kept: tuple[str, ...] = (), batches: tuple[int, ...] = (2,)
) -> LoweredOnnx:
    model = model_of(net, *(inputs(0, batch) for batch in batches))
    methods = model.methods()
    numbers = change_recipe(find_recipe(recipe), kept)
    symmetric = device is JETSON
    graphs = capture(net, methods)
    return lower(quantize(model, graphs, methods, numbers, kept, standard=True, symmetric=symmetric), methods, device)


def run(program: LoweredOnnx, folder: Path, *arrays: np.ndarray, name: str = "program.onnx") -> list[np.ndarray]:
    for file, content in program.files.items():
        (folder / file).write_bytes(content)
    session = onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
    return session.run(None, {end.name: array for end, array in zip(session.get_inputs(), arrays, strict=True)})


def error(expected: torch.Tensor, actual: np.ndarray) -> float:
    """The largest, as a share of the range."""
    return float(np.abs(expected.numpy() - actual).max() / np.ptp(expected.numpy()))


@pytest.mark.parametrize(("recipe", "most"), [("fp32", 1e-5), ("fp16", 2e-3), ("int8", 0.05)])
def test_answers(net, recipe, most, tmp_path):
    program = lowered(net, recipe)
    scores, places = run(program, tmp_path, *(tensor.numpy() for tensor in inputs(1)))
    expected = net(*inputs(1))
    assert error(expected[0], scores) < most
    assert places.dtype == np.int64
    if recipe == "fp32":
        np.testing.assert_array_equal(places, expected[1].numpy())
    assert program.opset == JETSON.opset
    assert program.minimum_runtime == "1.14"


def test_names_and_shapes(net):
    program = onnx.load_from_string(lowered(net).files["program.onnx"])

    def ends(values):
        shapes = ([dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values)
        return [(value.name, shape) for value, shape in zip(values, shapes, strict=True)]

    (method,) = model_of(net, inputs(0)).methods()
    assert ends(program.graph.input) == [(spec.name, list(spec.shape)) for spec in method.spec.inputs]
    assert ends(program.graph.output) == [(spec.name, list(spec.shape)) for spec in method.spec.outputs]
    assert not program.functions
    assert {entry.domain for entry in program.opset_import} == {""}


@pytest.mark.parametrize(("recipe", "stored"), [("fp16", onnx.TensorProto.FLOAT16), ("int8", onnx.TensorProto.INT8)])
def test_weights_are_stored_narrow(net, recipe, stored):
    program = onnx.load_from_string(lowered(net, recipe, kept=("head.2",)).files["program.onnx"])
    sizes = [int(np.prod(tensor.dims)) for tensor in program.graph.initializer if tensor.data_type == stored]
    assert set(sizes) >= {72, 4800, 2304}
    assert 960 not in sizes
    wide = [tensor for tensor in program.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    words = set() if recipe == "fp16" else {984}  # which static int8 leaves alone
    assert {size for tensor in wide if (size := int(np.prod(tensor.dims))) > 100} == {960} | words


def test_int8_for_tensorrt_is_symmetric_and_elsewhere_is_not(net):
    for device, only in ((JETSON, True), (LINUX, False)):
        program = onnx.load_from_string(lowered(net, "int8", device).files["program.onnx"])
        constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in program.graph.initializer}
        zeros = [constants[node.input[2]] for node in program.graph.node if node.op_type == "QuantizeLinear"]
        assert zeros
        assert all(not zero.any() for zero in zeros) == only
        scales = [constants[node.input[1]] for node in program.graph.node if node.op_type == "DequantizeLinear"]
        assert {scale.size for scale in scales} > {8, 24, 96}  # a scale an output channel, whichever way it lies
        # Weights that are transposed are stored so.
        widened = {node.output[0] for node in program.graph.node if node.op_type == "DequantizeLinear"}
        assert not [node for node in program.graph.node if node.op_type == "Transpose" and node.input[0] in widened]


def test_methods_share_weights(net, tmp_path):
    program = lowered(net, batches=(1, 4))
    names = [method.spec.name for method in model_of(net, *(inputs(0, batch) for batch in (1, 4))).methods()]
    assert program.method_files == {name: f"program-{name}.onnx" for name in names}
    assert list(program.files) == [*program.method_files.values(), "program.weights"]
    stored = len(program.files["program.weights"])
    large = sum(4 * weight.numel() for weight in net.parameters() if 4 * weight.numel() >= 4096)
    assert large <= stored < 1.5 * large
    for batch, file in zip((1, 4), program.method_files.values(), strict=True):
        scores, _ = run(program, tmp_path, *(tensor.numpy() for tensor in inputs(1, batch)), name=file)
        assert error(net(*inputs(1, batch))[0], scores) < 1e-5


def test_weights_of_a_large_program_lie_outside_of_it(net, tmp_path, monkeypatch):
    monkeypatch.setattr("edgekit.export.onnx.LARGEST_FILE", 1000)
    program = lowered(net)
    assert list(program.files) == ["program.onnx", "program.weights"]
    assert program.method_files == {"forward": "program.onnx"}
    scores, _ = run(program, tmp_path, *(tensor.numpy() for tensor in inputs(1)))
    assert error(net(*inputs(1))[0], scores) < 1e-5


class Counter(nn.Module):
    """Adds to a state, and shows another one that it does not change."""

    def forward(self, x: torch.Tensor, total: torch.Tensor, kept: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (x + total).sum(-1), total + x, kept


def counter_method() -> Method:
    row = TensorSpec("x", (4,), "float32")
    # The exporter calls what is inside "add" and "sum_1" too.
    states = TensorSpec("add", (4,), "float32"), TensorSpec("kept", (2,), "int64")
    spec = MethodSpec("add", (row,), (TensorSpec("sum_1", (), "float32"),))
    return Method(spec, (torch.ones(4),), Counter(), None, states)


def test_states_go_in_and_come_out(tmp_path):
    method = counter_method()
    program = lower(capture(Counter(), [method]), [method], JETSON)
    proto = onnx.load_from_string(program.files["program.onnx"])
    assert [end.name for end in proto.graph.input] == ["x", "add", "kept"]
    assert [end.name for end in proto.graph.output] == ["sum_1", "add.next", "kept.next"]
    arrays = [np.arange(4, dtype=np.float32), np.full(4, 2, np.float32), np.array([5, 7])]
    outputs = run(program, tmp_path, *arrays)
    for got, wanted in zip(outputs, (14, arrays[0] + 2, arrays[2]), strict=True):
        np.testing.assert_array_equal(got, wanted)


class Narrow(nn.Module):
    """What torch's exporter stumbles over, and what TensorRT says otherwise."""

    def forward(self, count: torch.Tensor) -> torch.Tensor:
        return (1000 // count).clamp(3, 400) + (count % 7)


def test_whole_numbers(tmp_path):
    method = Method(
        MethodSpec("divide", (TensorSpec("count", (5,), "int64"),), (TensorSpec("shares", (5,), "int64"),)),
        (torch.ones(5, dtype=torch.int64),),
    )
    program = lower(capture(Narrow(), [method]), [method], JETSON)
    assert {"Equal", "Clip"}.isdisjoint(program.operators)
    counts = np.array([1, 3, -7, 999, -1001])
    (shares,) = run(program, tmp_path, counts)
    np.testing.assert_array_equal(shares, Narrow()(torch.from_numpy(counts)).numpy())


@pytest.mark.slow
def test_bytes_are_the_same_again_and_name_no_place(net):
    program = lowered(net, "int8")
    digest = hashlib.sha256(program.files["program.onnx"]).hexdigest()
    code = (
        "import hashlib, torch; from tests.export.test_onnx import Net, lowered; torch.manual_seed(0); "
        "net = Net().eval().requires_grad_(False); "
        "print(hashlib.sha256(lowered(net, 'int8').files['program.onnx']).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == digest
    for word in (b"site-packages", b"/tests/", b"test_onnx", b".py", str(Path.cwd()).encode()):
        assert word not in program.files["program.onnx"]


def test_export_says_nothing(net, capfd):
    lowered(net)
    assert capfd.readouterr() == ("", "")


class Remembers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += x
        return self.seen * 2


class Sparse(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        import edgekit.kernels  # noqa: F401 (defines torch.ops.edgekit)

        return torch.ops.edgekit.sparse_topk(x, 2, True)[0]


class Sorts(nn.Module):
    """torch's exporter has no such function."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.qr(x.reshape(2, 2))[0]


class Flat(nn.Module):
    """Attention without heads, which the exporter's function does not take."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(1, 2, 2)
        return nn.functional.scaled_dot_product_attention(rows, rows, rows)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Flat(), r"ONNX: only 4D .* \(node 'scaled_dot_product_attention'\): say it otherwise in the module, or take"),
        (Remembers(), r"cannot be written as ONNX: it changes 'seen' in place: take that as an input and"),
        (Sparse(), r"method 'forward' .* no operator for edgekit::sparse_topk \(node 'sparse_topk'\): use others in"),
        (
            Sorts(),
            r"cannot be written as ONNX: ONNX has no operator for aten::linalg_qr \(node 'linalg_qr'\): use",
        ),
    ],
)
def test_what_onnx_cannot_say(module, said):
    model = model_of(module, (torch.rand(4),))
    with pytest.raises(EdgekitError, match=said) as caught:
        lower(capture(module, model.methods()), model.methods(), LINUX)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_refused_recipes():
    reasons = {recipe.name: refused(recipe) for recipe in recipes()}
    assert [name for name, reason in reasons.items() if reason is None] == ["fp32", "fp16", "int8"]
    assert "at run time" in str(reasons["int8-dynamic"])
    assert "opset 21" in str(reasons["int4"])


def test_opsets(net):
    assert lowered(net, device=replace(LINUX, opset=19)).minimum_runtime == "1.15"
    with pytest.raises(EdgekitError, match=r"linux-x86_64 asks for ONNX of opset 7: set opset in its profile to"):
        lowered(net, device=replace(LINUX, opset=7))
