"""The operators on CUDA tensors, against their references on the CPU: on a GPU, and on one that is emulated, with a
stand-in for the CUDA half of torch (native/cuda/fake_torch_cuda.cpp)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edgekit.kernels import native, ops, reference, sea_attention
from edgekit.kernels.sea import SeaState, SeaWeights, random_weights

from .test_sparse_topk_attention import make_case

DTYPES = (torch.float32, torch.float16, torch.int8)
gpu = pytest.mark.gpu


def on_gpu(value):
    """Tensors on the GPU, in whatever holds them."""
    if isinstance(value, torch.Tensor):
        return value.to("cuda")
    if isinstance(value, (SeaWeights, SeaState)):
        return type(value)(*map(on_gpu, value))
    if isinstance(value, dict):
        return {name: on_gpu(each) for name, each in value.items()}
    return [on_gpu(each) for each in value] if isinstance(value, (list, tuple)) else value


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def kernels_only():
    """Fails where a reference takes the place of a kernel."""

    def refused(*arguments):
        raise AssertionError("the reference was called")

    with torch.library._scoped_library(ops.REFERENCE, "IMPL") as library:
        for name in ("sparse_topk", "kv_append", "sparse_topk_attention", "sea_estimate", "sea_step", "csr_matmul"):
            library.impl(name, refused, "CUDA")
        yield


@gpu
@pytest.mark.parametrize("sorted_", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("rows", "n", "k"), [(5, 256, 32), (3, 3072, 96), (7, 100, 100), (1, 1, 1)])
def test_sparse_topk(rows, n, k, dtype, sorted_):
    x = normal(rows, n).round(decimals=1).to(dtype)  # with ties
    x[0, n // 2] = torch.nan
    values, indices = ops.sparse_topk(x.to("cuda"), k, sorted_)
    wanted, places = reference.sparse_topk(x, k, sorted_)
    torch.testing.assert_close(values.cpu(), wanted, atol=0, rtol=0, equal_nan=True)
    assert torch.equal(indices.cpu(), places)
    assert values.device.type == indices.device.type == "cuda"
    out = (torch.empty_like(values), torch.empty_like(indices))
    torch.ops.edgekit.sparse_topk.out(x.to("cuda"), k, sorted_, values=out[0], indices=out[1])
    assert torch.equal(out[1].cpu(), places)


@gpu
@pytest.mark.parametrize("given", [torch.float32, torch.float16])
@pytest.mark.parametrize("kept", DTYPES)
def test_kv_append(given, kept):
    k, v = (normal(3, 5, 37, seed=seed).to(given) for seed in (1, 2))
    cache = [torch.zeros(3, 20, 37, dtype=kept) for _ in range(2)]
    cache += [torch.zeros(3, 20) for _ in range(2)] if kept == torch.int8 else []
    there = on_gpu(cache)
    length = ops.kv_append(*on_gpu([k, v]), 7, *there)
    assert (length.device.type, length.item()) == ("cuda", reference.kv_append(k, v, 7, *cache).item())
    for found, wanted in zip(there, cache, strict=True):
        assert torch.equal(found.cpu(), wanted)


@gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "start_pos"), [(1, 600), (9, 0), (9, 300)])
def test_sparse_topk_attention(rows, start_pos, dtype):
    case = make_case(4, rows, 64, 32, start_pos, dtype, seed=3, spread=2.0)
    found = ops.sparse_topk_attention(**on_gpu(case), k_budget=16)
    torch.testing.assert_close(found.cpu(), reference.sparse_topk_attention(**case, k_budget=16), atol=2e-5, rtol=2e-5)


SEA = random_weights(4, 64, 33, 64, 600)


def make_state():
    return SeaState.zeros(4, 64, 33, 16)


def sea_rows(tokens):
    q, k, v = (normal(4, tokens, 64, seed=seed) for seed in (1, 2, 3))
    return q / 8, k, v


@gpu
def test_sea_estimate():
    rows, state, there = sea_rows(70), make_state(), on_gpu(make_state())
    for first, end in ((0, 50), (50, 51), (51, 70)):
        part = [tensor[:, first:end].contiguous() for tensor in rows]
        found = ops.sea_estimate(*on_gpu(part), first, on_gpu(SEA), there)
        for tensor, wanted in zip(found, reference.sea_estimate(*part, first, SEA, *state), strict=True):
            torch.testing.assert_close(tensor.cpu(), wanted, atol=1e-4, rtol=1e-4)
    for tensor, wanted in zip(there, state, strict=True):
        torch.testing.assert_close(tensor.cpu(), wanted, atol=1e-3, rtol=1e-4)


@gpu
@pytest.mark.parametrize("dtype", DTYPES)
def test_sea_step(dtype):
    rows, state, there = sea_rows(40), make_state(), on_gpu(make_state())
    cache = [torch.zeros(4, 64, 64, dtype=dtype) for _ in range(2)]
    cache += [torch.zeros(4, 64) for _ in range(2)] if dtype == torch.int8 else []
    cache_there = on_gpu(cache)
    k_cache, v_cache, *scales = cache
    for place in range(40):
        row = [tensor[:, place : place + 1].contiguous() for tensor in rows]
        found = ops.sea_step(*on_gpu(row), place, on_gpu(SEA), there, cache_there, 8)
        wanted = reference.sea_step(*row, place, SEA, *state, k_cache, v_cache, 8, *scales)
        torch.testing.assert_close(found.cpu(), wanted, atol=1e-4, rtol=1e-4)


@gpu
def test_sea_attention():
    rows = sea_rows(300)
    found = sea_attention(*on_gpu(rows), on_gpu(SEA), 16, rows=128)
    cache = [torch.zeros(4, 300, 64) for _ in range(2)]
    wanted = reference.sea_step(*rows, 0, SEA, *make_state(), *cache, 16)
    # A near tie may choose another cell.
    wrong = ((found.cpu() - wanted).abs() > 1e-4 * (1 + wanted.abs())).any(-1).any(0)
    assert wrong.sum() <= 3


@gpu
def test_csr_matmul():
    dense = normal(30, 40) * (normal(30, 40, seed=1) > 0.5)
    matrix, x = dense.to_sparse_csr(), normal(2, 40, 17, seed=2)
    parts = (matrix.crow_indices(), matrix.col_indices(), matrix.values())
    found = ops.csr_matmul(*on_gpu(parts), x.to("cuda"))
    torch.testing.assert_close(found.cpu(), dense @ x, atol=1e-5, rtol=1e-5)


@gpu
def test_gradients():
    case = make_case(3, 20, 16, 16, 0, seed=1)
    del case["start_pos"]
    gradients = []
    for tensors, attend in ((on_gpu(case), ops.sparse_topk_attention), (case, reference.sparse_topk_attention)):
        inputs = {name: tensor[:, :20].contiguous() for name, tensor in tensors.items()}
        for name in ("q", "k_cache", "v_cache", "gates", "v_mean"):
            inputs[name].requires_grad_()
        out = attend(**inputs, start_pos=0, k_budget=4)
        out.pow(2).sum().backward()
        gradients.append([tensor.grad.cpu() for name, tensor in inputs.items() if name != "scores"])
    for found, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@gpu
def test_what_kernels_do_not_take_is_computed_by_the_reference(request):
    request.addfinalizer(lambda: native.operators().edgekit_use_gpu(0))
    native.operators().edgekit_use_gpu(2)  # never
    case = {**make_case(3, 5, 8, 16, 20), "k_budget": 4}
    wanted = torch.full_like(case["q"], 7)
    with torch.library._scoped_library(ops.REFERENCE, "IMPL") as library:
        library.impl("sparse_topk_attention", lambda q, *others: torch.full_like(q, 7), "CUDA", allow_override=True)
        found = ops.sparse_topk_attention(**on_gpu(case))
    assert (found.device.type, torch.equal(found.cpu(), wanted)) == ("cuda", True)


@gpu
def test_streams():
    """Work is put on torch's current stream: it comes after what that stream does, and other streams wait for it."""
    x, stream = torch.zeros(64, 4096, device="cuda"), torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(50):
            x += 1
        x[:, 17] = 1000
        values, indices = ops.sparse_topk(x, 1)
    torch.cuda.current_stream().wait_stream(stream)
    assert (indices == 17).all()
    assert (values == 1000).all()


