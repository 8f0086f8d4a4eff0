"""A word embedding that is the head too, in int4: laid out so that both read the same bytes.

`quantized_decomposed::embedding_4bit` takes the first of two numbers from a byte's upper half, XNNPACK from its lower
half. So the embedding's columns are swapped two by two before they are packed, and its rows back after they are read.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from edgekit.models.model import is_inside


class SwappedEmbedding(nn.Module):
    """An embedding whose table has its columns swapped two by two; gives what it gave before.

    Args:
        embedding: of an even width; its table is copied.
    """

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        table = swapped(embedding.weight.detach()).contiguous()
        self.embedding = nn.Embedding.from_pretrained(table, freeze=True)

    def forward(self, tokens: Tensor) -> Tensor:
        return swapped(self.embedding(tokens))


def swapped(rows: Tensor) -> Tensor:
    """(..., D) with columns 2 j and 2 j + 1 in each other's place."""
    return rows.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)


def swap_tied_embeddings(module: nn.Module, kept: Sequence[str], group: int) -> list[nn.Module]:
    """Puts a `SwappedEmbedding` where an embedding has the weights of a linear layer, in place.

    Args:
        module: whose submodules are looked through.
        kept: names of submodules that are left alone.
        group: numbers that share a scale: another width is left alone.

    Returns:
        The embeddings inside the new modules.
    """
    heads = {
        id(part.weight)
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear) and not is_inside(name, kept)
    }
    found: list[nn.Module] = []
    for name, part in list(module.named_modules()):
        if not isinstance(part, nn.Embedding) or id(part.weight) not in heads or is_inside(name, kept):
            continue
        if part.embedding_dim % group == 0:
            parent, _, attribute = name.rpartition(".")
            new = SwappedEmbedding(part)
            setattr(module.get_submodule(parent), attribute, new)
            found.append(new.embedding)
    return found
