"""What a feature is called: the tokens at which it is strong, and those that it makes likelier."""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit.feature_words import tokens_text
from edgekit.models.features.dictionary import Feature
from edgekit.models.sea_opt.opt import OPT
from edgekit.tokenizer import Tokenizer

#: Tokens of a feature, and its strongest places in the text, among which they are looked for.
TOKENS, PLACES = 10, 100
#: Texts that are kept, and tokens on either side of the strong one.
CONTEXTS, AROUND = 5, 15
#: Tokens of the logit lens that are kept, each way.
LENS = 15
#: Tokens that make a label.
LABEL = 3


@torch.no_grad()
def label_features(
    opt: OPT,
    tokenizer: Tokenizer,
    layer: int,
    atoms: Tensor,
    coefficients: Tensor,
    tokens: Tensor,
    starts: Tensor,
) -> tuple[Feature, ...]:
    """Names each feature by what it did on the text that it was fitted to, and by the logit lens.

    Args:
        opt: the model.
        layer: from 1.
        atoms: (da, k) float32 of unit length.
        coefficients: (k, n) float32, not negative, in units of activations: how much of each feature each token has.
        tokens: (n,) int64, those that were fitted to.
        starts: (w,) int64, rising: which of them begin a window.

    Returns:
        k features, without steering.
    """
    coefficients, tokens, starts = (one.to("cpu") for one in (coefficients, tokens, starts))
    scores = lens(opt, layer, atoms).to("cpu")
    readable = _readable_tokens(tokenizer, scores.shape[1])
    likelier = _lens_tokens(tokenizer, scores, readable)
    unlikelier = _lens_tokens(tokenizer, -scores, readable)
    places = min(PLACES, coefficients.shape[1])
    quantile = min(coefficients.shape[1] - 1, int(0.999 * coefficients.shape[1]))
    found = []
    for feature, row in enumerate(coefficients):
        values, order = row.topk(places)
        order = order[values > 0]
        strongest = _strongest(row, tokens, order)
        names = [tokenizer.name(token) for token, _ in strongest]
        found.append(
            Feature(
                label=tokens_text(names, LABEL) or "(never used)",
                tokens=tuple(names),
                contexts=tuple(_context(tokenizer, tokens, starts, place) for _, place in strongest[:CONTEXTS]),
                promoted=likelier[feature],
                suppressed=unlikelier[feature],
                mean=row.mean().item(),
                maximum=row.sort().values[quantile].item(),
            )
        )
    return tuple(found)


def lens(opt: OPT, layer: int, atoms: Tensor) -> Tensor:
    """How much each feature of a layer raises each token's logit (k, V), by the logit lens.

    What fc2 makes of an atom goes through the last norm, without its bias, which is the same for all features, and
    through the head, as if no layer followed.

    Args:
        layer: from 1.
        atoms: (da, k).
    """
    decoder = opt.decoder
    directions = atoms.to(decoder.embed_tokens.weight.device).T @ decoder.layers[layer - 1].fc2.weight.T
    norm = decoder.final_layer_norm if decoder.final_layer_norm is not None else decoder.layers[-1].final_layer_norm
    seen = norm(directions) - norm.bias
    return decoder.logits(seen if decoder.project_out is None else decoder.project_out(seen))


def _strongest(row: Tensor, tokens: Tensor, places: Tensor) -> list[tuple[int, int]]:
    """Tokens with their strongest places, those first that have the most of the feature over all places."""
    total: dict[int, float] = {}
    first: dict[int, int] = {}
    for place, token, value in zip(places.tolist(), tokens[places].tolist(), row[places].tolist(), strict=True):
        total[token] = total.get(token, 0.0) + value
        first.setdefault(token, place)
    return [(token, first[token]) for token in sorted(total, key=lambda token: -total[token])[:TOKENS]]


def _context(tokenizer: Tokenizer, tokens: Tensor, starts: Tensor, place: int) -> str:
    """The text around a token of the same window, the token itself in guillemets."""
    window = int(torch.searchsorted(starts, place, right=True)) - 1
    begin = int(starts[window]) if window >= 0 else 0
    end = int(starts[window + 1]) if window + 1 < len(starts) else len(tokens)
    before = tokens[max(begin, place - AROUND) : place].tolist()
    after = tokens[place + 1 : min(end, place + 1 + AROUND)].tolist()
    name = tokenizer.name(int(tokens[place]))
    space = name[: len(name) - len(name.lstrip())]
    text = f"{tokenizer.decode(before)}{space}«{name[len(space) :]}»{tokenizer.decode(after)}"
    return " ".join(text.split())


def _readable_tokens(tokenizer: Tokenizer, words: int) -> Tensor:
    """Which of the head's words (V,) bool are text of whole characters: no special token, no row that pads the head."""
    readable = torch.zeros(words, dtype=torch.bool)
    for token in range(min(tokenizer.size, words)):
        text = tokenizer.decode([token])
        readable[token] = bool(text.strip()) and "\ufffd" not in text
    return readable


def _lens_tokens(tokenizer: Tokenizer, scores: Tensor, readable: Tensor) -> list[tuple[str, ...]]:
    best = scores.masked_fill(~readable, -torch.inf).topk(min(LENS, int(readable.sum())), dim=1).indices
    return [tuple(tokenizer.name(token) for token in row) for row in best.tolist()]
