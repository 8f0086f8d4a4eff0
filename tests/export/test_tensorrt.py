"""What a device's TensorRT takes: its list, the list's restrictions, and the command that builds an engine."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("onnxscript", reason="edgekit[onnx] is not installed")
from onnx import TensorProto, helper, numpy_helper

from edgekit.devices.profile import load_profile
from edgekit.errors import EdgekitError
from edgekit.export.capture import capture
from edgekit.export.module import ModuleModel
from edgekit.export.onnx import lower
from edgekit.export.recipes import find_recipe
from edgekit.export.tensorrt import check, commands, limits_of, providers
from edgekit.models.model import Method
from edgekit_runtime.tensors import MethodSpec, TensorSpec

JETSON = load_profile("jetson")
FLOAT, INT64, BOOL, DOUBLE = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.DOUBLE


def program(operator: str, given: list, element: int = FLOAT, shape=(1, 2, 8, 8), outputs: int = 1, **attributes):
    """One node `it`. What is given besides `x` is a constant, or computed ("computed") from an input."""
    names, constants, inputs = [], [], [helper.make_tensor_value_info("x", element, shape)]
    for place, what in enumerate(given):
        if isinstance(what, (np.ndarray, np.generic)):
            constants.append(numpy_helper.from_array(np.asarray(what), f"c{place}"))
            names.append(f"c{place}")
        elif what == "computed":
            inputs.append(helper.make_tensor_value_info(f"i{place}", INT64, [1]))
            names.append(f"i{place}")
        else:
            names.append(what)
    ends = [f"y{place}" for place in range(outputs)]
    node = helper.make_node(operator, names, ends, name="it", **attributes)
    values = [helper.make_empty_tensor_value_info(end) for end in ends]
    graph = helper.make_graph([node], "g", inputs, values, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def complaint(model) -> str | None:
    try:
        check(model, "run", JETSON, limits_of(JETSON))
    except EdgekitError as error:
        said, operator = str(error), model.graph.node[0].op_type
        start = f"TensorRT 10.3 of jetson-orin-nano does not take node 'it' ({operator}) of method 'run': "
        assert said.startswith(start)
        assert said.endswith(".")
        assert "\n" not in said
        return said.removeprefix(start)
    return None


SCALE = np.float32(0.5)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (program("Relu", ["x"]), None),
        (program("Relu", ["x"], INT64), None),
        (program("Sigmoid", ["x"], INT64), "it takes bfloat16, float16, float32, not int64; convert"),
        (program("Sigmoid", ["x"], DOUBLE), None),  # read as float32
        (program("Equal", ["x", "x"], BOOL), "not bool"),
        (program("Det", ["x"], shape=(3, 3)), "it has no such operator; use others in the module"),
        (program("DynamicQuantizeLinear", ["x"], outputs=3), "it has no such operator"),
        (program("Where", [np.ones((1, 2, 8, 8), bool), "x", "x"]), None),
        (program("TopK", ["x", np.array([3840])], shape=(1, 4000), outputs=2), None),
        (program("TopK", ["x", np.array([3841])], shape=(1, 4000), outputs=2), "k is 3841, it takes 3840 at most"),
        (program("TopK", ["x", "computed"], shape=(1, 4000), outputs=2), None),
        (program("QuantizeLinear", ["x", SCALE, np.int8(0)]), None),
        (program("QuantizeLinear", ["x", SCALE, np.int8(3)]), "its zero point is not 0; calibrate with symmetric"),
        (program("DequantizeLinear", ["x", SCALE], TensorProto.INT8), None),
        (program("DequantizeLinear", ["x", SCALE], TensorProto.UINT8), "it takes int8, not uint8"),
        (program("MaxPool", ["x"], kernel_shape=[2, 2]), None),
        (program("MaxPool", ["x"], kernel_shape=[2, 2], outputs=2), "it gives no indices of what is largest"),
        (program("AveragePool", ["x"], kernel_shape=[2], shape=(1, 2, 8)), "it pools over 2 or 3 dimensions, not 1"),
        (program("CumSum", ["x", np.array(1)]), None),
        (program("CumSum", ["x", "computed"]), "its axes are computed"),
        (program("Resize", ["x", "", np.ones(4, np.float32)], mode="linear"), None),
        (program("Resize", ["x", "", np.ones(4, np.float32)], mode="cubic"), "nearest or linear, not cubic"),
        (
            program("Resize", ["x", "", np.ones(4, np.float32)], coordinate_transformation_mode="tf_crop_and_resize"),
            "not tf_crop_and_resize",
        ),
    ],
    ids=lambda value: None if value is None or isinstance(value, str) else value.graph.node[0].op_type,
)
def test_the_list_and_its_restrictions(model, said):
    found = complaint(model)
    assert (found is None) if said is None else said in found


def test_graphs_inside_of_nodes_are_checked():
    inner = helper.make_graph(
        [helper.make_node("Det", ["x"], ["d"], name="it")], "inner", [], [helper.make_tensor_value_info("d", FLOAT, [])]
    )
    node = helper.make_node("If", ["c"], ["y"], name="outer", then_branch=inner, else_branch=inner)
    ends = helper.make_tensor_value_info("x", FLOAT, (3, 3)), helper.make_tensor_value_info("c", BOOL, [])
    graph = helper.make_graph([node], "g", ends, [helper.make_tensor_value_info("y", FLOAT, [])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    with pytest.raises(EdgekitError, match=r"node 'it' \(Det\)"):
        check(model, "run", JETSON, limits_of(JETSON))


def test_an_opset_that_it_does_not_read():
    model = program("Relu", ["x"])
    model.opset_import[0].version = 21
    with pytest.raises(
        EdgekitError, match=r"is ONNX of opset 21, TensorRT 10\.3 of jetson-orin-nano takes 9 to 19: set"
    ):
        check(model, "run", JETSON, limits_of(JETSON))


class Determinant(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.det(torch.relu(x))


def test_export_refuses_it_for_a_jetson_and_not_for_another_device():
    model = ModuleModel(Determinant().eval(), (torch.rand(3, 3),), None, None, 0)
    graphs, methods = capture(model.module, model.methods()), model.methods()
    assert "Det" in lower(graphs, methods, load_profile("linux-x86_64")).operators
    with pytest.raises(EdgekitError, match=r"does not take node '\w+' \(Det\) of method 'forward'"):
        lower(graphs, methods, JETSON)


def test_commands():
    image = TensorSpec("image", (1, 3, 8, 8), "float32")
    rows = TensorSpec("tokens", (64,), "int64", dynamic=True), TensorSpec("rows", (64, 2), "int64", dynamic=True)
    methods = [Method(MethodSpec("see", (image,), ()), ()), Method(MethodSpec("read", rows, ()), ())]
    files = {"see": "program-see.onnx", "read": "program-read.onnx"}
    lines = {name: commands(files, methods, find_recipe(name)).splitlines() for name in ("fp32", "fp16", "int8")}
    assert lines["fp32"][0] == "trtexec --onnx=program-see.onnx --saveEngine=../program-see.engine --noTF32"
    assert lines["fp32"][1] == (
        "trtexec --onnx=program-read.onnx --saveEngine=../program-read.engine --noTF32 "
        "--minShapes=tokens:1,rows:1x2 --optShapes=tokens:64,rows:64x2 --maxShapes=tokens:64,rows:64x2"
    )
    assert [re.findall("--(fp16|int8|noTF32)", line) for line in (lines["fp16"][0], lines["int8"][0])] == [
        ["fp16"],
        ["int8"],
    ]


def test_providers():
    assert providers(JETSON) == ["tensorrt", "cuda", "cpu"]
    assert providers(load_profile("linux-x86_64")) == ["cpu"]
    assert limits_of(load_profile("raspberry-pi-5")) is None


def test_the_two_jetsons_share_a_list():
    agx = load_profile("jetson-agx-orin")
    assert limits_of(agx) is limits_of(JETSON)
