"""Activations: one pass over windows gives what plain forwards give, and its file is gone afterwards."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.sea_opt.checkpoint import load_checkpoint
from edgekit.models.snmf import activations
from edgekit.models.snmf.activations import (
    Vectors,
    check_layers,
    gather,
    gathered,
    make_windows,
)


@pytest.fixture(scope="module", params=["dense", "sea"])
def opt(request, text_checkpoints):
    return load_checkpoint(text_checkpoints / f"{request.param}.safetensors").module


def tokenizer(begin=None):
    """Numbers between spaces are tokens."""
    return SimpleNamespace(begin=begin, encode=lambda text: [int(word) for word in text.split()])


def texts(*lengths):
    """Texts of so many tokens from 10 on, each token another."""
    ends = np.cumsum(lengths)
    return [" ".join(map(str, range(10 + end - length, 10 + end))) for end, length in zip(ends, lengths, strict=True)]


def plain(opt, window, layer):
    """Activations (T, da) of a window, by a hook in a plain forward."""
    found = []
    handle = opt.decoder.layers[layer - 1].fc2.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0][0]))
    with torch.no_grad():
        opt(window[None])
    handle.remove()
    return found[0]


@pytest.mark.parametrize("begin", [None, 2])
def test_one_pass_gives_what_forwards_give(opt, tmp_path, monkeypatch, begin):
    monkeypatch.setattr(activations, "TOGETHER", 60)
    windows = make_windows(tokenizer(begin), texts(50, 3, 1, 40), 20)
    assert [len(window) for window in windows.inputs] == (
        [20, 20, 10, 3, 1, 20, 20] if begin is None else [20, 20, 13, 4, 2, 20, 20, 3]
    )
    told = []
    with gathered(opt, windows, [1, 2], tmp_path / "file", told.append) as found:
        assert sum(told) == len(windows.inputs)
        assert (tmp_path / "file").stat().st_size == 2 * 94 * 80 * 4
        for layer in (1, 2):
            skipped = 0 if begin is None else 1
            expected = torch.cat([plain(opt, window, layer)[skipped:] for window in windows.inputs])
            assert found.values[layer].shape == (94, 80)
            assert torch.allclose(found.values[layer], expected, atol=1e-5)
            assert expected.max() > 0.1
    assert not (tmp_path / "file").exists()


def test_tokens_and_starts_are_those_of_the_rows():
    windows = make_windows(tokenizer(2), [*texts(5), "7 2 8"], 4)
    assert [window.tolist() for window in windows.inputs] == [[2, 10, 11, 12], [2, 13, 14], [2, 7, 2, 8]]
    assert windows.tokens.tolist() == [10, 11, 12, 13, 14, 7, 8]
    assert windows.starts.tolist() == [0, 3, 5]


@pytest.mark.parametrize(("lengths", "most"), [((1000,), 100), ((400, 3, 2, 595), 100), ((30,), 20), ((1000,), 999)])
def test_the_limit_is_spread_over_the_text(lengths, most):
    windows = make_windows(tokenizer(), texts(*lengths), 32, most)
    tokens = windows.tokens
    assert len(tokens) == most
    assert tokens.unique().tolist() == tokens.tolist()
    total = sum(lengths)
    # Any part of the text has its share, to within a window.
    for end in range(0, total, 50):
        assert abs(int((tokens < 10 + end).sum()) - end * most / total) <= 32
    assert make_windows(tokenizer(), texts(*lengths), 32, total).tokens.tolist() == list(range(10, 10 + total))


def test_the_pass_ends_at_the_highest_layer_and_is_one(opt, tmp_path):
    calls = {1: 0, 2: 0}

    def count(layer):
        def hook(*_):
            calls[layer] += 1

        return hook

    handles = [opt.decoder.layers[layer - 1].register_forward_hook(count(layer)) for layer in calls]
    windows = make_windows(tokenizer(), texts(64), 16)
    gather(opt, windows, [1], lambda layer, part: None)
    assert calls == {1: 1, 2: 0}
    gather(opt, windows, [2, 1], lambda layer, part: None)
    assert calls == {1: 2, 2: 1}
    for handle in handles:
        handle.remove()


def test_dead_and_constant_neurons_are_counted(text_checkpoints, tmp_path):
    opt = load_checkpoint(text_checkpoints / "dense.safetensors").module
    fc1 = opt.decoder.layers[1].fc1
    fc1.weight[:5] = 0
    fc1.bias[:3], fc1.bias[3:5] = -1, 0.25
    windows = make_windows(tokenizer(), texts(200), 50)
    with gathered(opt, windows, [2], tmp_path / "file") as found:
        values = found.values[2].clone()
    assert found.constant[2] == int(((values == values[0]).all(0) & (values[0] != 0)).sum()) >= 2
    assert found.dead[2] == int((values == 0).all(0).sum()) >= 3


def test_the_file_goes_when_something_fails(opt, tmp_path):
    windows = make_windows(tokenizer(), texts(40), 20)

    def fail(count):
        raise RuntimeError

    with pytest.raises(RuntimeError), gathered(opt, windows, [1], tmp_path / "file", fail):
        pass
    assert list(tmp_path.iterdir()) == []
    assert not opt.decoder.layers[0].fc2._forward_pre_hooks


def test_a_disk_without_room(opt, small_disk):
    windows = make_windows(tokenizer(), texts(290) * 5, 96)
    with pytest.raises(EdgekitError, match="the disk is full"), gathered(opt, windows, [1], small_disk / "file"):
        pass
    assert list(small_disk.iterdir()) == []


def test_chunks_are_all_rows_in_order(monkeypatch):
    monkeypatch.setattr(activations, "CHUNK", 4)
    rows = torch.arange(30.0).reshape(10, 3)
    vectors = Vectors(rows)
    places, parts = zip(*vectors.chunks(), strict=True)
    assert torch.equal(torch.cat(parts), rows)
    assert [(place.start, place.stop) for place in places] == [(0, 4), (4, 8), (8, 10)]
    assert torch.equal(vectors.take(torch.tensor([7, 0])), rows[[7, 0]])


def test_what_cannot_be_gathered(opt):
    with pytest.raises(UsageError, match="there is no layer 3: the model has the layers 1 to 2"):
        check_layers(opt, [1, 3])
    with pytest.raises(UsageError, match="there is no layer 0"):
        check_layers(opt, [0])
    with pytest.raises(UsageError, match="the text has no tokens"):
        make_windows(tokenizer(), ["", " "], 10)
    with pytest.raises(UsageError, match="no room for text"):
        make_windows(tokenizer(2), texts(4), 1)
