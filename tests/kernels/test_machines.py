"""The operators through their C header: under sanitizers here, and on an emulated arm64 machine; the same answers."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest
import torch

from edgekit.devices.profile import list_profiles
from edgekit.kernels import ops, reference
from edgekit.kernels.sea import random_weights

from .. import machines
from ..machines import OperatorError
from .conftest import AVAILABLE
from .test_csr_matmul import matrix
from .test_program import EveryOperator, calls, check_answers
from .test_sea_estimate import empty_state, make_inputs
from .test_sparse_topk_attention import make_case

pytestmark = pytest.mark.slow

ISAS = {"sanitized": AVAILABLE, "thread_checked": AVAILABLE[-1:], "arm64": ["scalar", "neon"]}


@pytest.fixture(params=[(name, isa) for name, isas in ISAS.items() for isa in isas], ids="-".join)
def runner(request, built):
    """Runs an operator on a machine with an instruction set."""
    name, isa = request.param
    machine = built(name)

    def run(operator, numbers, *inputs, threads=2):
        return machine.operator(operator, numbers, *inputs, threads=threads, isa=isa)

    return run


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_sparse_topk(runner, dtype):
    generator = np.random.default_rng(0)
    for rows, n, k in ((1, 1, 1), (3, 37, 37), (5, 256, 32), (2, 1027, 64), (1, 3072, 300), (40, 600, 5)):
        x = generator.normal(size=(rows, n)).astype(dtype)
        x[:, ::7] = np.round(x[:, ::7])
        x[0, :: max(n // 3, 1)] = np.nan
        for sort in (True, False):
            values, indices = reference.sparse_topk(torch.from_numpy(x), k, sort)
            found = runner("sparse_topk", [int(dtype == "float16"), rows, n, k, int(sort)], x)
            assert found[0] == values.numpy().tobytes()
            assert found[1] == indices.numpy().tobytes()


def test_sparse_topk_refuses(runner):
    x = np.zeros((2, 5), np.float32)
    for numbers, says in (
        ((0, 2, 5, 6, 1), "sparse_topk: k is 6, x's last dimension 5: give 1 to 5."),
        ((0, 2, 5, 0, 1), "sparse_topk: k is 0"),
        ((2, 2, 5, 1, 1), "sparse_topk: x has dtype 2"),
    ):
        with pytest.raises(OperatorError, match=re.escape(says)):
            runner("sparse_topk", numbers, x)


def test_an_instruction_set_that_the_machine_lacks(built):
    with pytest.raises(OperatorError, match='EDGEKIT_ISA is "avx2", which is not an instruction set of this CPU'):
        built("arm64").operator("sparse_topk", (0, 1, 5, 1, 1), np.zeros(5, np.float32), isa="avx2")


DTYPES = {"float32": 0, "float16": 1, "int8": 2}


@pytest.mark.parametrize("dtype", DTYPES)
def test_kv_append_and_attention(runner, dtype):
    """Rows into a cache, then attention over it; the second row of a pair of calls is a decode step."""
    case = make_case(3, 5, 24, 16, 70, getattr(torch, dtype), seed=1, spread=3.0)
    names = ("k_cache", "v_cache", "k_scale", "v_scale")
    cache = [case[name] for name in names if name in case]
    heads, capacity, size = cache[0].shape
    about = [DTYPES[dtype], heads, capacity, size]
    k, v = (torch.randn(heads, 2, size, generator=torch.Generator().manual_seed(seed)) for seed in (2, 3))
    given = [tensor.numpy() for tensor in (k, v, *cache)]
    appended = runner("kv_append", [*about, 0, 2, 73], *given)
    reference.kv_append(k, v, 73, *cache)
    for found, tensor in zip(appended, cache, strict=True):
        array = tensor.numpy()
        np.testing.assert_array_equal(np.frombuffer(found, array.dtype).reshape(array.shape), array)
    for k_budget in (6, 1000):
        numbers = [*about, 5, 16, 70, k_budget]
        inputs = [case[name].numpy() for name in ("q", "scores", "gates", "v_mean")]
        (found,) = runner("sparse_topk_attention", numbers, *inputs, *(tensor.numpy() for tensor in cache))
        expected = reference.sparse_topk_attention(**case, k_budget=k_budget).numpy()
        array = np.frombuffer(found, np.float32).reshape(expected.shape)
        np.testing.assert_allclose(array, expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_answer_on_every_arm64_cpu(built, dtype):
    """The kernels ask for Armv8.0-A only: the same bits on a CPU with half precision and dot products, and without."""
    case = make_case(3, 5, 24, 16, 70, getattr(torch, dtype), seed=1, spread=3.0)
    cache = [case[name].numpy() for name in ("k_cache", "v_cache", "k_scale", "v_scale") if name in case]
    numbers = [DTYPES[dtype], *cache[0].shape]
    k, v = np.random.default_rng(0).normal(size=(2, 3, 2, 24)).astype("float16" if dtype == "float16" else "float32")
    inputs = [case[name].numpy() for name in ("q", "scores", "gates", "v_mean")]
    answers = []
    for cpu in machines.ARM64_CPUS:
        machine = built("arm64").on(cpu)
        append = [*numbers, DTYPES[str(k.dtype)], 2, 73]
        answers.append(
            machine.operator("kv_append", append, k, v, *cache)
            + machine.operator("sparse_topk_attention", [*numbers, 5, 16, 70, 6], *inputs, *cache)
            + machine.operator("sparse_topk", [DTYPES[str(k.dtype)], 6, 24, 7, 1], k)
        )
    assert answers[0] == answers[1]


def test_sea_estimate(runner):
    """Blocks of a sequence, the state handed on; sizes that end inside vectors and groups."""
    cases = (12, 16, 33, 64, (27, 1)), (3, 20, 5, 28, (1, 1, 4)), (1, 5, 1, 4, (2,))
    for heads, size, features, cells, counts in cases:
        weights = random_weights(heads, size, features, cells, sum(counts), seed=heads)
        width, taps = cells // 4, weights.map_weight.shape[1]
        state, start = list(empty_state(weights)), 0
        expected_state = empty_state(weights)
        for count in counts:
            inputs = make_inputs(heads, count, size, seed=start)
            numbers = (heads, size, features, width, cells, taps, sum(counts), count, start)
            found = runner("sea_estimate", numbers, *(tensor.numpy() for tensor in (*inputs, *weights, *state)))
            outputs = reference.sea_estimate(*inputs, start, list(weights), *expected_state)
            expected = [tensor.numpy() for tensor in (*outputs, *expected_state)]
            arrays = [
                np.frombuffer(data, np.float32).reshape(array.shape)
                for data, array in zip(found, expected, strict=True)
            ]
            for array, wanted in zip(arrays, expected, strict=True):
                np.testing.assert_allclose(array, wanted, atol=1e-4, rtol=1e-4)
            state, start = [torch.from_numpy(array.copy()) for array in arrays[3:]], start + count
    numbers = (*numbers[:-1], sum(counts))
    with pytest.raises(OperatorError, match="sea_estimate: start_pos is 2 and there are 2 rows, but positions has 2"):
        runner("sea_estimate", numbers, *(tensor.numpy() for tensor in (*inputs, *weights, *state)))


def test_csr_matmul(runner):
    generator = torch.Generator().manual_seed(0)
    crow, col, val = matrix(19, 23, 0.2, generator)
    for n in (37, 6, 1):
        x = torch.randn(2, 23, n, generator=generator)
        numbers = (19, 23, len(col), 2, n)
        (found,) = runner("csr_matmul", numbers, *(tensor.numpy() for tensor in (crow, col, val, x)))
        expected = reference.csr_matmul(crow, col, val, x).numpy()
        np.testing.assert_allclose(np.frombuffer(found, np.float32).reshape(expected.shape), expected, atol=1e-5)
    col[3] = 23
    with pytest.raises(OperatorError, match=r"csr_matmul: col\[3\] is 23"):
        runner("csr_matmul", numbers, *(tensor.numpy() for tensor in (crow, col, val, x)))


def test_conv2d(runner):
    """Each algorithm, with sizes that end inside a tile or a vector."""
    generator = torch.Generator().manual_seed(0)
    for c, o, size, kernel, padding in (
        (1, 9, (19, 23), (3, 3), (1, 1)),  # direct
        (16, 17, (37, 41), (3, 3), (1, 1)),  # Winograd
        (9, 8, (50, 61), (17, 17), (8, 8)),  # Fourier
        (8, 8, (40, 70), (11, 7), (0, 9)),
        (5, 3, (6, 9), (2, 4), (0, 2)),
    ):
        x = torch.randn(2, c, *size, generator=generator)
        weight, bias = torch.randn(o, c, *kernel, generator=generator), torch.randn(o, generator=generator)
        expected = torch.nn.functional.conv2d(x.double(), weight.double(), bias.double(), padding=padding)
        expected = torch.where(expected < 0, 0.1 * expected, expected).numpy()
        numbers = (2, c, *size, o, *kernel, *padding, 10)
        (found,) = runner("conv2d", numbers, *(tensor.numpy() for tensor in (x, weight, bias)))
        array = np.frombuffer(found, np.float32).reshape(expected.shape)
        assert np.abs(array - expected).max() <= 1e-5 * np.ptp(expected), (c, o, kernel)
    with pytest.raises(OperatorError, match="conv2d: weight has 9 x 9 numbers"):
        runner("conv2d", (1, 1, 5, 5, 1, 9, 9, 0, 0, 100), *(np.zeros(81, np.float32),) * 3)


@pytest.fixture
def every_operator(as_program, tmp_path):
    """The program that calls every operator, and its file."""
    program = as_program(EveryOperator(ops), *calls()[0])
    path = tmp_path / "every_operator.pte"
    path.write_bytes(program.buffer)
    return program, path


@pytest.mark.parametrize(("name", "cpu"), [("host", None), *(("arm64", cpu) for cpu in machines.ARM64_CPUS)])
def test_a_program_in_a_cpp_runner(built, every_operator, name, cpu):
    """The `.pte` that calls every operator, run by a C++ program on ExecuTorch's wheel; against eager torch."""
    machine, (program, path) = built(name), every_operator
    given = [tensor.numpy() for inputs in calls() for tensor in inputs]
    outputs = iter((machine.on(cpu) if cpu else machine).program(path, *given))
    shapes = [(output.shape, output.dtype) for output in program(*calls()[0])]
    check_answers([[np.frombuffer(next(outputs), dtype).reshape(shape) for shape, dtype in shapes] for _ in calls()])
    assert next(outputs, None) is None


