"""How well a direction among a layer's neurons tells sentences about a concept from others.

The similarity of a token is the cosine of its activations and the direction; a sentence has the largest of its tokens'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgekit.models.sea_opt.opt import OPT
from edgekit.tokenizer import Tokenizer

#: What stands before a sentence, and is left out with the token that begins a text: the end of another line.
BEFORE = " \n"
#: Sentences that are computed at once.
BATCH = 64
#: Means of similarities below it count as it.
LEAST_MEAN = 1e-6


@dataclass(frozen=True)
class Read:
    """What a layer does at sentences.

    Attributes:
        activations: (n, da) float32, of every token.
        sentences: (n,) int64, which one each token is of.
        count: of the sentences.
    """

    activations: Tensor
    sentences: Tensor
    count: int

    def select(self, chosen: Sequence[int]) -> Read:
        """Some of the sentences."""
        places = torch.full((self.count,), -1, dtype=torch.int64)
        places[list(chosen)] = torch.arange(len(chosen))
        sentences = places[self.sentences]
        kept = sentences >= 0
        return Read(self.activations[kept], sentences[kept], len(chosen))

    def scores(self, directions: Tensor) -> Tensor:
        """The largest cosine similarity of each sentence's tokens (count, k) with each of (da, k)."""
        lengths = self.activations.norm(dim=1, keepdim=True) * directions.norm(dim=0)
        return self.largest(self.activations @ directions / lengths.clamp_min(torch.finfo(lengths.dtype).tiny))

    def largest(self, values: Tensor) -> Tensor:
        """The largest of each sentence's tokens (count, k), of values (n, k)."""
        index = self.sentences[:, None].expand_as(values)
        least = values.new_full((self.count, values.shape[1]), -torch.inf)
        return least.scatter_reduce(0, index, values, "amax")


@torch.no_grad()
def read_sentences(opt: OPT, tokenizer: Tokenizer, layer: int, sentences: Sequence[str]) -> Read:
    """A layer's activations (from 1) at the tokens of sentences, each by itself."""
    before = ([] if tokenizer.begin is None else [tokenizer.begin]) + tokenizer.encode(BEFORE)
    device = opt.decoder.embed_tokens.weight.device
    encoded = [torch.tensor(before + tokenizer.encode(f" {sentence}")) for sentence in sentences]
    taken: list[Tensor] = []
    handle = opt.decoder.layers[layer - 1].fc2.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    found = []
    try:
        for start in range(0, len(encoded), BATCH):
            batch = encoded[start : start + BATCH]
            hidden = opt.decoder.embed(nn.utils.rnn.pad_sequence(batch, batch_first=True).to(device))
            for one in opt.decoder.layers[:layer]:
                hidden, _ = one(hidden)
            # Nothing looks ahead: what pads a shorter sentence changes none of its tokens.
            found += [row[len(before) : len(tokens)].cpu() for row, tokens in zip(taken.pop(), batch, strict=True)]
    finally:
        handle.remove()
    lengths = torch.tensor([len(one) for one in found])
    return Read(torch.cat(found), torch.repeat_interleave(torch.arange(len(found)), lengths), len(found))


def detection_score(concept: Tensor, neutral: Tensor) -> Tensor:
    """S_CD (k,): log of the mean of the concept's sentence scores (s, k) over that of the neutral ones' (m, k)."""
    return (concept.mean(0).clamp_min(LEAST_MEAN) / neutral.mean(0).clamp_min(LEAST_MEAN)).log()


def auroc(concept: Tensor, neutral: Tensor) -> Tensor:
    """The area under the ROC curve (k,): how often a concept's score (s, k) is above a neutral one's (m, k)."""
    ordered = neutral.T.contiguous().sort(dim=1).values
    wanted = concept.T.contiguous()
    below = torch.searchsorted(ordered, wanted)
    not_above = torch.searchsorted(ordered, wanted, right=True)
    return (below + not_above).double().mean(1).float() / (2 * len(neutral))
