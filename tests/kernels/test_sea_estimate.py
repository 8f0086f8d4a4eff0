"""sea_estimate against the estimator's full forward, written from the specification, on every instruction set; in
blocks and steps; and in an ExecuTorch program."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import edgekit.kernels as kernels
from edgekit.kernels import native, ops, reference
from edgekit.kernels.sea import SeaState, SeaWeights, banded_map, random_weights

from .conftest import AVAILABLE


def make_inputs(heads, rows, size, seed=0):
    generator = torch.Generator().manual_seed(seed + 1)
    q, k, v = (torch.randn(heads, rows, size, generator=generator) for _ in range(3))
    return q * size**-0.5, k, v


def empty_state(weights):
    """A state that must not be read: NaN."""
    features, size = weights.projection.shape
    state = SeaState.zeros(weights.mix_bias.shape[0], size, features, weights.row_norm_bias.shape[0])
    for tensor in state:
        tensor.fill_(torch.nan)
    return state


def full_forward(q, k, v, w):
    """All rows of a sequence at once in float64, as the model computes them: no state, no folded weights."""
    q, k, v = q.double(), k.double(), v.double()
    w = SeaWeights(*(tensor if name == "map_start" else tensor.double() for name, tensor in w._asdict().items()))
    heads, rows, size = q.shape
    causal = torch.ones(rows, rows, dtype=torch.bool).tril()
    phi_q, phi_k = (torch.einsum("htd,md->htm", x, w.projection).clamp(min=0) + 0.001 for x in (q, k))
    attention = (phi_q @ phi_k.transpose(1, 2)).masked_fill(~causal, 0)
    values = torch.cat((w.positions[:rows].expand(heads, rows, size), v), dim=2)
    below = attention.sum(-1, keepdim=True) + 1e-6 * phi_q.sum(-1, keepdim=True)
    context = torch.cat((attention @ values / below, v), dim=2)
    x = context @ w.encoder_weight.T + w.encoder_bias
    x = functional.gelu(functional.layer_norm(x, x.shape[-1:], w.encoder_norm_weight, w.encoder_norm_bias))
    gates = torch.sigmoid(x @ w.gates_weight.T + w.gates_bias)
    both = x @ w.decoder_weight.T + w.decoder_bias
    width, cells = both.shape[-1] // 2, w.score_norm_weight.shape[0]
    image = torch.stack((both[..., :width], both[..., width:]), dim=1).reshape(1, 2 * heads, rows, width)
    image = functional.layer_norm(image, (width,), w.row_norm_weight, w.row_norm_bias)
    for weight, bias in ((w.conv1_weight, w.conv1_bias), (w.conv2_weight, w.conv2_bias)):
        # The kernel has five times, of which the two in the future are masked.
        masked = functional.pad(weight, (0, 0, 0, 2))
        image = functional.conv2d(image, masked, bias, padding=(4, 2), dilation=2).relu()
    image = image.repeat_interleave(cells // width, dim=3)
    image = functional.conv2d(image, w.mix_weight[..., None, None], w.mix_bias, padding=(0, 1))
    image = functional.interpolate(image, size=(rows, cells), mode="area")
    scores = functional.layer_norm(image[0], (cells,), w.score_norm_weight, w.score_norm_bias)
    means = torch.stack([v[:, : row + 1].mean(1) for row in range(rows)], dim=1)
    return scores.float(), gates.float(), means.float()


def estimate(q, k, v, weights, state, blocks, start_pos=0):
    """The rows in blocks of these sizes."""
    answers, start = [], 0
    for count in blocks:
        part = [x[:, start : start + count].contiguous() for x in (q, k, v)]
        answers.append(ops.sea_estimate(*part, start_pos + start, weights, state))
        start += count
    return [torch.cat(parts, dim=1) for parts in zip(*answers, strict=True)]


def assert_near(found, expected):
    for answer, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(answer, wanted, atol=1e-4, rtol=1e-4)


def same_bits(found, expected):
    return all(torch.equal(a.view(torch.int32), b.view(torch.int32)) for a, b in zip(found, expected, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    heads=st.integers(1, 12),
    size=st.sampled_from((16, 32, 64, 8, 5, 23)),
    features=st.sampled_from((33, 1, 8, 13)),
    width=st.sampled_from((16, 8, 7, 13, 24)),
    factor=st.sampled_from((4, 5, 8)),
    blocks=st.lists(st.sampled_from((1, 2, 3, 4, 5, 7, 16, 20)), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
)
@example(12, 64, 33, 64, 4, [16, 3, 1, 1, 1], 0)
@example(5, 32, 33, 16, 4, [37, 1, 5], 1)
def test_same_as_full_forward(heads, size, features, width, factor, blocks, seed):
    rows = sum(blocks)
    weights = random_weights(heads, size, features, factor * width, rows + 1, seed, width)
    q, k, v = make_inputs(heads, rows, size, seed)
    expected = full_forward(q, k, v, weights)
    for isa in AVAILABLE:
        kernels.use_isa(isa)
        assert_near(estimate(q, k, v, weights, empty_state(weights), blocks), expected)
    kernels.use_isa(None)


# Not with random seeds: the norm of a few numbers enlarges rounding errors when they happen to be nearly equal.
@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_narrow(isa, width):
    weights = random_weights(3, 16, 9, 4 * width, 20, 0, width)
    inputs = make_inputs(3, 20, 16)
    assert_near(estimate(*inputs, weights, empty_state(weights), [9, 1, 10]), full_forward(*inputs, weights))


@pytest.mark.parametrize(("heads", "size", "features", "cells"), [(12, 64, 33, 256), (3, 20, 7, 28)])
def test_same_as_reference(isa, heads, size, features, cells):
    """Outputs and state, a block in the middle of a sequence."""
    weights = random_weights(heads, size, features, cells, 40)
    q, k, v = make_inputs(heads, 20, size)
    states = [empty_state(weights) for _ in range(2)]
    for blocks in ([slice(0, 3)], [slice(3, 5), slice(5, 20)]):
        for rows in blocks:
            part = [x[:, rows].contiguous() for x in (q, k, v)]
            expected = reference.sea_estimate(*part, rows.start, list(weights), *states[0])
            assert_near(ops.sea_estimate(*part, rows.start, weights, states[1]), expected)
            assert_near(states[1], states[0])


@pytest.mark.parametrize(("heads", "size", "cells", "count"), [(12, 64, 256, 70), (5, 24, 36, 131), (1, 10, 12, 9)])
def test_blocks_and_steps_have_the_same_bits(isa, threads, heads, size, cells, count):
    weights = random_weights(heads, size, 33, cells, count)
    q, k, v = make_inputs(heads, count, size)
    threads(1)
    whole = empty_state(weights)
    expected = estimate(q, k, v, weights, whole, [count])
    for blocks, workers in (
        ([1] * count, 1),
        ([1] * count, 3),
        ([count], 2),
        ([2, 3, 1, count - 6], 5),
        ([count - 3, 1, 2], 4),
    ):
        threads(workers)
        state = empty_state(weights)
        assert same_bits(estimate(q, k, v, weights, state, blocks), expected), (blocks, workers)
        assert same_bits(state, whole), (blocks, workers)


def test_start_pos_0_begins_a_new_sequence(isa):
    weights = random_weights(4, 16, 9, 32, 30)
    state = empty_state(weights)
    first = estimate(*make_inputs(4, 8, 16, 1), weights, state, [5, 3])
    estimate(*make_inputs(4, 9, 16, 2), weights, state, [9])
    assert same_bits(estimate(*make_inputs(4, 8, 16, 1), weights, state, [1, 7]), first)


def test_later_tokens_change_nothing(isa):
    weights = random_weights(4, 16, 9, 64, 30)
    inputs = make_inputs(4, 30, 16)
    before = estimate(*inputs, weights, empty_state(weights), [30])
    for value in (3e5, torch.inf, torch.nan):
        changed = [x.clone() for x in inputs]
        for x in changed:
            x[:, 11, 3] = value
        after = estimate(*changed, weights, empty_state(weights), [30])
        assert same_bits([x[:, :11].contiguous() for x in after], [x[:, :11].contiguous() for x in before])
        assert not torch.equal(after[0][:, 11:], before[0][:, 11:])
        assert not after[2][:, 11:].equal(before[2][:, 11:])


@pytest.mark.parametrize(("width", "cells"), [(64, 256), (16, 64), (1, 4), (2, 8), (7, 28), (3, 15), (1, 5)])
def test_banded_map(width, cells):
    weight, start = banded_map(width, cells)
    assert weight.shape[1] <= min(3, width)
    assert start.min() >= 0
    assert start.max() <= width - weight.shape[1]
    places = torch.randn(width, dtype=torch.float64)
    padded = functional.pad(places.repeat_interleave(cells // width), (1, 1))[None]
    expected = functional.interpolate(padded[None], size=cells, mode="area")[0, 0]
    taken = places[start[:, None] + torch.arange(weight.shape[1])]
    torch.testing.assert_close((taken * weight).sum(1), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_map(isa, count):
    """Weights and places of one's own, and another number of cells than four times the width."""
    weights = random_weights(3, 8, 4, 32, 10)
    generator = torch.Generator().manual_seed(0)
    weights = weights._replace(
        map_weight=torch.randn(37, count, generator=generator),
        map_start=torch.randint(8 - count + 1, (37,), generator=generator),
        score_norm_weight=torch.randn(37, generator=generator),
        score_norm_bias=torch.randn(37, generator=generator),
    )
    q, k, v = make_inputs(3, 10, 8)
    expected = reference.sea_estimate(q, k, v, 0, list(weights), *empty_state(weights))
    assert_near(ops.sea_estimate(q, k, v, 0, weights, empty_state(weights)), expected)


