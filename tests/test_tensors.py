"""Descriptions of tensors, and the choice of a method by the shapes of its inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit.errors import EdgekitError, UsageError
from edgekit_runtime.tensors import MethodSpec, TensorSpec, check_array, pick_method


def spec(*shape: int, name: str = "x", dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name, shape, dtype, "V")


def method(name: str, *inputs: TensorSpec) -> MethodSpec:
    return MethodSpec(name, inputs, (spec(1, name="y"),))


METHODS = (
    method("small", spec(1, 3, 8, 8)),
    method("large", spec(1, 3, 16, 24)),
    method("two", spec(1, 3, 8, 8), spec(4, name="k", dtype="int64")),
    method("scalar", spec()),
)


@pytest.mark.parametrize("item", [spec(), spec(1, 2, 3), spec(0, 5, dtype="int8"), TensorSpec("a b", (7,), "bool")])
def test_tensor_spec_survives_a_manifest(item: TensorSpec):
    assert TensorSpec.from_dict(item.to_dict()) == item
    assert item.nbytes == np.zeros(item.shape, item.dtype).nbytes


@pytest.mark.parametrize("item", METHODS)
def test_method_spec_survives_a_manifest(item: MethodSpec):
    assert MethodSpec.from_dict(item.to_dict()) == item


def test_large_tensors_are_counted_without_overflow():
    assert spec(1 << 20, 1 << 20).nbytes == 1 << 42


def test_description():
    assert spec(1, 3, 8, 8).describe() == "x: float32 1x3x8x8"
    assert spec().describe() == "x: float32 scalar"


@pytest.mark.parametrize("expected", METHODS)
def test_method_is_picked_by_shape(expected: MethodSpec):
    assert pick_method(METHODS, [item.shape for item in expected.inputs]) is expected


@pytest.mark.parametrize(
    ("shapes", "given"), [([(1, 3, 8, 9)], "1x3x8x9"), ([(4,), (1, 3, 8, 8)], "4, 1x3x8x8"), ([], "no inputs")]
)
def test_unknown_shapes_list_those_that_exist(shapes: list[tuple[int, ...]], given: str):
    with pytest.raises(UsageError) as caught:
        pick_method(METHODS[:3], shapes)
    assert f"takes {given}; it has 1x3x8x8; 1x3x16x24; 1x3x8x8, 4" in str(caught.value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.arange(12, dtype=np.float32).reshape(2, 6)[:, ::2],
        np.broadcast_to(np.float32(1), (2, 3)),
    ],
)
def test_fitting_arrays_come_back_contiguous(array: np.ndarray):
    checked = check_array(array, spec(2, 3))
    assert checked.flags.c_contiguous
    np.testing.assert_array_equal(checked, array)


def test_a_scalar_stays_a_scalar():
    assert check_array(np.array(2.5, np.float32), spec()).shape == ()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 3), np.float64),
        np.zeros((2, 3), np.int32),
        np.zeros((2, 3), ">f4"),
        np.zeros((3, 2), np.float32),
        np.zeros((1, 2, 3), np.float32),
        np.zeros(6, np.float32),
    ],
)
def test_other_shapes_and_dtypes_are_named(array: np.ndarray):
    with pytest.raises(EdgekitError) as caught:
        check_array(array, spec(2, 3))
    assert str(caught.value) == f"input 'x' is {array.dtype} {array.shape}, float32 (2, 3) is needed."


def test_a_dynamic_dimension_takes_what_is_not_more():
    dynamic = replace(spec(4, 3), dynamic=True)
    assert dynamic.describe() == "x: float32 1..4x3"
    assert dynamic.nbytes == 48
    assert TensorSpec.from_dict(dynamic.to_dict()) == dynamic
    for rows in (1, 4):
        assert check_array(np.zeros((rows, 3), np.float32), dynamic).shape == (rows, 3)
    for shape in ((0, 3), (5, 3), (2, 4), (3,), (2, 3, 1)):
        with pytest.raises(EdgekitError, match=r"float32 1\.\.4x3 is needed"):
            check_array(np.zeros(shape, np.float32), dynamic)
    method = MethodSpec("forward", (dynamic,), ())
    assert pick_method([method], [(2, 3)]) is method
    with pytest.raises(UsageError, match=r"takes 5x3; it has 1\.\.4x3"):
        pick_method([method], [(5, 3)])