@pytest.mark.parametrize("name", ["host", "arm64"])
def test_a_cpp_runner_is_told_what_is_wrong(built, every_operator, name):
    """A full cache, an instruction set that is not there, libraries of two versions: a sentence and an error code."""
    machine, (_, path) = built(name), every_operator
    image, position = (tensor.numpy() for tensor in calls()[0])
    with pytest.raises(OperatorError, match=r"edgekit::kv_append: start_pos is 47 and there are 2 rows(.|\n)*error 18"):
        machine.program(path, image, position + 47)
    missing = {"host": "neon", "arm64": "avx2"}[name]
    for isa in (missing, "nonsense"):
        with pytest.raises(OperatorError, match=f'edgekit::EDGEKIT_ISA is "{isa}", which is not(.|\n)*error 18'):
            machine.program(path, image, position, environment={"EDGEKIT_ISA": isa})
    preload = {"host": {"LD_PRELOAD": str(machine.other_version)}}
    preload["arm64"] = {"QEMU_SET_ENV": f"LD_PRELOAD={machine.other_version}"}
    says = "libedgekit_ops.so has version 99, libedgekit_executorch.so needs 1: take both from one edgekit"
    with pytest.raises(OperatorError, match=f"edgekit::kv_append.out: {says}(.|\n)*error 20"):
        machine.program(path, image, position, environment=preload[name])


