"""conv2d against torch in float64, on every instruction set of this CPU, and in an ExecuTorch program."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import edgekit.kernels as kernels
from edgekit.kernels import ops, reference

from .conftest import AVAILABLE


def make(n, c, h, w, o, kh, kw, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, c, h, w, generator=generator)
    weight = torch.randn(o, c, kh, kw, generator=generator)
    return x, weight, torch.randn(o, generator=generator)


def exact(x, weight, bias, padding, activation):
    bias = None if bias is None else bias.double()
    return reference.conv2d(x.double(), weight.double(), bias, padding, activation)


def worst(y, x, weight, bias, padding, activation):
    """The largest error, by the range of the output; where that is by chance small, by what was added."""
    expected = exact(x, weight, bias, padding, activation)
    assert y.shape == expected.shape
    if y.numel() == 0:
        return 0.0
    added = torch.linalg.vector_norm(x.double()) * torch.linalg.vector_norm(weight.double()) / max(1, x.shape[0])
    size = max(float(expected.max() - expected.min()), float(added), 1.0)
    return float((y - expected).abs().max()) / size


@settings(max_examples=150, deadline=None)
@given(
    n=st.sampled_from((0, 1, 1, 2)),
    c=st.integers(1, 10),
    o=st.integers(1, 10),
    h=st.integers(1, 45),
    w=st.integers(1, 45),
    kernel=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    padding=st.tuples(st.integers(0, 18), st.integers(0, 18)),
    activation=st.sampled_from((1.0, 0.0, 0.1)),
    with_bias=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_same_as_torch(n, c, o, h, w, kernel, padding, activation, with_bias, seed):
    h, w = max(h, kernel[0] - 2 * padding[0]), max(w, kernel[1] - 2 * padding[1])
    x, weight, bias = make(n, c, h, w, o, *kernel, seed)
    bias = bias if with_bias else None
    for isa in AVAILABLE:
        kernels.use_isa(isa)
        y = ops.conv2d(x, weight, bias, padding, activation)
        assert worst(y, x, weight, bias, padding, activation) < 2e-6
    kernels.use_isa(None)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 5), (7, 7), (9, 13), (17, 17), (1, 25), (40, 3)])
@pytest.mark.parametrize(("c", "o"), [(1, 1), (3, 20), (16, 16), (40, 9)])
def test_error_by_the_range(kernel, c, o):
    kernels.use_isa(None)
    x, weight, bias = make(1, c, 100, 117, o, *kernel)
    padding = (kernel[0] // 2, kernel[1] // 2)
    expected = exact(x, weight, bias, padding, 0.1)
    y = ops.conv2d(x, weight, bias, padding, 0.1)
    assert (y - expected).abs().max() < 1e-5 * (expected.max() - expected.min())


@pytest.mark.parametrize(
    "sizes",
    [
        (1, 3, 50, 60, 5, 3, 3),
        (2, 16, 30, 33, 16, 3, 3),
        (2, 8, 70, 70, 16, 9, 9),
        (1, 16, 20, 30, 24, 17, 17),
        (1, 200, 5, 5, 30, 1, 1),
    ],
)
def test_same_bits_for_any_number_of_threads(threads, isa, sizes):
    x, weight, bias = make(*sizes)
    answers = []
    for count in (1, 2, 3):
        threads(count)
        answers.append(ops.conv2d(x, weight, bias, (4, 4), 0.0))
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


def test_same_bits_again_and_inputs_untouched(isa):
    x, weight, bias = make(1, 8, 64, 64, 8, 9, 9)
    copies = x.clone(), weight.clone(), bias.clone()
    y = ops.conv2d(x, weight, bias, (4, 4), 1.0)
    out = torch.full_like(y, torch.nan)
    assert torch.ops.edgekit.conv2d.out(x, weight, bias, [4, 4], 1.0, out=out) is out
    assert torch.equal(y, out)
    assert all(torch.equal(a, b) for a, b in zip(copies, (x, weight, bias), strict=True))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": torch.zeros(3, 8, 8)}, ("x has shape", "(3, 8, 8)")),
        ({"x": torch.zeros(1, 3, 8, 8, dtype=torch.float16)}, ("x has dtype",)),
        ({"x": torch.zeros(1, 3, 8, 9).mT}, ("x is not contiguous",)),
        ({"x": torch.zeros(1, 0, 8, 8), "weight": torch.zeros(2, 0, 3, 3)}, ("x has shape", "(1, 0, 8, 8)")),
        ({"weight": torch.zeros(2, 4, 3, 3)}, ("weight has shape", "(2, 4, 3, 3)")),
        ({"weight": torch.zeros(2, 3, 3)}, ("weight has shape", "(2, 3, 3)")),
        ({"weight": torch.zeros(2, 3, 0, 3)}, ("weight has shape", "(2, 3, 0, 3)")),
        ({"weight": torch.zeros(2, 3, 9, 3)}, ("weight has 9 x 3", "8 x 8")),
        ({"bias": torch.zeros(3)}, ("bias has shape", "(3)")),
        ({"padding": (1,)}, ("padding has 1",)),
        ({"padding": (-1, 0)}, ("padding is [-1, 0]",)),
        ({"padding": (0, 2**40)}, ("padding is [0, 1099511627776]",)),
    ],
)
def test_bad_arguments(change, words):
    arguments = {
        "x": torch.zeros(1, 3, 8, 8),
        "weight": torch.zeros(2, 3, 3, 3),
        "bias": torch.zeros(2),
        "padding": (0, 0),
        **change,
    }
    with pytest.raises(RuntimeError) as raised:
        ops.conv2d(**arguments)
    sentence = str(raised.value)
    assert all(word in sentence for word in ("conv2d", *words)), sentence


class Graph(torch.nn.Module):
    def __init__(self, kernel, with_bias):
        super().__init__()
        _, self.weight, bias = make(1, 6, 1, 1, 9, kernel, kernel)
        self.bias = bias if with_bias else None

    def forward(self, x):
        return ops.conv2d(x, self.weight, self.bias, (self.weight.shape[2] // 2,) * 2, 0.1)


@pytest.mark.parametrize(("kernel", "with_bias"), [(3, True), (9, False)])
def test_executorch_program(as_program, kernel, with_bias, tmp_path):
    module = Graph(kernel, with_bias)
    x = torch.randn(1, 6, 50, 60)
    program = as_program(module, x)
    (answer,) = program(x)
    assert torch.equal(torch.from_numpy(answer), module(x))
    assert "native_call_edgekit::conv2d.out" in program.profile(tmp_path, x)