@gpu
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"q": torch.zeros(2, 8, 3).transpose(1, 2)}, ("q is not contiguous",)),
        ({"k_cache": torch.zeros(2, 8, 13).transpose(1, 2)}, ("k_cache is not contiguous",)),
        ({"q": torch.zeros(2, 3, 7)}, ("q has shape", "(2, 3, 7)")),
        ({"q": torch.zeros(2, 3, 8, dtype=torch.float16)}, ("q has dtype",)),
        ({"start_pos": 11}, ("start_pos", "11", "13")),
        ({"k_budget": 0}, ("k_budget", "0")),
        ({"k_scale": torch.zeros(2, 13), "v_scale": torch.zeros(2, 13)}, ("k_scale", "int8")),
    ],
)
def test_bad_arguments(change, words):
    case = {**make_case(2, 3, 8, 4, 7), "k_budget": 4, **change}
    with pytest.raises(RuntimeError) as raised:
        ops.sparse_topk_attention(**on_gpu(case))
    assert all(word in str(raised.value) for word in ("sparse_topk_attention", *words)), raised.value


@gpu
@pytest.mark.parametrize("there", ["q", "scores", "v_cache"])
def test_other_devices(there):
    """Everything on the GPU but one; one on the GPU and nothing else."""
    case = {**make_case(2, 3, 8, 4, 7), "k_budget": 4}
    for given in ({**on_gpu(case), there: case[there]}, {**case, there: case[there].to("cuda")}):
        with pytest.raises(
            RuntimeError, match=r"is on (the CPU|cuda:0), q on (the CPU|cuda:0): move them to one device"
        ):
            ops.sparse_topk_attention(**given)


