"""Names and patterns of modules that stay in fp32, and a model's blocks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from edgekit.errors import UsageError
from edgekit.export.mixed import kept_modules
from edgekit.export.module import ModuleModel
from edgekit.export.recipes import find_recipe
from edgekit.models.rpcanet.checkpoint import load_checkpoint
from edgekit.models.rpcanet.model import RPCANetModel


@pytest.fixture
def model() -> ModuleModel:
    layers = [nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)) for _ in range(3)]
    model = ModuleModel(nn.Sequential(*layers).eval(), (torch.rand(1, 4),), "net", None, 0)
    model.keep_fp32 = ("2",)
    return model


def kept(model: ModuleModel, *names: str, recipe: str = "int8") -> tuple[str, ...]:
    return kept_modules(model, model.methods(), replace(find_recipe(recipe), keep_fp32=names))


def test_names_and_patterns(model):
    assert kept(model) == ("2",)
    assert kept(model, "0") == ("2", "0")
    assert kept(model, "?.2", "1.2", "0") == ("2", "1.2", "0")  # 0.2 is in 0, and 2.2 in 2
    assert kept(model, recipe="fp16") == ()  # what integers would spoil, halves do not
    assert kept(model, "*.0", recipe="fp16") == ("0.0", "1.0", "2.0")


@pytest.mark.parametrize("name", ["0.3", "0.2.weight", "3.*", "Linear"])
def test_what_matches_nothing(model, name):
    with pytest.raises(UsageError, match=rf"net has no module '{name}' to keep in fp32.*named_modules\(\) lists them"):
        kept(model, name)


def test_the_nearest_is_named(model):
    with pytest.raises(UsageError, match=r"did you mean '1\.2'"):
        kept(model, "0.1.2")


def test_blocks_are_layers_that_a_recipe_rounds(model):
    assert model.blocks() == ["0.0", "0.2", "1.0", "1.2"]
    assert set(kept(model, *model.blocks())) == {"2", *model.blocks()}


def test_blocks_of_rpcanet(plus_checkpoint, local_checkpoint):
    for path in (plus_checkpoint, local_checkpoint):
        model = RPCANetModel(load_checkpoint(path), sizes=[(48, 64)])
        blocks = model.blocks()
        assert "stages.0.sparse.trunk" in blocks
        assert ("stages.0.lowrank" in blocks) == (path == local_checkpoint)
        recipe = replace(find_recipe("int8"), keep_fp32=tuple(blocks))
        assert set(blocks) <= set(kept_modules(model, model.methods(), recipe))
