"""A table that kernels read and a delegate packs is in the file once, in every recipe, and read right."""

import pytest
import torch
from executorch.exir._serialize._program import deserialize_pte_binary
from executorch.runtime import Runtime
from torch import nn

from edgekit.export import executorch
from edgekit.export.capture import capture
from edgekit.export.quantize import quantize_weights
from edgekit.export.recipes import find_recipe
from edgekit.export.shared_constants import share_constants
from edgekit.models.model import Method
from edgekit_runtime.tensors import MethodSpec, TensorSpec

WORDS, WIDTH = 500, 64


class Tied(nn.Module):
    """A word embedding, two layers, and the head of the same weights; another constant lies behind it in the file."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        self.head.weight = self.words.weight
        self.places = nn.Embedding(200, WIDTH)

    def forward(self, tokens):
        hidden = self.words(tokens) + self.places(tokens % 200)
        return self.head(self.second(torch.relu(self.first(hidden))))


@pytest.mark.parametrize(("recipe", "bytes_of_number"), [("fp32", 4), ("int8-dynamic", 1), ("int4", 0.5)])
def test_stored_once_and_read_right(recipe, bytes_of_number):
    torch.manual_seed(0)
    module = Tied().eval().requires_grad_(False)
    tokens = torch.arange(7) * 71
    quantize_weights(module, find_recipe(recipe))
    wanted = module(tokens)
    spec = MethodSpec("forward", (TensorSpec("tokens", (7,), "int64"),), ())
    lowered = executorch.lower(capture(module, [Method(spec, (tokens,))]))
    whole = bytes(lowered.manager.buffer)
    table = int(WORDS * WIDTH * bytes_of_number)
    assert lowered.shared == table
    assert len(whole) - len(lowered.data) == table // 4096 * 4096
    (found,) = Runtime.get().load_program(lowered.data).load_method("forward").execute([tokens])
    # Rounded activations may round the other way in XNNPACK.
    assert (found - wanted).abs().max() < (1e-4 if recipe == "fp32" else 0.05) * wanted.abs().max()
    before, after = (deserialize_pte_binary(data) for data in (whole, lowered.data))
    for one, other in zip(before.named_data.buffers, after.named_data.buffers, strict=True):
        assert bytes(one) == bytes(other)
    assert share_constants(lowered.data) == (lowered.data, 0)
