"""A layer's attention in chunks of rows, and one step: against the references, and how much memory it takes."""

import weakref
from contextlib import nullcontext

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from edgekit.kernels import ops, reference, sea_attention
from edgekit.kernels.attention import CPU_ROWS, rows_at_once
from edgekit.kernels.sea import SeaState, SeaWeights, random_weights

HEADS, SIZE, FEATURES, CELLS, CAPACITY, BUDGET = 3, 16, 5, 16, 200, 8
WEIGHTS = random_weights(HEADS, SIZE, FEATURES, CELLS, CAPACITY)


def make_rows(tokens, heads=HEADS, size=SIZE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(heads, tokens, size, generator=generator) for _ in range(3))
    return q * size**-0.5, k, v


def make_cache(dtype=torch.float32):
    cache = [torch.zeros(HEADS, CAPACITY, SIZE, dtype=dtype) for _ in range(2)]
    return cache + ([torch.zeros(HEADS, CAPACITY) for _ in range(2)] if dtype == torch.int8 else [])


def make_state():
    return SeaState.zeros(HEADS, SIZE, FEATURES, CELLS // 4)


def in_one(q, k, v, dtype=torch.float32):
    """The reference, all rows at once; and what it leaves in cache and state."""
    cache, state = make_cache(dtype), make_state()
    k_cache, v_cache, *scales = cache
    out = reference.sea_step(q, k, v, 0, WEIGHTS, *state, k_cache, v_cache, BUDGET, *scales)
    return out, cache, state


@pytest.mark.parametrize("rows", [None, 1, 7, 50, 150])
def test_whole_sequence_is_the_reference(rows):
    q, k, v = make_rows(150)
    found = sea_attention(q, k, v, WEIGHTS, BUDGET, rows=rows)
    torch.testing.assert_close(found, in_one(q, k, v)[0], atol=1e-5, rtol=1e-5)
    assert torch.equal(found, sea_attention(q, k, v, WEIGHTS, BUDGET, rows=150))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int8])
def test_parts_and_steps_are_the_whole(dtype):
    q, k, v = make_rows(150)
    expected, kept_cache, kept_state = in_one(q, k, v, dtype)
    cache, state, start, parts = make_cache(dtype), make_state(), 0, []
    for length in (40, 1, 1, 70, 1, 37):
        rows = (tensor[:, start : start + length] for tensor in (q, k, v))  # not contiguous
        parts.append(sea_attention(*rows, WEIGHTS, BUDGET, start, cache, state, rows=32))
        start += length
    torch.testing.assert_close(torch.cat(parts, 1), expected, atol=1e-5, rtol=1e-5)
    for tensor, wanted in zip((*cache, *state), (*kept_cache, *kept_state), strict=True):
        torch.testing.assert_close(tensor, wanted, atol=1e-5, rtol=1e-5)


def test_step_is_its_three_operators():
    q, k, v = make_rows(30)
    states, caches = ([make_state() for _ in range(2)], [make_cache() for _ in range(2)])
    for place in range(30):
        row = [tensor[:, place : place + 1].contiguous() for tensor in (q, k, v)]
        found = ops.sea_step(*row, place, WEIGHTS, states[0], caches[0], BUDGET)
        estimate = ops.sea_estimate(*row, place, WEIGHTS, states[1])
        ops.kv_append(*row[1:], place, *caches[1])
        assert torch.equal(found, ops.sparse_topk_attention(row[0], *caches[1], *estimate, place, BUDGET))
    for mine, other in zip((*states[0], *caches[0]), (*states[1], *caches[1]), strict=True):
        assert torch.equal(mine, other)
    out = torch.empty_like(found)
    given = torch.ops.edgekit.sea_step.out(*row, 29, list(WEIGHTS), *states[1], *caches[1], BUDGET, out=out)
    assert given.data_ptr() == out.data_ptr()


@pytest.mark.parametrize("tokens", [1, 20])
def test_fake_implementations(tokens):
    with FakeTensorMode(allow_non_fake_inputs=True):
        rows = [torch.empty(HEADS, tokens, SIZE) for _ in range(3)]
        out = sea_attention(*rows, WEIGHTS, BUDGET, 3, make_cache(), make_state())
    assert out.shape == (HEADS, tokens, SIZE)
    assert out.dtype == torch.float32