def test_torch_knows_the_operator():
    weights = random_weights(2, 8, 5, 16, 12)
    state = SeaState.zeros(2, 8, 5, 4)
    arguments = (*make_inputs(2, 3, 8), 2, list(weights), *state)
    torch.library.opcheck(torch.ops.edgekit.sea_estimate.default, arguments)
    outputs = {name: torch.empty(2, 3, size) for name, size in (("scores", 16), ("gates", 2), ("v_mean", 8))}
    states = [SeaState(*(tensor.clone() for tensor in state)) for _ in range(2)]
    into = torch.ops.edgekit.sea_estimate.out(*arguments[:5], *states[0], **outputs)
    expected = ops.sea_estimate(*arguments[:4], weights, states[1])
    assert same_bits(into, expected)
    assert same_bits(outputs.values(), expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start_pos": -1}, ("start_pos", "-1")),
        ({"start_pos": 10}, ("start_pos", "10", "12")),
        ({"start_pos": 2**62}, ("start_pos", str(2**62))),
        ({"q": torch.zeros(2, 8)}, ("q has shape", "(2, 8)")),
        ({"q": torch.zeros(2, 8, 3).transpose(1, 2)}, ("q is not contiguous",)),
        ({"q": torch.zeros(2, 3, 8, dtype=torch.float16)}, ("q has dtype",)),
        ({"k": torch.zeros(2, 2, 8)}, ("k has shape", "(2, 2, 8)", "(2, 3, 8)")),
        ({"v": torch.zeros(2, 3, 7)}, ("v has shape", "(2, 3, 7)")),
        ({name: torch.zeros(2, 0, 8) for name in "qkv"}, ("rows", "0")),
        ({"projection": torch.zeros(5, 7)}, ("projection has shape", "(5, 7)", "(5, 8)")),
        ({"projection": torch.zeros(5)}, ("projection has shape", "(5)")),
        ({"positions": torch.zeros(2, 8)}, ("positions", "2", "3")),
        ({"encoder_weight": torch.zeros(24, 16)}, ("encoder_weight has shape", "(24, 16)", "(16, 24)")),
        ({"conv1_weight": torch.zeros(4, 4, 5, 3)}, ("conv1_weight has shape", "(4, 4, 3, 3)")),
        ({"conv2_bias": torch.zeros(4, dtype=torch.float64)}, ("conv2_bias has dtype",)),
        ({"map_start": torch.zeros(16)}, ("map_start has dtype",)),
        ({"map_start": torch.full((16,), 3)}, ("map_start[0] is 3", "0 to 2")),
        ({"map_start": torch.full((16,), -1)}, ("map_start[0] is -1", "0 to 2")),
        ({"map_weight": torch.zeros(16, 4)}, ("map_weight", "4", "1 to 3")),
        ({"keys": torch.zeros(2, 6)}, ("keys has shape", "(2, 6)", "(2, 5)")),
        ({"conv2_rows": torch.zeros(3, 4, 4)}, ("conv2_rows has shape", "(3, 4, 4)", "(4, 4, 4)")),
    ],
)
def test_bad_arguments(change, words):
    weights, state = random_weights(2, 8, 5, 16, 12), SeaState.zeros(2, 8, 5, 4)
    arguments = {"q": torch.zeros(2, 3, 8), "k": torch.ones(2, 3, 8), "v": torch.ones(2, 3, 8), "start_pos": 1}
    arguments.update((name, value) for name, value in change.items() if name in arguments)
    weights = weights._replace(**{name: value for name, value in change.items() if name in weights._fields})
    state = state._replace(**{name: value for name, value in change.items() if name in state._fields})
    with pytest.raises(RuntimeError) as raised:
        ops.sea_estimate(**arguments, weights=weights, state=state)
    sentence = str(raised.value)
    assert all(word in sentence for word in ("sea_estimate", *words)), sentence
    assert not any(tensor.any() for tensor in state)


