"""What a device's program is compared with: the whole sequence so far, computed at once, in eager torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from edgekit.models.features.dictionary import Dictionary

from .opt import OPT
from .program import by_token


class WholeSequence(nn.Module):
    """Answers the calls of `Extend`, by the form without a state."""

    def __init__(self, opt: OPT) -> None:
        super().__init__()
        self.opt = opt
        self._before = torch.zeros(0, dtype=torch.int64)

    def forward(self, tokens: Tensor, position: Tensor, rows: Tensor) -> Tensor:
        logits: Tensor = self.opt(self._extended(tokens, position)[None])[0]
        return logits[int(position) + rows]

    def _extended(self, tokens: Tensor, position: Tensor) -> Tensor:
        self._before = torch.cat([self._before[: int(position)], tokens])
        return self._before


class WholeExplained(WholeSequence):
    """The same for `ExplainedExtend`: activations are seen, and steered before fc2, by hooks."""

    def __init__(self, opt: OPT, dictionary: Dictionary) -> None:
        super().__init__(opt)
        self.dictionary = dictionary
        self._steering = torch.zeros(0, len(dictionary.layers), dictionary.count)

    def forward(  # type: ignore[override]
        self, tokens: Tensor, position: Tensor, rows: Tensor, steering: Tensor
    ) -> tuple[Tensor, Tensor]:
        # Earlier tokens keep what they were steered by.
        self._steering = torch.cat([self._steering[: int(position)], steering.expand(len(tokens), -1, -1)])
        with self._hooks() as taps:
            logits = super().forward(tokens, position, rows)
        return logits, torch.stack(taps, 1)[int(position) :]

    @contextmanager
    def _hooks(self) -> Iterator[list[Tensor]]:
        taps: list[Tensor] = []

        def watch(place: int, linear: nn.Module) -> torch.utils.hooks.RemovableHandle:
            atoms = self.dictionary.layers[place].atoms

            def see(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
                activations = inputs[0][0]
                taps.append(torch.cat((activations @ atoms, activations.square().sum(-1, keepdim=True)), -1))
                return ((activations + self._steering[:, place] @ atoms.T)[None],)

            return linear.register_forward_pre_hook(see)

        linears = self.opt.second_linears()
        handles = [watch(place, linears[layer.layer]) for place, layer in enumerate(self.dictionary.layers)]
        try:
            yield taps
        finally:
            for handle in handles:
                handle.remove()


class WholeMaps(WholeSequence):
    """The same for `AttentionMaps`."""

    def forward(self, tokens: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        decoder = self.opt.decoder
        hidden = decoder.embed(self._extended(tokens, position)[None])
        found = []
        for layer in decoder.layers:
            hidden, attended = layer(hidden)
            assert attended.scores is not None
            parts = (attended.scores, attended.q, attended.k)
            found.append([part[0, :, int(position) :] for part in parts])
        scores, q, k = (by_token(list(parts)) for parts in zip(*found, strict=True))
        return scores, q, k
