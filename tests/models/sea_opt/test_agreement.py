"""Agreement of chosen cells, against the kernel reference's own choice of tokens."""

import pytest
import torch

from edgekit.errors import EdgekitError
from edgekit.kernels.reference import chosen_tokens
from edgekit.models.sea_opt.agreement import cell_agreement
from edgekit.models.sea_opt.program import AttentionMaps, DeviceOPT

from .conftest import SMALL


def tokens_of(count):
    return torch.randint(0, 97, (count,), generator=torch.Generator().manual_seed(1))


def test_the_same_model_agrees(build):
    trained = build()
    device = DeviceOPT(trained, 96)
    found = cell_agreement(device, trained, tokens_of(96))
    # Rows of up to k = 8 tokens take all cells; 2 layers.
    assert found.rows == 2 * (96 - 8)
    assert found.equal > 0.99
    assert found.overlap > 0.999
    assert not any(part.get_buffer(name).any() for part in device.states for name in ("k_cache", "keys"))


def test_another_model_agrees_less(build):
    trained, other = build(), build(seed=5)
    found = cell_agreement(DeviceOPT(other, 96, "int8"), trained, tokens_of(96))
    assert found.equal < 0.5
    assert 0.1 < found.overlap < 0.9


def test_overlap_is_that_of_the_rows(build):
    """Where cells are single tokens (K = 16 cells of 16 tokens), shared cells are shared tokens."""
    trained, other = build(), build(seed=5)
    tokens = tokens_of(16)
    wanted, got = (AttentionMaps(DeviceOPT(model, 16))(tokens, torch.tensor(0))[0] for model in (trained, other))
    shares = []
    for layer in range(2):
        mine, theirs = (chosen_tokens(scores[:, layer].transpose(0, 1), 0, 8)[:, -1] for scores in (wanted, got))
        shares.append(float((mine & theirs).sum() / mine.sum()))
    one_less = cell_agreement(DeviceOPT(other, 16), trained, tokens[:15])
    all_rows = cell_agreement(DeviceOPT(other, 16), trained, tokens)
    last = all_rows.overlap * all_rows.rows - one_less.overlap * one_less.rows
    assert last == pytest.approx(sum(shares), abs=1e-5)


def test_what_has_no_agreement(build):
    with pytest.raises(EdgekitError, match="8 tokens are too few"):
        cell_agreement(DeviceOPT(build(), 8), build(), tokens_of(8))
    dense = build(SMALL, None)
    with pytest.raises(EdgekitError, match="dense attention chooses no cells"):
        cell_agreement(DeviceOPT(dense, 8), dense, tokens_of(8))
