"""What one head of a language model estimates its attention to be, and what it then attends to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgekit.bundle import Bundle
from edgekit.errors import UsageError
from edgekit_runtime.tensors import MethodSpec

if TYPE_CHECKING:
    from edgekit_runtime.generate import TextGenerator

FloatArray = npt.NDArray[np.float32]
METHOD = "attention_maps"


@dataclass(frozen=True)
class AttentionMap:
    """Of one head; rows are the tokens that attend, columns those that are attended to, (T, T) float32.

    Attributes:
        estimated: probabilities by the estimator: each cell's, spread over its tokens.
        sparse: softmax over the chosen tokens, 0 elsewhere.
        chosen: whether a token was chosen, (T, T) bool.
    """

    estimated: FloatArray
    sparse: FloatArray
    chosen: npt.NDArray[np.bool_]


def find_method(bundle: Bundle) -> MethodSpec:
    """The method that tells what attention does.

    Raises:
        UsageError: the bundle has none.
    """
    for method in bundle.program.methods:
        if method.name == METHOD:
            return method
    raise UsageError(
        f"{bundle.path} was exported without attention maps: export it again with --set attention_maps=true."
    )


def attention_map(generator: TextGenerator, tokens: list[int], layer: int, head: int) -> AttentionMap:
    """Runs tokens through a bundle from their beginning.

    Args:
        generator: of a bundle with the method.
        tokens: at most as many as the bundle has room for; further ones are left out.
        layer, head: from 0.
    """
    import torch

    from edgekit.kernels.reference import chosen_tokens
    from edgekit.kernels.sea import token_cells

    settings = generator.settings
    assert settings.k_budget is not None
    tokens = tokens[: settings.context]
    parts = []
    for start in range(0, len(tokens), settings.chunk):
        part = np.array(tokens[start : start + settings.chunk])
        found = generator.session.run(part, np.array(start), method=METHOD)
        parts.append([torch.from_numpy(array[:, layer]) for array in found])
    scores, q, k = (torch.cat(pieces).transpose(0, 1) for pieces in zip(*parts, strict=True))
    chosen = chosen_tokens(scores, 0, settings.k_budget)[head]
    weights = (q[head] @ k[head].T).masked_fill(~chosen, -torch.inf).softmax(-1)
    sparse = torch.where(chosen.any(-1, keepdim=True), weights, 0)
    count, cells = len(tokens), scores.shape[-1]
    cell = token_cells(cells, torch.arange(1, count + 1), count)
    future = torch.ones(count, count, dtype=torch.bool).triu(1)
    estimated = scores[head].gather(1, cell).masked_fill(future, -torch.inf).softmax(-1)
    return AttentionMap(estimated.numpy(), sparse.numpy(), chosen.numpy())
