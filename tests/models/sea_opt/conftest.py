"""Small models with random weights, made once."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edgekit.models.sea_opt.attention import SEAAttention
from edgekit.models.sea_opt.config import OPTConfig, SEAConfig
from edgekit.models.sea_opt.opt import OPT

#: Heads of 12: no power of two, so that a mix-up of sizes shows.
SMALL = OPTConfig(97, 48, 80, 2, 4, 96, 48)
SMALL_SEA = SEAConfig(cells=16, k_budget=8, features=5, positions=96)


@pytest.fixture(scope="session")
def build() -> Callable[..., OPT]:
    """A module with random weights, all of a size that matters: `build(config, sea, seed)`."""

    def make(config: OPTConfig = SMALL, sea: SEAConfig | None = SMALL_SEA, seed: int = 0) -> OPT:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = OPT(config, sea).eval().requires_grad_(False)
            for parameter in module.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        return module

    return make


@pytest.fixture(scope="session")
def build_attention() -> Callable[..., SEAAttention]:
    """One layer's attention with random weights: `build_attention(heads, size, cells, k_budget, positions)`."""

    def make(heads: int, size: int, cells: int, k_budget: int, positions: int, seed: int = 0) -> SEAAttention:
        config = OPTConfig(10, heads * size, 8, 1, heads, positions, heads * size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            attention = SEAAttention(config, SEAConfig(cells, k_budget, max(2, size // 2), positions)).eval()
            for parameter in attention.requires_grad_(False).parameters():
                parameter += 0.1 * torch.randn_like(parameter) / max(1, parameter.shape[-1] / 16) ** 0.5
        return attention

    return make


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of texts by a small grammar: `one.txt` and `two.txt` to train on, `grammar.test.txt` to test on."""
    folder = tmp_path_factory.mktemp("words") / "grammar"
    folder.mkdir()
    draw = random.Random(1)
    for name, sentences in (("one", 250), ("two", 100), ("grammar.test", 60)):
        lines = [
            f"the {draw.choice(('red', 'old', 'tall'))} {draw.choice(('cat', 'dog', 'bird'))} "
            f"{draw.choice(('sees', 'likes'))} the {draw.choice(('tree', 'house'))}."
            for _ in range(sentences)
        ]
        (folder / f"{name}.txt").write_text("\n".join(lines))
    return folder
