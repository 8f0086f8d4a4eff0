"""Steering by a feature: what is added to a layer's activations, and how much of it for a wanted KL divergence.

At every position alpha times an atom is added to a = relu(fc1 x), fc2's input. As fc2 is linear, that is the same as a
bias of fc2 that is larger by alpha W_fc2 atom.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from edgekit.models.features.dictionary import Feature
from edgekit.models.sea_opt.opt import OPT, DecoderLayer
from edgekit.models.tasks import Progress
from edgekit.tokenizer import Tokenizer

#: KL(before || after) of the next token, in nats, that a feature is calibrated for.
TARGETS = (0.025, 0.05, 0.1, 0.15, 0.25, 0.35, 0.5)
#: What is continued for that; the divergence is the mean over prompts.
PROMPTS = ("I think that",)
#: A target is met when the divergence is off by no more than this share of it.
TOLERANCE = 0.01
#: Alphas that are tried first, each twice the one before.
FIRST, LAST = 1.0, 2048.0
#: Steps of the search in the interval that is found so.
STEPS = 40
#: Logits that are held at once.
MAX_LOGITS = 1 << 23


def steered(opt: OPT, layer: int, change: Tensor) -> AbstractContextManager[None]:
    """Adds `change` to the activations of a layer for the duration of the block.

    Args:
        opt: dense or with SEA's attention, in `forward` and in `extend`.
        layer: from 1.
        change: (da,) for all sequences, or (N, da) for each of a batch its own.
    """
    return _added(opt.decoder.layers[layer - 1], change)


@contextmanager
def _added(layer: DecoderLayer, change: Tensor) -> Iterator[None]:
    def add(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (inputs[0] + (change if change.ndim == 1 else change[:, None]),)

    handle = layer.fc2.register_forward_pre_hook(add)
    try:
        yield
    finally:
        handle.remove()


class SteeredPrompt:
    """What a model says after a prompt, steered in one layer; up to there it is computed once.

    Args:
        opt: in eval mode.
        tokens: of the prompt (T,) int64.
        layer: from 1.

    Attributes:
        base: log of the next token's probabilities (V,) without steering.
    """

    @torch.no_grad()
    def __init__(self, opt: OPT, tokens: Tensor, layer: int) -> None:
        self._opt, self._layer = opt, opt.decoder.layers[layer - 1]
        hidden = opt.decoder.embed(tokens[None].to(opt.decoder.embed_tokens.weight.device))
        for below in opt.decoder.layers[: layer - 1]:
            hidden, _ = below(hidden)
        self._before, self._after = hidden, self._layer(hidden)[0]
        self._above = opt.decoder.layers[layer:]
        self.base = self.log_probabilities(hidden.new_zeros(1, opt.config.ffn_dim))[0]

    @torch.no_grad()
    def log_probabilities(self, changes: Tensor) -> Tensor:
        """Of the next token (N, V), for each of (N, da) that is added to the activations."""
        if self._layer.before:
            # fc2's output is all that changes, and it is only added: nothing of the layer is computed again.
            hidden = self._after + (changes @ self._layer.fc2.weight.T)[:, None]
        else:
            with _added(self._layer, changes):
                hidden, _ = self._layer(self._before.expand(len(changes), -1, -1))
        for layer in self._above:
            hidden, _ = layer(hidden)
        return self._opt.decoder.logits(self._opt.decoder.last(hidden[:, -1])).log_softmax(-1)

    def divergences(self, changes: Tensor) -> Tensor:
        """KL(before || after) of the next token (N,), in nats."""
        rows = max(1, MAX_LOGITS // len(self.base))
        found = [
            (self.base.exp() * (self.base - self.log_probabilities(part))).sum(-1).clamp_min(0)
            for part in changes.split(rows)
        ]
        return torch.cat(found)


def prompt_tokens(tokenizer: Tokenizer, text: str) -> Tensor:
    """A prompt's tokens (T,) int64, as a bundle encodes it: first the one that begins a text, if there is."""
    begin = [] if tokenizer.begin is None else [tokenizer.begin]
    return torch.tensor(begin + tokenizer.encode(text), dtype=torch.int64)


