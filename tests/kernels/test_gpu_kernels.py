"""The GPU's kernels, compiled for the CPU and run there by an emulated GPU, against the references and the CPU's."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.kernels import reference

from ..machines import OperatorError
from .test_csr_matmul import matrix
from .test_kv_append import appends, empty_cache
from .test_sparse_topk import SPECIAL

pytestmark = pytest.mark.slow
DTYPES = {"float32": 0, "float16": 1, "int8": 2}

#: A property test's runs of the emulated GPU are few and hold many cases each.
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def launches(tmp_path):
    """The names of the kernels that have run since the last call: what fails on the GPU is computed by the CPU."""
    path = tmp_path / "launches"

    def read() -> list[str]:
        names = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return names

    return read


@pytest.fixture(params=["", "reversed=1"], ids=["in order", "reversed"])
def gpu(request, built, tmp_path):
    """An emulated GPU; threads and blocks run in one order and in the other, which finds who reads too early."""
    machine = built("emulated_gpu")
    words = f"{request.param} launches={tmp_path / 'launches'}"
    return dataclasses.replace(machine, environment=(*machine.environment, ("EDGEKIT_EMULATED_GPU", words)))


def make_rows(n, dtype, seed):
    """Rows of every kind that a search for the k-th largest may stumble over: (kinds, n)."""
    generator = np.random.default_rng(seed)
    special = np.array(SPECIAL, np.float32)

    def smooth():
        return generator.normal(size=n).astype(np.float32)

    def choose(*numbers):
        return generator.choice(np.array(numbers, np.float32), n)

    mixed = generator.random(n)
    peaks = smooth()
    peaks[::32] = 1e6
    peaks[::33] = -1e6
    with np.errstate(over="ignore", invalid="ignore"):
        rows = [
            smooth(),
            smooth() - 100,
            np.round(smooth() * 2),
            np.round(smooth() * 20),
            np.sort(smooth()),
            np.sort(smooth())[::-1],
            choose(0.0),
            choose(0.0, -0.0),
            choose(3.0, -2.0),
            choose(np.inf, -np.inf),
            choose(-np.inf),
            choose(np.nan),
            choose(*SPECIAL),
            np.where(mixed < 0.03, generator.choice(special, n), smooth()),
            np.where(mixed < 0.97, np.nan, smooth()),
            np.where(np.arange(n) < n // 8, 10 + smooth(), smooth()),
            np.where(np.arange(n) % 128 < 4, 10 + smooth(), smooth()),
            peaks,
            smooth() * np.float32(1e-42),
            smooth() * np.float32(10) ** generator.integers(-44, 38, n),
            generator.integers(-(2**31), 2**31 - 1, n, dtype=np.int32).view(np.float32),
        ]
        return np.stack(rows).astype(np.float32).astype(dtype)


def check_topk(gpu, x, k, sort):
    rows, n = x.shape
    found = gpu.operator("sparse_topk", (int(x.dtype == np.float16), rows, n, k, int(sort)), x)
    expected = reference.sparse_topk(torch.from_numpy(x), k, sort)[1].numpy()
    np.testing.assert_array_equal(np.frombuffer(found[1], np.int64).reshape(rows, k), expected)
    bits = x.view(np.uint16 if x.dtype == np.float16 else np.uint32)  # kinds of NaN and the sign of zero, too
    values = np.frombuffer(found[0], bits.dtype).reshape(rows, k)
    np.testing.assert_array_equal(values, np.take_along_axis(bits, expected, -1))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    ("kernel", "sizes"),
    [
        ("small", ((1, 1), (37, 5), (37, 37), (128, 128), (129, 1), (129, 128), (256, 32), (256, 33), (256, 128))),
        ("middle", ((257, 16), (1000, 100), (1023, 1), (1024, 32), (1024, 128))),
        ("large", ((1025, 64), (2049, 96), (3072, 1), (3072, 96), (3072, 128), (3071, 96))),
        ("block", ((300, 129), (3072, 2500), (3073, 96), (4999, 128), (5000, 2500))),
    ],
)
def test_sparse_topk(gpu, launches, dtype, kernel, sizes):
    """Each kernel at its smallest and largest sizes; rows that are aligned to 16 bytes, and rows that are not."""
    for n, k in sizes:
        x = make_rows(n, dtype, seed=n + k)
        for sort in (True, False):
            check_topk(gpu, x, k, sort)
            assert launches() == [f"edgekit_sparse_topk_{dtype}_{kernel}"]


@few
@given(data=st.data())
def test_sparse_topk_of_any_size(gpu, data):
    n = data.draw(st.one_of(st.integers(1, 400), st.integers(400, 4000)))
    k = data.draw(st.one_of(st.integers(1, n), st.integers(1, min(n, 128))))
    dtype = data.draw(st.sampled_from(["float32", "float16"]))
    check_topk(gpu, make_rows(n, dtype, data.draw(st.integers(0, 2**32))), k, data.draw(st.booleans()))


def test_sparse_topk_of_long_rows(gpu, launches):
    """What is not sorted may be larger than a block's memory; what is goes to the CPU then."""
    generator = np.random.default_rng(0)
    x = np.stack([generator.normal(size=50000), np.round(generator.normal(size=50000))]).astype(np.float32)
    for k, sort in ((1, True), (200, True), (5000, True), (5000, False), (30000, False)):
        check_topk(gpu, x, k, sort)
        assert launches() == ["edgekit_sparse_topk_float32_block"]
    check_topk(gpu, x, 30000, True)
    assert launches() == []