def test_operator_is_one_to_torch():
    row = [tensor.contiguous() for tensor in make_rows(1)]
    given = (*row, 4, list(WEIGHTS), *make_state(), *make_cache(), BUDGET)
    torch.library.opcheck(torch.ops.edgekit.sea_step.default, given)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": torch.zeros(HEADS, 5, SIZE)}, ("(3, 4, 16)", "(3, 5, 16)")),
        ({"q": torch.zeros(4, SIZE)}, ("(4, 16)",)),
        ({"start_pos": 3}, ("start_pos", "3", "cache")),
        ({"start_pos": 198, "cache": make_cache(), "state": make_state()}, ("start_pos", "198", "200")),
        ({"k_budget": 0}, ("k_budget", "0")),
    ],
)
def test_bad_arguments(change, words):
    given = dict(zip("qkv", make_rows(4), strict=True)) | {"weights": WEIGHTS, "k_budget": BUDGET} | change
    with pytest.raises(RuntimeError) as raised:
        sea_attention(**given)
    assert all(word in str(raised.value) for word in words), raised.value


def test_step_takes_one_row():
    with pytest.raises(RuntimeError, match=r"sea_step: q has shape \(3, 2, 16\), it must have \(3, 1, 16\)"):
        ops.sea_step(*make_rows(2), 0, WEIGHTS, make_state(), make_cache(), BUDGET)


class Memory(TorchDispatchMode):
    """Counts the bytes of the tensors that operators make and that are alive, and the most that were at once."""

    def __init__(self, *known):
        super().__init__()
        self.bytes = self.peak = 0
        self.sizes = {tensor.untyped_storage()._cdata: 0 for tensor in known}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.count(tensor.untyped_storage())
        return result

    def count(self, storage):
        place = storage._cdata
        if place not in self.sizes:
            self.sizes[place] = storage.nbytes()
            self.bytes += storage.nbytes()
            self.peak = max(self.peak, self.bytes)
            weakref.finalize(storage, self.freed, place)

    def freed(self, place):
        self.bytes -= self.sizes.pop(place)


def peak_of(tokens, device="cpu", heads=12, size=64, cells=256, real=False):
    """The most bytes beside inputs, output, weights, state and cache, without a cache and with one."""
    shapes = [tensor.shape for tensor in random_weights(heads, size, 33, cells, 1)]
    with nullcontext() if real or device == "meta" else FakeTensorMode():
        weights = SeaWeights(*(torch.zeros(shape, device=device) for shape in shapes))
        weights = weights._replace(
            positions=torch.zeros(tokens, size, device=device),
            map_start=torch.zeros(cells, dtype=torch.int64, device=device),
        )
        found = []
        for cached in (False, True):
            q, k, v = (torch.randn(heads, tokens, size, device=device) for _ in range(3))
            cache = [torch.zeros(heads, tokens, size, device=device) for _ in range(2)] if cached else None
            state = SeaState.zeros(heads, size, 33, cells // 4, torch.device(device))
            with Memory(q, k, v, *weights, *state, *(cache or ())) as memory:
                out = sea_attention(q, k, v, weights, 64, 0, cache, state)
            found.append(memory.peak - out.nbytes)
    return max(found)


def test_memory_does_not_grow_with_rows():
    scores = 12 * 256 * 4  # bytes a row
    peaks = [peak_of(tokens, heads=3, size=16, cells=64, real=True) for tokens in (512, 2048)]
    assert 0 < peaks[0] == peaks[1] < 1 << 20
    # The same counted without computing, which the next tests go by.
    assert peaks[0] == peak_of(2048, heads=3, size=16, cells=64)
    assert peak_of(32768) == peak_of(4096) < 2 * CPU_ROWS * scores * 2


@pytest.mark.parametrize(("heads", "size"), [(12, 64), (16, 64), (32, 128)])
def test_memory_at_32768_rows_on_a_gpu(heads, size):
    """12 x 64 is OPT-125M's layer, 32 x 128 one of 7 billion weights: what is left of 64 MB is for the kernels."""
    peak = peak_of(32768, "meta", heads, size)  # which is treated as a GPU
    rows = rows_at_once(heads, size, 256, torch.device("cuda"))
    assert rows == rows_at_once(heads, size, 256, torch.device("meta"))
    assert rows * heads * 256 * 4 < peak < 36e6
    assert rows >= 2 * CPU_ROWS
