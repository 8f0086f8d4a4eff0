"""sparse_topk_attention against its eager reference (a dense mask), on every instruction set of this CPU, and in an
ExecuTorch program."""

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch.nn import functional

import edgekit.kernels as kernels
from edgekit.kernels import native, ops, reference

from .conftest import AVAILABLE

DTYPES = (torch.float32, torch.float16, torch.int8)


def make_cache(k, v, capacity, dtype=torch.float32):
    """A cache with these tokens, NaN after them: what is not there must not be read."""
    heads, _, size = k.shape
    fill = 0 if dtype == torch.int8 else torch.nan
    caches = [torch.full((heads, capacity, size), fill, dtype=dtype) for _ in range(2)]
    scales = [torch.full((heads, capacity), torch.nan) for _ in range(2)] if dtype == torch.int8 else []
    reference.kv_append(k, v, 0, *caches, *scales)
    return caches, scales


def make_case(heads, rows, size, cells, start_pos, dtype=torch.float32, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    tokens = start_pos + rows
    k, v = normal(heads, tokens, size), normal(heads, tokens, size)
    means = (v.cumsum(1) / torch.arange(1, tokens + 1)[:, None])[:, start_pos:].contiguous()
    caches, scales = make_cache(k, v, tokens + 3, dtype)
    return {
        "q": normal(heads, rows, size) * size**-0.5,
        "k_cache": caches[0],
        "v_cache": caches[1],
        "scores": normal(heads, rows, cells) * spread,
        "gates": torch.rand(heads, rows, 2, generator=generator),
        "v_mean": means,
        "start_pos": start_pos,
        **dict(zip(("k_scale", "v_scale"), scales, strict=False)),
    }


def decided(scores, row, n):
    """Whether the row's n best cells are the same however log_softmax is rounded: no near tie lies across the cut."""
    heads, _, cells = scores.shape
    if n == heads * cells:
        return True
    logarithms = scores[:, row].double().log_softmax(-1).float().flatten()
    order = reference._ranked(logarithms)
    last, next_one = order[n - 1], order[n]
    a, b = logarithms[last].item(), logarithms[next_one].item()
    if a != a or b != b or a == b == -torch.inf:
        return True
    near = ((logarithms - a).abs() <= 4e-6 * (1 + abs(a))).nonzero().flatten()
    if a - b > 4e-6 * (1 + abs(a)):
        return True
    flat = scores[:, row].flatten()
    return bool(((near // cells == last // cells) & (flat[near] == flat[last])).all())


def check(case, k_budget, tolerance=2e-5):
    """The rows that are decided, on every instruction set; gives how many there were."""
    heads, rows, cells = case["scores"].shape
    expected = reference.sparse_topk_attention(**case, k_budget=k_budget)
    counts = [reference.cell_count(heads, cells, case["start_pos"] + row + 1, k_budget) for row in range(rows)]
    sure = [row for row in range(rows) if decided(case["scores"], row, counts[row])]
    for isa in AVAILABLE:
        kernels.use_isa(isa)
        out = ops.sparse_topk_attention(**case, k_budget=k_budget)
        torch.testing.assert_close(out[:, sure], expected[:, sure], atol=tolerance, rtol=tolerance, equal_nan=True)
    kernels.use_isa(None)
    return len(sure)


@settings(max_examples=200, deadline=None)
@given(
    heads=st.integers(1, 5),
    rows=st.integers(1, 9),
    size=st.integers(1, 80),
    cells=st.sampled_from((1, 2, 4, 8, 16, 32, 64, 256)),
    start_pos=st.integers(0, 700),
    k_budget=st.integers(1, 80),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**32),
    spread=st.sampled_from((1e-30, 0.0, 1.0, 5.0, 1e4, 1e37)),
    values=st.sampled_from(("normal", "whole", "special")),
)
@example(12, 1, 64, 256, 2047, 64, torch.float32, 1, 2.0, "normal")
@example(12, 1, 64, 256, 511, 64, torch.int8, 2, 2.0, "normal")
@example(3, 4, 128, 128, 300, 7, torch.float16, 3, 2.0, "normal")
def test_same_as_reference(heads, rows, size, cells, start_pos, k_budget, dtype, seed, spread, values):
    case = make_case(heads, rows, size, cells, start_pos, dtype, seed, spread)
    scores = case["scores"]
    if values == "whole":
        scores.copy_(scores.clamp(-1e6, 1e6).round())  # many ties
    if values == "special":
        generator = torch.Generator().manual_seed(seed)
        for value in (torch.inf, -torch.inf, torch.nan, -0.0, 3e38, -3e38, 1e-45):
            if torch.rand((), generator=generator) < 0.5:
                scores.view(-1)[torch.randint(scores.numel(), (), generator=generator)] = value
    assume(check(case, k_budget) > 0)


@pytest.mark.parametrize("special", [torch.nan, torch.inf, -torch.inf])
def test_a_head_without_log_probabilities_ranks_last(isa, special):
    case = make_case(3, 1, 8, 16, 63)
    case["scores"][0] = special
    case["scores"][1, 0, 3] = -torch.inf
    case["gates"].fill_(1)
    out = ops.sparse_topk_attention(**case, k_budget=20)  # 15 cells: they fit into the two other heads
    assert torch.equal(out[0], torch.zeros_like(out[0]))
    assert out.isfinite().all()
    assert check(case, 20) == 1


def test_ties_go_to_the_lower_head_and_cell(isa):
    heads, cells, tokens = 3, 8, 32
    case = make_case(heads, 1, 8, cells, tokens - 1)
    case["scores"].fill_(-1.5)
    case["gates"].fill_(1)
    out = ops.sparse_topk_attention(**case, k_budget=16)  # 12 of 24 cells: head 0, and half of head 1
    for head, seen in ((0, tokens), (1, tokens // 2), (2, 0)):
        if seen == 0:
            wanted = torch.zeros(1, 8)
        else:
            k, v = case["k_cache"][head, :seen], case["v_cache"][head, :seen]
            wanted = (case["q"][head] @ k.T).softmax(-1) @ v
        torch.testing.assert_close(out[head], wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_short_rows_are_dense_attention(isa, dtype):
    case = make_case(4, 32, 64, 32, 0, dtype)
    case["gates"].fill_(1)
    k, v = case["k_cache"][:, :32].float(), case["v_cache"][:, :32].float()
    if dtype == torch.int8:
        k, v = k * case["k_scale"][:, :32, None], v * case["v_scale"][:, :32, None]
    expected = functional.scaled_dot_product_attention(case["q"], k, v, is_causal=True, scale=1)
    out = ops.sparse_topk_attention(**case, k_budget=32)
    torch.testing.assert_close(out, expected, atol=2e-6, rtol=1e-5)


def test_gate_of_nothing_gives_the_mean(isa):
    case = make_case(3, 5, 20, 16, 90)
    case["gates"][..., 1] = 0
    assert torch.equal(ops.sparse_topk_attention(**case, k_budget=8), case["v_mean"])


def test_scores_beyond_float_in_one_block_and_not_in_the_next(isa):
    """Softmax over more than one block, the largest score in the last one."""
    case = make_case(1, 1, 8, 1, 299)
    case["gates"].fill_(1)
    case["q"].fill_(100)
    case["k_cache"][0, :300] = torch.linspace(-4, 4, 300)[:, None]
    assert check(case, 1) == 1
    out = ops.sparse_topk_attention(**case, k_budget=1)
    torch.testing.assert_close(out[0, 0], case["v_cache"][0, 299], atol=1e-5, rtol=1e-5)
    case["k_cache"][0, 5] = torch.nan
    assert ops.sparse_topk_attention(**case, k_budget=1).isnan().all()


@pytest.mark.parametrize("special", [torch.nan, torch.inf, -torch.inf])
def test_special_keys_as_softmax(isa, special):
    case = make_case(2, 1, 8, 4, 150)
    case["q"].fill_(1)
    case["k_cache"][0, 100] = special
    case["k_cache"][1, :70] = special
    check(case, 151)


def test_how_many_cells(isa):
    """n over positions: one head, cells of one token, so that each cell shows in the answer."""
    cells = 64
    for k_budget in (1, 3, 8, 64):
        case = make_case(1, 1, cells, cells, cells - 1)
        case["scores"].copy_(torch.randperm(cells, generator=torch.Generator().manual_seed(1)).float())
        case["gates"].fill_(1)
        case["q"].zero_()
        case["v_cache"][0, :cells] = torch.eye(cells)
        out = ops.sparse_topk_attention(**case, k_budget=k_budget)[0, 0]
        assert (out > 0).sum() == k_budget
        assert torch.equal(
            out.topk(k_budget).indices.sort().values, case["scores"][0, 0].topk(k_budget).indices.sort().values
        )
    table = {
        (12, 256, 64, 2048): 96,
        (12, 256, 64, 512): 384,
        (12, 256, 64, 8192): 24,
        (12, 256, 64, 64): 3072,
        (12, 256, 64, 63): 3072,
        (12, 256, 64, 65): 3025,
        (1, 2, 1, 4): 1,  # 0.5 goes to 0, and at least one is chosen
        (1, 6, 1, 4): 2,  # 1.5
        (1, 10, 1, 4): 2,  # 2.5
        (1, 4, 1, 2**20): 1,
    }
    for (heads, cells, k_budget, tokens), n in table.items():
        assert reference.cell_count(heads, cells, tokens, k_budget) == n


@pytest.mark.parametrize(("size", "tokens", "n"), [(1, 4, 1), (2, 4, 1), (6, 4, 2), (10, 4, 2), (14, 4, 4)])
def test_half_cells_go_to_even(isa, size, tokens, n):
    """Cells that tie: the first n are taken, which are n / K of the tokens."""
    cells = size
    case = make_case(1, 1, 4, cells, tokens - 1)
    case["scores"].zero_()
    case["gates"].fill_(1)
    seen = int(n * tokens / cells + 0.5)
    out = ops.sparse_topk_attention(**case, k_budget=1)
    k, v = case["k_cache"][0, :seen], case["v_cache"][0, :seen]
    wanted = (case["q"][0] @ k.T).softmax(-1) @ v if seen else torch.zeros(1, 4)
    torch.testing.assert_close(out[0], wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_chunks_are_steps(isa, dtype):
    """Prefill in one call, in chunks, and step by step: the same bits."""
    case = make_case(4, 60, 24, 32, 0, dtype, spread=2.0)
    whole = ops.sparse_topk_attention(**case, k_budget=6)
    for length in (1, 7):
        for start in range(0, 60, length):
            end = min(start + length, 60)
            part = {name: case[name][:, start:end].contiguous() for name in ("q", "scores", "gates", "v_mean")}
            out = ops.sparse_topk_attention(**{**case, **part, "start_pos": start}, k_budget=6)
            assert torch.equal(out, whole[:, start:end])


@pytest.mark.parametrize("rows", [1, 2, 50])
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_for_any_number_of_threads(isa, threads, rows, dtype):
    case = make_case(7, rows, 64, 64, 1500, dtype, spread=3.0)
    answers = []
    for count in (1, 2, 3):
        threads(count)
        answers += [ops.sparse_topk_attention(**case, k_budget=k_budget) for k_budget in (64, 4000)]
    for answer, wanted in zip(answers[2:], answers[:2] * 2, strict=True):
        assert torch.equal(answer, wanted)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start_pos": -1}, ("start_pos", "-1")),
        ({"start_pos": 11}, ("start_pos", "11", "13")),
        ({"k_budget": 0}, ("k_budget", "0")),
        ({"q": torch.zeros(2, 3, 7)}, ("q has shape", "(2, 3, 7)", "(2, 3, 8)")),
        ({"q": torch.zeros(2, 3, 8, dtype=torch.float16)}, ("q has dtype",)),
        ({"q": torch.zeros(2, 8, 3).transpose(1, 2)}, ("q is not contiguous",)),
        ({"q": torch.zeros(6, 8)}, ("q has shape", "(6, 8)")),
        ({"scores": torch.zeros(2, 2, 4)}, ("scores has shape", "(2, 2, 4)")),
        ({"scores": torch.zeros(2, 3, 0)}, ("scores", "0")),
        ({"gates": torch.zeros(2, 3, 3)}, ("gates has shape", "(2, 3, 3)")),
        ({"v_mean": torch.zeros(2, 3)}, ("v_mean has shape", "(2, 3)")),
        ({"v_cache": torch.zeros(2, 13, 8, dtype=torch.float16)}, ("v_cache has dtype",)),
        ({"k_cache": torch.zeros(2, 13)}, ("k_cache has shape", "(2, 13)")),
        ({"k_scale": torch.zeros(2, 13), "v_scale": torch.zeros(2, 13)}, ("k_scale", "int8")),
    ],
)
def test_bad_arguments(change, words):
    case = {**make_case(2, 3, 8, 4, 7), "k_budget": 4, **change}
    with pytest.raises(RuntimeError) as raised:
        ops.sparse_topk_attention(**case)
    sentence = str(raised.value)
    assert all(word in sentence for word in ("sparse_topk_attention", *words)), sentence


class Attention(torch.nn.Module):
    """Attention with its cache: what a layer of a language model does."""

    def __init__(self, dtype):
        super().__init__()
        self.scaled = dtype == torch.int8
        for name in ("k_cache", "v_cache"):
            self.register_buffer(name, torch.zeros(2, 128, 16, dtype=dtype))
        for name in ("k_scale", "v_scale") if self.scaled else ():
            self.register_buffer(name, torch.zeros(2, 128))

    def forward(self, q, k, v, scores, gates, v_mean, position):
        start_pos = position.item()
        scales = (self.k_scale, self.v_scale) if self.scaled else ()
        ops.kv_append(k, v, start_pos, self.k_cache, self.v_cache, *scales)
        return ops.sparse_topk_attention(q, self.k_cache, self.v_cache, scores, gates, v_mean, start_pos, 8, *scales)


@pytest.mark.parametrize("dtype", DTYPES)
def test_executorch_program(dtype):
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    def inputs(rows, position):
        shapes = ((2, rows, 16),) * 3 + ((2, rows, 32), (2, rows, 2), (2, rows, 16))
        return (*(torch.randn(shape) for shape in shapes), torch.tensor(position))

    runtime = Runtime.get()
    native.load_executorch_binding()
    rows = torch.export.Dim("rows", min=1, max=32)
    example = inputs(4, 0)
    exported = torch.export.export(Attention(dtype), example, dynamic_shapes=({1: rows},) * 6 + (None,))
    program = to_edge_transform_and_lower(exported).to_executorch()
    plan = program.executorch_program.execution_plan[0]
    names = {operator.name for operator in plan.operators}
    assert {"edgekit::kv_append", "edgekit::sparse_topk_attention"} <= names
    assert not any("copy" in name for name in names), names
    loaded = runtime.load_program(program.buffer)  # a method does not keep its program alive
    method = loaded.load_method("forward")
    expected = Attention(dtype)
    position = 0
    for length in (20, 1, 1, 32, 5, 1):
        arguments = inputs(length, position)
        (answer,) = method.execute(list(arguments))
        assert torch.equal(answer, expected(*arguments))
        position += length