def test_sparse_topk_of_no_rows(gpu):
    assert gpu.operator("sparse_topk", (0, 0, 5, 2, 1), np.zeros((0, 5), np.float32)) == [b"", b""]
    with pytest.raises(OperatorError, match="sparse_topk: k is 6"):
        gpu.operator("sparse_topk", (0, 2, 5, 6, 1), np.zeros((2, 5), np.float32))


def cpu_and_gpu(gpu, launches, kernel, *call):
    """An operator's outputs, which are the same to the bit."""
    cpu = dataclasses.replace(gpu, environment=(*gpu.environment, ("EDGEKIT_GPU", "0")))
    expected = cpu.operator(*call)
    assert launches() == []
    found = gpu.operator(*call)
    assert launches() == [kernel]
    assert found == expected
    return found


@pytest.mark.parametrize(
    ("kernel", "widths"), [("columns", (2, 7, 37, 130)), ("four_columns", (4, 36, 64, 260)), ("one_column", (1,))]
)
def test_csr_matmul(gpu, launches, kernel, widths):
    """Rows of no entries, of a few, and of more than a warp has room for."""
    generator = torch.Generator().manual_seed(0)
    for rows, columns, batch, density in ((19, 23, 3, 0.2), (1, 1, 1, 5.0), (67, 40, 1, 1.0), (5, 900, 2, 1.0)):
        crow, col, val = matrix(rows, columns, density, generator)
        for n in widths:
            x = torch.randn(batch, columns, n, generator=generator)
            x[0, 0, 0], x[0, -1, -1] = -0.0, torch.inf
            numbers = (rows, columns, len(col), batch, n)
            inputs = [tensor.numpy() for tensor in (crow, col, val, x)]
            (found,) = cpu_and_gpu(gpu, launches, f"edgekit_csr_matmul_{kernel}", "csr_matmul", numbers, *inputs)
            expected = reference.csr_matmul(crow, col, val, x).numpy()
            y = np.frombuffer(found, np.float32).reshape(expected.shape)
            np.testing.assert_allclose(y, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("empty", ["rows", "entries", "batch", "n"])
def test_csr_matmul_of_nothing(gpu, empty):
    rows, columns, entries, batch, n = (0 if name == empty else 3 for name in ("rows", "c", "entries", "batch", "n"))
    crow = np.minimum(np.arange(rows + 1), entries)
    entries = int(crow[-1])
    inputs = (crow, np.zeros(entries, np.int64), np.ones(entries, np.float32), np.ones(batch * columns * n, np.float32))
    (found,) = gpu.operator("csr_matmul", (rows, columns, entries, batch, n), *inputs)
    y = np.frombuffer(found, np.float32)
    assert y.shape == (batch * rows * n,)
    assert (y == min(entries, 1)).all()


@few
@given(case=appends())
def test_kv_append_of_any_size(gpu, case):
    k, v, start, capacity, kept = case
    heads, rows, size = k.shape
    expected = empty_cache(heads, capacity, size, kept)
    numbers = (DTYPES[str(kept)[6:]], heads, capacity, size, DTYPES[str(k.dtype)[6:]], rows, start)
    found = gpu.operator("kv_append", numbers, *(tensor.numpy() for tensor in (k, v, *expected)))
    reference.kv_append(k, v, start, *expected)
    for data, tensor in zip(found, expected, strict=True):
        array = tensor.numpy()
        np.testing.assert_array_equal(np.frombuffer(data, array.dtype).reshape(array.shape), array)


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("kept", DTYPES)
def test_kv_append(gpu, launches, kind, kept):
    """Four numbers at a time and one; many rows a warp, and one; the bits of the CPU's."""
    generator = torch.Generator().manual_seed(0)
    for heads, rows, size in ((3, 5, 37), (12, 1, 64), (2, 9, 8), (1, 3, 1), (2, 2, 200)):
        k, v = (torch.randn(heads, rows, size, generator=generator).to(getattr(torch, kind)) for _ in range(2))
        k[0, 0] = 0
        k[-1, -1] *= 1e-6
        v[-1, 0, 0], v[0, -1, -1] = torch.inf, torch.nan
        cache = empty_cache(heads, rows + 4, size, getattr(torch, kept))
        inputs = [tensor.numpy() for tensor in (k, v, *cache)]
        numbers = (DTYPES[kept], heads, rows + 4, size, DTYPES[kind], rows, 3)
        cpu_and_gpu(gpu, launches, "edgekit_kv_append_rows", "kv_append", numbers, *inputs)