def find_alphas(
    prompts: Sequence[SteeredPrompt],
    directions: Tensor,
    targets: Sequence[float] = TARGETS,
    on_direction: Callable[[int], None] = lambda count: None,
) -> Tensor:
    """The alpha along each direction whose mean divergence over the prompts is a target.

    Alphas are doubled until every target is passed; in the interval in which one is passed first it is searched by
    turns with the secant of the divergence's root, which is nearly a line in alpha, and by bisection.

    Args:
        prompts: of one layer.
        directions: (da, k), not necessarily of unit length.
        targets: rising.
        on_direction: told how many directions are done.

    Returns:
        (k, len(targets)), positive; NaN where a target is not reached.
    """
    count = len(targets)
    rows = max(1, MAX_LOGITS // (len(prompts[0].base) * count))
    found = []
    for part in directions.T.split(rows):
        found.append(_search(prompts, part, part.new_tensor(targets)))
        on_direction(len(part))
    return torch.cat(found)


def _search(prompts: Sequence[SteeredPrompt], directions: Tensor, targets: Tensor) -> Tensor:
    """`find_alphas` of directions (k, da) for targets (m,)."""

    def divergences(chosen: Tensor, alphas: Tensor) -> Tensor:
        """Along some of the directions (n,), for an alpha (n,) each."""
        changes = alphas[:, None] * directions[chosen]
        return torch.stack([prompt.divergences(changes) for prompt in prompts]).mean(0)

    shape = (len(directions), len(targets))
    low, low_root = directions.new_zeros(shape), directions.new_zeros(shape)
    high, high_root = (directions.new_full(shape, torch.nan) for _ in range(2))
    alpha = FIRST
    while alpha <= LAST and high.isnan().any():
        chosen = high.isnan().any(1).nonzero()[:, 0]
        root = divergences(chosen, directions.new_full(chosen.shape, alpha)).sqrt()[:, None]
        unreached = high[chosen].isnan()
        passed = unreached & (root >= targets.sqrt())
        below = unreached & ~passed
        high[chosen] = torch.where(passed, alpha, high[chosen])
        high_root[chosen] = torch.where(passed, root, high_root[chosen])
        low[chosen] = torch.where(below, alpha, low[chosen])
        low_root[chosen] = torch.where(below, root, low_root[chosen])
        alpha *= 2
    answers = directions.new_full(shape, torch.nan)
    for step in range(STEPS):
        direction, target = (answers.isnan() & ~high.isnan()).nonzero(as_tuple=True)
        if not len(direction):
            break
        here = direction, target
        left, right = low[here], high[here]
        wanted = targets[target].sqrt()
        share = (wanted - low_root[here]) / (high_root[here] - low_root[here])
        middle = left + (right - left) * (share if step % 3 < 2 else 0.5)
        divergence = divergences(direction, middle)
        root, met = divergence.sqrt(), (divergence / targets[target] - 1).abs() <= TOLERANCE
        answers[here] = torch.where(met, middle, torch.nan)
        above = root >= wanted
        low[here], high[here] = torch.where(above, left, middle), torch.where(above, middle, right)
        low_root[here] = torch.where(above, low_root[here], root)
        high_root[here] = torch.where(above, root, high_root[here])
    return answers


def calibrate(
    opt: OPT,
    tokenizer: Tokenizer,
    layer: int,
    features: Sequence[Feature],
    atoms: Tensor,
    progress: Progress,
    prompts: Sequence[str] = PROMPTS,
    targets: Sequence[float] = TARGETS,
) -> tuple[Feature, ...]:
    """The features with their `steering`: alphas for the targets, of both signs; what is not reached is left out.

    Args:
        opt: in eval mode.
        layer: from 1.
        features: k.
        atoms: (da, k) of unit length, as they will be used.
        progress: told of each sign, and of targets that are out of reach.
    """
    atoms = atoms.to(opt.decoder.embed_tokens.weight.device)
    texts = [SteeredPrompt(opt, prompt_tokens(tokenizer, text), layer) for text in prompts]
    progress.start(f"calibrate layer {layer}", 2 * len(features), "features, either sign")
    rows: list[list[tuple[float, float]]] = [[] for _ in features]
    for sign, name in ((-1, "less"), (1, "more")):
        alphas_of = find_alphas(texts, sign * atoms, targets, partial(progress.step, name))
        for feature, alphas in enumerate(alphas_of.tolist()):
            rows[feature] += [
                (sign * kl, sign * alpha) for kl, alpha in zip(targets, alphas, strict=True) if not math.isnan(alpha)
            ]
    short = [feature for feature, found in enumerate(rows) if len(found) < 2 * len(targets)]
    if short:
        progress.say(
            f"Layer {layer}: {len(short)} of {len(features)} features do not reach every KL up to {targets[-1]:g} "
            f"(features {', '.join(map(str, short[:8]))}{', ...' if len(short) > 8 else ''}): those rows are left out."
        )
    progress.done()
    return tuple(replace(one, steering=tuple(sorted(found))) for one, found in zip(features, rows, strict=True))
