"""Features as pictures: which of them each token of a text had, and the tree of their groups."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.explanations import LayerUse, layer_use, word
from edgekit.pictures import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from edgekit.models.features.tree import Node

#: Features of a layer that a picture shows, signs of a label, and tokens that have a name below the picture.
MOST_FEATURES, LABEL_SIGNS, MOST_WORDS = 20, 34, 120
#: Inches of a column, of a row, and of what stands around the maps; the least and the most of a picture's width.
COLUMN, ROW, MARGIN, NARROW, WIDE = 0.2, 0.21, 4.2, 9.0, 26.0
#: Colours of the tokens of the prompt and of those that were generated.
PROMPT, GENERATED = "0.15", "tab:red"
#: Signs of a line of a tree's picture, and lines of one picture at most.
TREE_SIGNS, MOST_LINES = 48, 150


def draw_explanation(explanation: Mapping[str, Any], prompt: int, path: Path, title: str) -> None:
    """Writes `explanation_figure` as a PNG."""
    _save(explanation_figure(explanation, prompt, title), path)


def explanation_figure(explanation: Mapping[str, Any], prompt: int, title: str) -> Figure:
    """A map of features by tokens for each layer, one above the other, and below each what is left unexplained.

    Args:
        explanation: of one token or more (`edgekit.explanations`).
        prompt: how many of the tokens are the prompt's.
        title: above the picture; what was steered is said below it.
    """
    uses = [layer_use(explanation, place, MOST_FEATURES) for place in range(len(explanation["layers"]))]
    words = [_plain(word(token)) for token in explanation["tokens"]]
    rows = [max(1, len(use.features)) + 1.5 for use in uses]
    width = min(WIDE, max(NARROW, MARGIN + COLUMN * len(words)))
    figure = new_figure(width, 2.3 + sum(ROW * count + 0.75 for count in rows))
    panels = figure.subplots(2 * len(uses), 1, height_ratios=[part for count in rows for part in (count - 1.5, 1)])
    for place, use in enumerate(uses):
        _draw_layer(panels[2 * place], panels[2 * place + 1], use, len(words), prompt)
    for other in panels[:-1]:
        other.tick_params(axis="x", bottom=False, labelbottom=False)
    _label_tokens(panels[-1], words, prompt)
    said = f"Tokens of the prompt are black, generated ones {GENERATED.removeprefix('tab:')}, right of the line."
    figure.suptitle("\n".join([_plain(title), *_steering_lines(explanation)]), fontsize=12)
    figure.supxlabel(
        f"{said}\nWhite: none of the feature. The last row of a layer is the share that no feature explains.",
        fontsize=9,
    )
    return figure


def _draw_layer(top: Axes, bottom: Axes, use: LayerUse, count: int, prompt: int) -> None:
    from matplotlib.colors import PowerNorm

    largest = float(use.values.max(initial=0.0)) or 1.0
    values = np.ma.masked_less_equal(use.values, 0) if len(use.features) else np.ma.masked_all((1, count))
    # The root of a value: few tokens have much of a feature, and the others would be all one colour.
    image = top.imshow(
        values, aspect="auto", interpolation="nearest", cmap="viridis_r", norm=PowerNorm(0.5, 0, largest)
    )
    names = [
        _plain(f"{_short(label, LABEL_SIGNS)}  {feature}")
        for feature, label in zip(use.features, use.labels, strict=True)
    ]
    top.set_yticks(range(len(names)), names, fontsize=8)
    others = f", {use.others} more not shown" if use.others else ""
    top.set_title(f"layer {use.layer}: the features used most{others}", fontsize=10, loc="left")
    rest = bottom.imshow(use.unexplained[None], aspect="auto", interpolation="nearest", cmap="Greys", vmin=0, vmax=1)
    bottom.set_yticks([0], ["unexplained"], fontsize=8)
    for place in (top, bottom):
        place.set_xticks(np.arange(count) - 0.5, minor=True)
        place.grid(which="minor", axis="x", color="0.9", lw=0.4)
        place.tick_params(which="minor", length=0)
        if prompt < count:
            place.axvline(prompt - 0.5, color=GENERATED, lw=1.2)
    figure = top.figure
    figure.colorbar(image, ax=top, pad=0.01, aspect=12).ax.tick_params(labelsize=7)
    figure.colorbar(rest, ax=bottom, pad=0.01, aspect=1.2, ticks=[0, 1]).ax.tick_params(labelsize=7)


def _label_tokens(axes: Axes, words: Sequence[str], prompt: int) -> None:
    """Tokens as text where they fit, else numbers from 1."""
    count = len(words)
    if count > MOST_WORDS:
        places = np.unique(np.linspace(0, count - 1, 11, dtype=int))
        axes.set_xticks(places, [str(place + 1) for place in places], fontsize=8)
        axes.set_xlabel("token", fontsize=8)
        return
    axes.set_xticks(range(count), words, rotation=90, fontsize=8)
    for place, label in enumerate(axes.get_xticklabels()):
        label.set_color(PROMPT if place < prompt else GENERATED)


def _steering_lines(explanation: Mapping[str, Any]) -> list[str]:
    found = [
        f"{one['layer']}:{one['feature']} ({one['label']}) {one['kl']:+g}{' built in' if one.get('built_in') else ''}"
        for one in explanation["steering"]
    ]
    return textwrap.wrap(_plain(f"steered, KL in nats: {', '.join(found)}"), 110) if found else []


def draw_tree(roots: Sequence[Node], path: Path, title: str) -> None:
    """Writes `tree_figure` as a PNG."""
    _save(tree_figure(roots, title), path)


def tree_figure(roots: Sequence[Node], title: str) -> Figure:
    """A tree from the left to the right: a column a level, a line a leaf, thicker the more of a child its group has.

    Args:
        roots: of one layer, one at least (`tree.placed_nodes`); for those without room it is said how many they are.
        title: above the picture.
    """
    drawn: list[Node] = []
    lines = 0
    for root in roots:
        lines += _leaves(root)
        if drawn and lines > MOST_LINES:
            break
        drawn.append(root)
    height = sum(map(_leaves, drawn))
    depth = max(root.level for root in drawn)
    figure = new_figure(3.4 + 4.1 * depth, 1.4 + 0.19 * height)
    axes = figure.subplots()
    first = 0.0
    for root in drawn:
        first = _draw_node(axes, root, depth, first)
    axes.set_xlim(-0.02, depth + 0.7)
    axes.set_ylim(height - 0.3, -0.9)
    axes.axis("off")
    for level in range(depth + 1):
        heading = "features" if level == 0 else f"groups of level {level}"
        axes.text(depth - level, -0.9, heading, fontsize=9, color="0.4", va="bottom")
    figure.suptitle(_plain(title), fontsize=12)
    left = len(roots) - len(drawn)
    said = f" {left} more groups or features are not drawn." if left else ""
    figure.supxlabel(
        f"Each once, with the group that has most of it. A line is as thick as the share of the group's largest "
        f"weight.{said}",
        fontsize=9,
    )
    return figure


def _leaves(node: Node) -> int:
    return sum(map(_leaves, node.children)) if node.children else 1


def _draw_node(axes: Axes, node: Node, depth: int, first: float) -> float:
    """Draws a node and all below it from the line `first` on; gives the line after them."""
    x, after = depth - node.level, first + _leaves(node)
    y = (first + after - 1) / 2
    text = _plain(_short(f"{node.name.removeprefix('group ')}  {node.label}", TREE_SIGNS))
    colour = "black" if node.level == 0 else "tab:blue"
    axes.text(x, y, text, fontsize=8, va="center", color=colour, bbox={"fc": "white", "ec": "none", "pad": 1})
    for child in node.children:
        below = first + (_leaves(child) - 1) / 2
        axes.plot([x + 0.02, x + 0.9, depth - child.level - 0.01], [y, below, below], color="0.7", zorder=0)
        axes.lines[-1].set_linewidth(0.4 + 2.6 * child.weight)
        first = _draw_node(axes, child, depth, first)
    return after


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _plain(text: str) -> str:
    """A text that is no formula to matplotlib."""
    return text.replace("$", r"\$")


def _save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        # Tokens may be of any script; the font has no sign for some.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        save_figure(figure, path)