@gpu
def test_a_model_trains_on_it(tmp_path):
    """The same losses, step by step, as on the CPU by masks; and the same perplexity."""
    from edgekit.models.sea_opt.config import OPTConfig, SEAConfig
    from edgekit.models.sea_opt.opt import OPT
    from edgekit.models.sea_opt.training import Streams, TrainingOptions, distil

    tokens = torch.randint(12, (2000,), generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    teacher = OPT(OPTConfig(12, 32, 32, 2, 2, 48, 32)).eval().requires_grad_(False)
    sea = SEAConfig(cells=16, k_budget=4, features=4, positions=48)
    reports = {}
    for device in ("cpu", "cuda"):
        options = TrainingOptions(epochs=2, steps=2, batch=2, dropout=0.0)
        reports[device] = []
        streams = Streams("numbers", tokens[:1800], tokens[1800:])
        distil(teacher, sea, streams, options, tmp_path / device, device, on_epoch=reports[device].append)
    for found, wanted in zip(reports["cuda"], reports["cpu"], strict=True):
        assert found.loss == pytest.approx(wanted.loss, rel=1e-3)
        assert found.perplexity == pytest.approx(wanted.perplexity, rel=1e-3)


def emulated(built):
    """The environment in which libcuda.so.1 is an emulated GPU's; operators on CPU tensors stay on the CPU."""
    own = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    return own | dict(built("emulated_gpu").environment) | {"EDGEKIT_GPU": ""}


#: Prints the scratch in bytes that a chunk's launches ask for; nothing is computed, as nobody waits for it.
SCRATCH = """
import ctypes, os, sys
from ctypes import Structure, byref, c_int, c_int64, c_size_t, c_void_p
from edgekit.kernels import native

heads, size, rows, tokens = map(int, sys.argv[1:])
asked = 0

@ctypes.CFUNCTYPE(c_void_p, c_void_p, c_size_t)
def allocate(owner, count):
    global asked
    asked += count
    return 1 << 30

class Stream(Structure):
    _fields_ = [("device", c_int), ("stream", c_void_p), ("allocate", c_void_p), ("owner", c_void_p)]

class Weights(Structure):
    _fields_ = [("sizes", c_int64 * 7), ("tensors", c_void_p * 22)]

class Cache(Structure):
    _fields_ = [("dtype", c_int), ("sizes", c_int64 * 3), ("tensors", c_void_p * 4)]

library, somewhere = native.operators(), c_void_p(1 << 30)
driver, made = ctypes.CDLL("libcuda.so.1"), c_void_p()
assert driver.cuInit(0) == driver.cuStreamCreate(byref(made), 1) == 0
stream = Stream(0, made, ctypes.cast(allocate, c_void_p), None)
weights = Weights((heads, size, 33, 64, 256, 3, tokens), (1 << 30,) * 22)
cache = Cache(0, (heads, tokens, size), (1 << 30, 1 << 30, None, None))
start = c_int64(tokens - rows)
given = [byref(stream), byref(weights), byref((c_void_p * 5)(*[1 << 30] * 5)), *[somewhere] * 3, c_int64(rows), start]
assert library.edgekit_launch_sea_estimate(*given, *[somewhere] * 3) == 0, library.edgekit_last_error()
estimate, asked = asked, 0
given = [byref(stream), byref(cache), *[somewhere] * 4, c_int64(rows), c_int64(256), start, c_int64(64), somewhere]
assert library.edgekit_launch_sparse_topk_attention(*given) == 0, library.edgekit_last_error()
print(max(estimate, asked), flush=True)
os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("heads", "size"), [(12, 64), (16, 64), (32, 128)])
def test_a_chunk_and_its_kernels_take_less_than_64_mb(built, heads, size):
    """At T = 32768, beside inputs, output, weights, state and cache."""
    from .test_sea_attention import peak_of, rows_at_once

    rows = rows_at_once(heads, size, 256, torch.device("cuda"))
    command = [sys.executable, "-c", SCRATCH, *map(str, (heads, size, rows, 32768))]
    result = subprocess.run(command, env=emulated(built), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert 0 < int(result.stdout) + peak_of(32768, "meta", heads, size) < 64e6


RUN = """
import ctypes, sys
ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
import pytest, torch
torch.cuda._lazy_init = lambda: None
torch.cuda.is_available = lambda: True
sys.exit(pytest.main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_on_an_emulated_gpu(built, tmp_path):
    """All of the above but streams, of which the emulated GPU has one."""
    if torch.version.cuda is not None:
        pytest.skip("torch has CUDA of its own here")
    native = Path(__file__).parent / "native" / "cuda"
    folder, library = Path(torch.__file__).parent, tmp_path / "libfake_torch_cuda.so"
    command = ["g++", "-std=c++20", "-O1", "-shared", "-fPIC", "-w", f"-I{folder / 'include'}", f"-L{folder / 'lib'}"]
    command += [f"-Wl,-rpath,{folder / 'lib'}", str(native / "fake_torch_cuda.cpp"), "-o", str(library)]
    subprocess.run([*command, "-ltorch_cpu", "-lc10", "-ldl"], check=True)
    environment = emulated(built) | {"OMP_NUM_THREADS": "1"}
    tests = [__file__, "-q", "-m", "gpu", "-k", "not streams", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [sys.executable, "-c", RUN, str(library), *tests],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert " passed" in result.stdout
    assert " skipped" not in result.stdout
