"""Perplexity, per token and per word, over windows of the context length that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from edgekit.errors import EdgekitError, UsageError
from edgekit_runtime.generate import TextGenerator

from .opt import OPT

#: Logits that are held at once.
MAX_LOGITS = 1 << 26
#: Tokens that a model with a state is given at once.
CHUNK = 128


@dataclass(frozen=True)
class Likelihood:
    """How likely a model finds a text.

    Attributes:
        nll: summed negative log-likelihood of the tokens, in nats.
        tokens: how many were predicted.
    """

    nll: float
    tokens: int

    @property
    def perplexity(self) -> float:
        return _exp(self.nll / self.tokens)

    def per_word(self, words: int) -> float:
        """Perplexity per word of a text with so many, which models of different tokenizers share."""
        return _exp(self.nll / words)


def windows(tokens: Tensor, context: int) -> list[tuple[Tensor, Tensor]]:
    """Inputs and targets (T,), T at most `context`: every token but the first is a target once.

    The window of a target begins at a multiple of `context`; the last one may be shorter.
    """
    starts = range(0, len(tokens) - 1, context)
    pairs = [(tokens[start : start + context], tokens[start + 1 : start + context + 1]) for start in starts]
    return [(inputs[: len(targets)], targets) for inputs, targets in pairs]


def count_words(text: str) -> int:
    """Words between white space."""
    return len(text.split())


@torch.no_grad()
def likelihood(
    module: OPT, tokens: Tensor, context: int, on_window: Callable[[int], None] = lambda count: None
) -> Likelihood:
    """Of a stream of tokens, without gradients.

    Args:
        module: in eval mode.
        tokens: (n,) int64.
        context: tokens of a window.
        on_window: told how many windows were done.

    Raises:
        EdgekitError: fewer than two tokens.
    """
    if len(tokens) < 2:
        raise EdgekitError("the text has fewer than two tokens: nothing to predict.")
    pairs = windows(tokens, context)
    device = module.decoder.embed_tokens.weight.device
    if module.sea is not None:
        return _stepwise(module, pairs, on_window)
    together = max(1, MAX_LOGITS // (context * module.config.vocab_size))
    total, count = 0.0, 0
    while pairs:
        # Only the last window may be shorter.
        batch = pairs[: together if len(pairs) > together else max(1, len(pairs) - 1)]
        pairs = pairs[len(batch) :]
        inputs, targets = (torch.stack(part).to(device) for part in zip(*batch, strict=True))
        logits = module(inputs)
        total += functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").item()
        count += targets.numel()
        on_window(len(batch))
    return Likelihood(total, count)


def chunked_likelihood(
    pairs: Sequence[tuple[Tensor, Tensor]],
    chunk: int,
    logits: Callable[[Tensor, int], Tensor],
    on_window: Callable[[int], None] = lambda count: None,
) -> Likelihood:
    """Of windows, each taken chunk by chunk.

    Args:
        pairs: inputs and targets (T,) int64 of each window.
        chunk: most tokens that are taken at once.
        logits: (t, V) after each of the next t tokens, by these and the place of the first; 0 begins a window.
        on_window: told after every window.
    """
    total, count = 0.0, 0
    for inputs, targets in pairs:
        start = 0
        for part, wanted in zip(inputs.split(chunk), targets.split(chunk), strict=True):
            total += functional.cross_entropy(logits(part, start), wanted, reduction="sum").item()
            start += len(part)
        count += start
        on_window(1)
    return Likelihood(total, count)


def _stepwise(module: OPT, pairs: Sequence[tuple[Tensor, Tensor]], on_window: Callable[[int], None]) -> Likelihood:
    """With a state: SEA's operators are several times as fast as its masks of all tokens."""
    state = module.new_state()
    device = module.decoder.embed_tokens.weight.device
    # A GPU is busy with many tokens only.
    chunk = CHUNK if device.type == "cpu" else max(CHUNK, MAX_LOGITS // module.config.vocab_size)

    def logits(part: Tensor, start: int) -> Tensor:
        state.length = start  # what lies behind it is not read
        return module.extend(part, state)

    on_device = [(inputs.to(device), targets.to(device)) for inputs, targets in pairs]
    return chunked_likelihood(on_device, chunk, logits, on_window)


def program_likelihood(
    generator: TextGenerator, tokens: Tensor, context: int, on_window: Callable[[int], None] = lambda count: None
) -> Likelihood:
    """`likelihood` of a bundle, on the same windows.

    Raises:
        UsageError: the bundle has no room for a window.
    """
    if context > generator.settings.context:
        raise UsageError(
            f"windows of {context} tokens, the bundle has room for {generator.settings.context}: export it with more."
        )

    def logits(part: Tensor, start: int) -> Tensor:
        return torch.from_numpy(generator.logits(part.tolist(), start, every=True))

    return chunked_likelihood(windows(tokens, context), generator.settings.chunk, logits, on_window)


def _exp(nats: float) -> float:
    """Infinity instead of an error for what is beyond a float."""
    return math.exp(nats) if nats < 700 else math.inf