def test_weights_that_are_missing():
    with pytest.raises(RuntimeError, match="sea_estimate: weights has 21 tensors: give 22"):
        ops.sea_estimate(*make_inputs(2, 3, 8), 0, random_weights(2, 8, 5, 16, 12)[:-1], SeaState.zeros(2, 8, 5, 4))


class Attention(nn.Module):
    """A layer's attention with its state: append, estimate, attend."""

    def __init__(self):
        super().__init__()
        self.weights = random_weights(3, 16, 9, 32, 128)
        for name, tensor in self.weights._asdict().items():
            self.register_buffer(name, tensor, persistent=False)
        self.state = SeaState.zeros(3, 16, 9, 8)
        for name, tensor in self.state._asdict().items():
            self.register_buffer(name, tensor)
        for name in ("k_cache", "v_cache"):
            self.register_buffer(name, torch.zeros(3, 128, 16))

    def forward(self, q, k, v, position):
        start_pos = position.item()
        weights = SeaWeights(*(getattr(self, name) for name in SeaWeights._fields))
        state = SeaState(*(getattr(self, name) for name in SeaState._fields))
        ops.kv_append(k, v, start_pos, self.k_cache, self.v_cache)
        scores, gates, v_mean = ops.sea_estimate(q, k, v, start_pos, weights, state)
        return ops.sparse_topk_attention(q, self.k_cache, self.v_cache, scores, gates, v_mean, start_pos, 8)


def test_executorch_program_keeps_the_state():
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    runtime = Runtime.get()
    native.load_executorch_binding()
    rows = torch.export.Dim("rows", min=1, max=48)
    example = (*make_inputs(3, 4, 16), torch.tensor(0))
    exported = torch.export.export(Attention(), example, dynamic_shapes=({1: rows},) * 3 + (None,))
    program = to_edge_transform_and_lower(exported).to_executorch()
    names = {operator.name for operator in program.executorch_program.execution_plan[0].operators}
    assert {"edgekit::kv_append", "edgekit::sea_estimate", "edgekit::sparse_topk_attention"} <= names
    assert not any("copy" in name for name in names), names
    loaded = runtime.load_program(program.buffer)  # a method does not keep its program alive
    method = loaded.load_method("forward")
    expected = Attention()
    for start, length in ((0, 20), (20, 1), (21, 48), (69, 1), (0, 7), (7, 1)):
        arguments = (*make_inputs(3, length, 16, start), torch.tensor(start))
        (answer,) = method.execute(list(arguments))
        assert torch.equal(answer, expected(*arguments)), start
    with pytest.raises(RuntimeError):
        method.execute([*make_inputs(3, 1, 16), torch.tensor(128)])
