"""kv_append against its eager reference, on every instruction set of this CPU, and in an ExecuTorch program."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import edgekit.kernels as kernels
from edgekit.kernels import native, ops, reference

from .conftest import AVAILABLE

DTYPES = (torch.float32, torch.float16, torch.int8)
SPECIAL = (0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-45, 1e-41, -3e-39, 3e38, 65520.0, 6e-8, 127.0)


def empty_cache(heads, capacity, size, dtype):
    """Caches, and scales with int8, full of what must stay."""
    fill = 7 if dtype == torch.int8 else torch.nan
    caches = [torch.full((heads, capacity, size), fill, dtype=dtype) for _ in range(2)]
    scales = [torch.full((heads, capacity), torch.nan) for _ in range(2)]
    return caches + scales if dtype == torch.int8 else caches


def same(a, b):
    return torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(nan=1.0), b.nan_to_num(nan=1.0))


@st.composite
def appends(draw):
    heads, rows, size = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 70))
    capacity = draw(st.integers(rows, rows + 6))
    dtype = draw(st.sampled_from((torch.float32, torch.float16)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    magnitude = draw(st.sampled_from((1.0, 1e-42, 1e-38, 1e-6, 1e4, 1e38)))
    k, v = (torch.randn(heads, rows, size, generator=generator) * magnitude for _ in range(2))
    for value in draw(st.lists(st.sampled_from(SPECIAL), max_size=4)):
        k.view(-1)[draw(st.integers(0, k.numel() - 1))] = value
    if draw(st.booleans()):
        v[draw(st.integers(0, heads - 1)), draw(st.integers(0, rows - 1))] = 0
    return k.to(dtype), v.to(dtype), draw(st.integers(0, capacity - rows)), capacity, draw(st.sampled_from(DTYPES))


@settings(max_examples=150, deadline=None)
@given(case=appends())
def test_same_as_reference(case):
    k, v, start_pos, capacity, dtype = case
    heads, rows, size = k.shape
    expected = empty_cache(heads, capacity, size, dtype)
    reference.kv_append(k, v, start_pos, *expected)
    for isa in AVAILABLE:
        kernels.use_isa(isa)
        caches = empty_cache(heads, capacity, size, dtype)
        length = ops.kv_append(k, v, start_pos, *caches)
        assert length == start_pos + rows
        assert length.dtype == torch.int64
        for cache, wanted in zip(caches, expected, strict=True):
            assert same(cache, wanted), isa
    kernels.use_isa(None)


def test_int8_is_half_a_step_off_at_most(isa):
    k, v = torch.randn(3, 4, 64), torch.randn(3, 4, 64)
    k_cache, v_cache, k_scale, v_scale = empty_cache(3, 9, 64, torch.int8)
    ops.kv_append(k, v, 2, k_cache, v_cache, k_scale, v_scale)
    for rows, cache, scale in ((k, k_cache, k_scale), (v, v_cache, v_scale)):
        assert torch.equal(scale[:, 2:6], rows.abs().amax(-1) / 127)
        error = (cache[:, 2:6] * scale[:, 2:6, None] - rows).abs()
        assert (error <= scale[:, 2:6, None] * 0.50001).all()
        assert scale[:, :2].isnan().all()
        assert scale[:, 6:].isnan().all()


def test_halves_go_to_even(isa):
    rows = torch.tensor([127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, -127, 3.5]).view(1, 1, 9)
    k_cache, v_cache, k_scale, v_scale = empty_cache(1, 1, 9, torch.int8)
    ops.kv_append(rows, rows, 0, k_cache, v_cache, k_scale, v_scale)
    assert k_scale.item() == 1
    assert k_cache.flatten().tolist() == [127, 0, 2, 2, 0, -2, -2, -127, 4]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_many_rows_on_threads(isa, threads, count):
    k, v = torch.randn(5, 700, 24), torch.randn(5, 700, 24)
    expected, caches = empty_cache(5, 800, 24, torch.int8), empty_cache(5, 800, 24, torch.int8)
    reference.kv_append(k, v, 50, *expected)
    threads(count)
    ops.kv_append(k, v, 50, *caches)
    assert all(same(cache, wanted) for cache, wanted in zip(caches, expected, strict=True))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start_pos": -1}, ("start_pos", "-1")),
        ({"start_pos": 9}, ("start_pos", "9", "10")),
        ({"start_pos": 2**62}, ("start_pos", str(2**62))),
        ({"k": torch.zeros(2, 2, 7)}, ("k has shape", "(2, 2, 7)", "(2, 2, 8)")),
        ({"v": torch.zeros(2, 3, 8)}, ("v has shape", "(2, 3, 8)")),
        ({"k": torch.zeros(2, 8)}, ("k has shape", "(2, 8)")),
        ({"k": torch.zeros(2, 2, 8, dtype=torch.float64)}, ("k has dtype",)),
        ({"v": torch.zeros(2, 2, 8, dtype=torch.float16)}, ("v has dtype",)),
        ({"k": torch.zeros(2, 8, 2).transpose(1, 2)}, ("k is not contiguous",)),
        ({"k": torch.zeros(2, 0, 8), "v": torch.zeros(2, 0, 8)}, ("rows", "0")),
        ({"k_cache": torch.zeros(2, 10, 8, dtype=torch.int32)}, ("k_cache has dtype",)),
        ({"v_cache": torch.zeros(2, 11, 8)}, ("v_cache has shape", "(2, 11, 8)")),
        ({"k_scale": torch.zeros(2, 10)}, ("k_scale", "int8")),
        (
            {"k_cache": torch.zeros(2, 10, 8, dtype=torch.int8), "v_cache": torch.zeros(2, 10, 8, dtype=torch.int8)},
            ("k_scale", "missing"),
        ),
    ],
)
def test_bad_arguments(change, words):
    arguments = {
        "k": torch.zeros(2, 2, 8),
        "v": torch.zeros(2, 2, 8),
        "start_pos": 0,
        "k_cache": torch.zeros(2, 10, 8),
        "v_cache": torch.zeros(2, 10, 8),
        **change,
    }
    with pytest.raises(RuntimeError) as raised:
        ops.kv_append(**arguments)
    sentence = str(raised.value)
    assert all(word in sentence for word in ("kv_append", *words)), sentence
    if "k_cache" not in change:
        assert not arguments["k_cache"].any()


class Cache(torch.nn.Module):
    """Appends, and gives what a sum over the cache is."""

    def __init__(self, dtype):
        super().__init__()
        self.names = ["k_cache", "v_cache"] + (["k_scale", "v_scale"] if dtype == torch.int8 else [])
        for name in self.names:
            shape = (2, 64, 8) if name.endswith("cache") else (2, 64)
            self.register_buffer(name, torch.zeros(shape, dtype=dtype if name.endswith("cache") else torch.float32))

    def forward(self, k, v, position):
        ops.kv_append(k, v, position.item(), *(getattr(self, name) for name in self.names))
        answers = self.k_cache.float(), self.v_cache.float()
        return (*answers, self.k_scale + self.v_scale) if len(self.names) > 2 else answers


@pytest.mark.parametrize("dtype", DTYPES)
def test_executorch_program_keeps_the_cache(dtype):
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    runtime = Runtime.get()
    native.load_executorch_binding()
    example = (torch.zeros(2, 3, 8), torch.zeros(2, 3, 8), torch.tensor(1))
    exported = torch.export.export(Cache(dtype), example)
    program = to_edge_transform_and_lower(exported).to_executorch()
    plan = program.executorch_program.execution_plan[0]
    names = [operator.name for operator in plan.operators]
    assert "edgekit::kv_append" in names
    assert not any("copy" in name and "dim_order" not in name for name in names), names
    # State, and answers with room for one cache each at most: the state has no copy.
    state = 2 * (2 * 64 * 8 * dtype.itemsize + (2 * 64 * 4 if dtype == torch.int8 else 0))
    answers = 0 if dtype == torch.float32 else 2 * 2 * 64 * 8 * 4 + 2 * 64 * 4
    assert sum(plan.non_const_buffer_sizes) < state + answers + 2048

    loaded = runtime.load_program(program.buffer)  # a method does not keep its program alive
    method = loaded.load_method("forward")
    expected = Cache(dtype)
    for position in (0, 3, 20, 61):
        k, v = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
        answers = method.execute([k, v, torch.tensor(position)])
        for answer, wanted in zip(answers, expected(k, v, torch.tensor(position)), strict=True):
            assert torch.equal(answer, wanted)
    with pytest.raises(RuntimeError):
        method.execute([k, v, torch.tensor(62)])
