"""Activations of feed-forward layers: the text in windows, one pass of the model, a file that is read in chunks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.errors import UsageError
from edgekit.files import explained
from edgekit.models.sea_opt.opt import OPT
from edgekit.tokenizer import Tokenizer

#: Vectors that are read at once.
CHUNK = 4096
#: Tokens that the model is given at once.
TOGETHER = 4096


class Vectors:
    """Vectors (n, da) of one kind, read chunk by chunk; on a GPU that has room for twice as many they are kept there.

    Args:
        values: (n, da) floating, in memory or mapped from a file.
        device: where chunks are wanted.
    """

    def __init__(self, values: Tensor, device: str = "cpu") -> None:
        self.count, self.width = values.shape
        self.device, self.dtype = torch.device(device), values.dtype
        if self.device.type == "cuda" and 2 * values.nbytes < torch.cuda.mem_get_info(self.device)[0]:
            values = values.to(self.device)
        self._values = values

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Places and vectors (c, da), in order."""
        for start in range(0, self.count, CHUNK):
            place = slice(start, min(start + CHUNK, self.count))
            yield place, self._values[place].to(self.device)

    def take(self, places: Tensor) -> Tensor:
        """Vectors (m, da) at places (m,) int64."""
        return self._values[places.to(self._values.device)].to(self.device)


@dataclass(frozen=True)
class Windows:
    """What the model is to see.

    Attributes:
        inputs: tokens (T,) int64 of each window, the one that begins a text first where the tokenizer has one.
        begin: that token.
    """

    inputs: tuple[Tensor, ...]
    begin: int | None

    def kept(self, window: Tensor) -> Tensor:
        """Which tokens are fitted to: all but those that begin a text."""
        return torch.ones_like(window, dtype=torch.bool) if self.begin is None else window != self.begin

    @property
    def tokens(self) -> Tensor:
        """The kept tokens (n,) int64 of all windows."""
        return torch.cat([window[self.kept(window)] for window in self.inputs])

    @property
    def starts(self) -> Tensor:
        """(w,) int64: which of the kept tokens are the first of a window."""
        lengths = [int(self.kept(window).sum()) for window in self.inputs]
        return torch.tensor([0, *lengths[:-1]]).cumsum(0)


def make_windows(tokenizer: Tokenizer, texts: Sequence[str], context: int, most: int | None = None) -> Windows:
    """Texts cut into windows that do not overlap; no window has two texts.

    Args:
        tokenizer: of the model.
        texts: each begins a window.
        context: most tokens of a window, with the one that begins a text.
        most: tokens that are kept in all: windows evenly spread over the texts, the last one cut.

    Raises:
        UsageError: the texts have no tokens, or a window has no room for one.
    """
    begin = tokenizer.begin
    room = context - (begin is not None)
    if room < 1:
        raise UsageError(f"a window of {context} tokens has no room for text: set context higher.")
    pieces = [
        piece
        for text in texts
        for piece in torch.tensor(tokenizer.encode(text), dtype=torch.int64).split(room)
        if len(piece)
    ]
    if not pieces:
        raise UsageError("the text has no tokens: give one with some words in it.")
    first = torch.tensor([] if begin is None else [begin], dtype=torch.int64)
    return Windows(tuple(torch.cat([first, piece]) for piece in _spread(pieces, most)), begin)


def _spread(pieces: list[Tensor], most: int | None) -> list[Tensor]:
    """Pieces with `most` tokens in all: one is taken as soon as those taken fall behind their share."""
    total = sum(map(len, pieces))
    if most is None or total <= most:
        return pieces
    taken: list[Tensor] = []
    seen = count = 0
    for piece in pieces:
        seen += len(piece)
        if count * total < seen * most:
            taken.append(piece[: most - count])
            count += len(taken[-1])
    return taken