def test_libraries_fit_old_systems(built):
    """Symbol versions of the arm64 libraries against every profile's glibc, and 2.28; no libstdc++ is asked for.

    What stands beside LiteRT's library, which itself asks for 2.34, and has threads of its own: 2.35. So do the
    operators, which open CUDA's driver and keep what lies on a GPU.
    """
    if shutil.which("readelf") is None:
        pytest.skip("needs readelf: apt install binutils")
    has = {profile.name: profile.glibc for profile in list_profiles() if profile.architecture == "aarch64"}
    has = {name: glibc for name, glibc in has.items() if glibc is not None}
    assert {"jetson-orin-nano", "raspberry-pi-5"} <= set(has)
    libraries = built("arm64").libraries
    names = ("ops", "executorch", "litert")
    assert {library.name for library in libraries} == {f"libedgekit_{name}.so" for name in names}
    for library in libraries:
        text = subprocess.run(["readelf", "-hdVW", library], capture_output=True, text=True, check=True).stdout
        assert "AArch64" in text
        needed = max(version(found) for found in re.findall(r"GLIBC_([\d.]+)", text))
        floor = {"the floor": "2.28" if "executorch" in library.name else "2.35"}
        for name, glibc in (has | floor).items():
            assert needed <= version(glibc), (library.name, name)
        assert "libstdc++" not in text
        assert "GLIBCXX" not in text


def version(text: str) -> tuple[int, ...]:
    """As numbers, which order as versions do."""
    return tuple(map(int, text.split(".")))
