"""A small tokenizer and models of its vocabulary with random weights, for tests of what features mean."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from edgekit.models.sea_opt.config import OPTConfig, SEAConfig
from edgekit.models.sea_opt.opt import OPT
from edgekit.models.snmf.concepts import training_text
from edgekit.tokenizer import Tokenizer

#: By name: OPT's usual shape with dense and with SEA's attention, and the 350m shape.
SHAPES = ("dense", "sea", "post")
LAYERS, WIDTH = 3, 64


@functools.cache
def small_tokenizer() -> Tokenizer:
    return Tokenizer.train([training_text(), "I think that the next day of it is known"], 600)


def small_opt(shape: str = "dense", seed: int = 0, more: int = 3) -> OPT:
    """With `more` rows in the embedding than there are tokens, as checkpoints have them."""
    post = shape == "post"
    config = OPTConfig(small_tokenizer().size + more, 48, WIDTH, LAYERS, 4, 96, 32 if post else 48, not post)
    sea = SEAConfig(cells=16, k_budget=8, features=5, positions=96) if shape == "sea" else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        opt = OPT(config, sea).eval().requires_grad_(False)
        for parameter in opt.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        opt.decoder.embed_tokens.weight *= 3  # sure of what comes next, so that steering can make it unsure
    return opt


def atoms(count: int, seed: int = 1) -> torch.Tensor:
    """(WIDTH, count) of unit length, signed, a quarter of each not 0."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(WIDTH, count, generator=generator)
    drawn *= drawn.abs() >= drawn.abs().topk(WIDTH // 4, dim=0).values[-1]
    return drawn / drawn.norm(dim=0)


class Said:
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def start(self, label: str, total: int, units: str = "steps") -> None: ...
    def step(self, note: str, advance: int = 1) -> None: ...
    def done(self, note: str = "done") -> None: ...
    def say(self, text: str) -> None:
        self.lines.append(text)


def write_text(folder: Path) -> Path:
    """`folder`, with a part to train on and a test part of lines as WikiText has them."""
    for name, verb in (("one", "walked"), ("two.test", "went")):
        lines = [
            f" The {who} {verb} down the {how} road to the {where} . Then he came back and told them all about it . \n"
            for who in ("man", "boy", "girl")
            for how in ("long", "old", "small")
            for where in ("house", "hill", "town")
        ]
        (folder / f"{name}.txt").write_text("".join(lines))
    return folder