@contextmanager
def watched(opt: OPT, layers: Sequence[int], on_activations: Callable[[int, Tensor], None]) -> Iterator[None]:
    """Tells of the activations (N, T, da) of layers, counted from 1, for the duration of the block."""

    def hook(layer: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, inputs: on_activations(layer, inputs[0])

    handles = [opt.decoder.layers[layer - 1].fc2.register_forward_pre_hook(hook(layer)) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def check_layers(opt: OPT, layers: Sequence[int]) -> None:
    """Refuses what the model does not have.

    Raises:
        UsageError: a layer that is not there.
    """
    for layer in layers:
        if not 1 <= layer <= len(opt.decoder.layers):
            raise UsageError(f"there is no layer {layer}: the model has the layers 1 to {len(opt.decoder.layers)}.")


@torch.no_grad()
def gather(
    opt: OPT,
    windows: Windows,
    layers: Sequence[int],
    on_part: Callable[[int, Tensor], None],
    on_windows: Callable[[int], None] = lambda count: None,
) -> None:
    """One pass over the windows, as far as the highest of the layers.

    Args:
        opt: in eval mode.
        windows: of at most the model's context.
        layers: from 1.
        on_part: told, for every layer and batch of windows, the activations (m, da) float32 of the kept tokens.
        on_windows: told how many windows were done.
    """
    decoder = opt.decoder
    device = decoder.embed_tokens.weight.device
    kept = torch.empty(0)
    with watched(opt, layers, lambda layer, found: on_part(layer, found[kept])):
        for batch in _batches(windows.inputs):
            # Nothing looks ahead: what a shorter window is filled up with is not seen by its tokens.
            tokens = nn.utils.rnn.pad_sequence(batch, batch_first=True)
            kept = nn.utils.rnn.pad_sequence([windows.kept(window) for window in batch], batch_first=True).to(device)
            hidden = decoder.embed(tokens.to(device))
            for layer in decoder.layers[: max(layers)]:
                hidden, _ = layer(hidden)
            on_windows(len(batch))


def _batches(inputs: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Windows that follow each other, up to `TOGETHER` tokens with what fills them up."""
    batch: list[Tensor] = []
    for window in inputs:
        if batch and (len(batch) + 1) * max(map(len, [*batch, window])) > TOGETHER:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


@dataclass(frozen=True)
class Gathered:
    """Activations of some layers in a file.

    Attributes:
        values: by layer: (n, da) float32, mapped from the file.
        dead: by layer: neurons that are 0 at every token.
        constant: by layer: neurons that are the same at every token, but not 0.
    """

    values: dict[int, Tensor]
    dead: dict[int, int]
    constant: dict[int, int]


@contextmanager
def gathered(
    opt: OPT,
    windows: Windows,
    layers: Sequence[int],
    path: Path,
    on_windows: Callable[[int], None] = lambda count: None,
) -> Iterator[Gathered]:
    """Activations in a file for the duration of the block; afterwards the file is gone.

    Args:
        path: of the file; one that a killed run left is written over.

    Raises:
        EdgekitError: there is no room for it.
    """
    count, width = len(windows.tokens), opt.config.ffn_dim
    try:
        with explained("write", path), path.open("wb") as file:
            # Where the disk is full this says so; a write to a map would end the process.
            os.posix_fallocate(file.fileno(), 0, len(layers) * count * width * 4)
        stored = torch.from_numpy(np.memmap(path, np.float32, "r+", shape=(len(layers), count, width)))
        values = dict(zip(layers, stored, strict=True))
        done = dict.fromkeys(layers, 0)
        least = {layer: torch.full((width,), torch.inf) for layer in layers}
        most = {layer: torch.full((width,), -torch.inf) for layer in layers}

        def on_part(layer: int, part: Tensor) -> None:
            part = part.to("cpu", torch.float32)
            values[layer][done[layer] : done[layer] + len(part)] = part
            done[layer] += len(part)
            if len(part):
                least[layer] = torch.minimum(least[layer], part.amin(0))
                most[layer] = torch.maximum(most[layer], part.amax(0))

        gather(opt, windows, layers, on_part, on_windows)
        same = {layer: least[layer] == most[layer] for layer in layers}
        dead = {layer: int((same[layer] & (most[layer] == 0)).sum()) for layer in layers}
        constant = {layer: int(same[layer].sum()) - dead[layer] for layer in layers}
        yield Gathered(values, dead, constant)
    finally:
        path.unlink(missing_ok=True)
