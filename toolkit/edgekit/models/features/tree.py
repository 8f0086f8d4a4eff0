"""The hierarchy above a layer's features, as a tree: from a dictionary's matrices, as JSON, and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.models.features.dictionary import LayerDictionary

#: Children of a parent: at most so many, and none of a smaller share of the parent's largest weight.
MOST_CHILDREN, LEAST_SHARE = 4, 0.15
#: Levels above the features, and parents of one, that a file may have.
MAX_LEVELS, MAX_PARENTS = 8, 4096


@dataclass(frozen=True)
class Node:
    """A feature, or a group of what lies a level lower.

    Attributes:
        level: 0 for features, 1 for groups of features, and so on.
        number: from 0, in its level.
        label: a few words for people.
        weight: how much of it the node above has, as a share of what that one has most of; 1 at the top.
        children: the heaviest first; none of a feature.
    """

    level: int
    number: int
    label: str
    weight: float
    children: tuple[Node, ...]

    @property
    def name(self) -> str:
        """ "12" for a feature, "group 2.5" for parent 5 of level 2."""
        return f"group {self.level}.{self.number}" if self.level else str(self.number)

    def walk(self) -> Iterator[Node]:
        """It and all below it, each before its children."""
        yield self
        for child in self.children:
            yield from child.walk()


def layer_tree(layer: LayerDictionary) -> list[list[dict[str, Any]]]:
    """A layer's levels as a bundle keeps them, the lowest first.

    Returns:
        per level its parents, `{"label": str, "children": [[child, weight], ...]}`: up to `MOST_CHILDREN` that it uses
        most, by falling weight (of one weight the lower number first), down to `LEAST_SHARE` of its largest weight
        (Shafran et al. 2025, whose matrices have a column a parent). No level, no list.
    """
    levels = []
    for weights, labels in zip(layer.levels, layer.level_labels, strict=True):
        parents = []
        for row, label in zip(weights.tolist(), labels, strict=True):
            heaviest = sorted(enumerate(row), key=lambda child: (-child[1], child[0]))[:MOST_CHILDREN]
            least = LEAST_SHARE * heaviest[0][1]
            kept = [[child, float(f"{weight:.6g}")] for child, weight in heaviest if weight > 0 and weight >= least]
            parents.append({"label": label, "children": kept})
        levels.append(parents)
    return levels


def checked_tree(tree: object, features: int) -> list[list[dict[str, Any]]]:
    """The tree itself, if it is one of `layer_tree` above so many features.

    Raises:
        ValueError: it is none; the message says where.
    """
    if not isinstance(tree, list) or len(tree) > MAX_LEVELS:
        raise ValueError("the tree is no list of levels")
    below = features
    for number, level in enumerate(tree, 1):
        if not isinstance(level, list) or not 1 <= len(level) <= MAX_PARENTS:
            raise ValueError(f"level {number} of the tree is no list of parents")
        for parent in level:
            if not isinstance(parent, Mapping) or not isinstance(parent.get("label"), str):
                raise ValueError(f"level {number} of the tree has a parent without a label")
            children = parent.get("children")
            if not isinstance(children, list) or len(children) > MOST_CHILDREN:
                raise ValueError(f"level {number} of the tree has a parent without a list of children")
            if not all(_is_child(child, below) for child in children):
                raise ValueError(f"level {number} of the tree has a child that does not exist")
        below = len(level)
    return tree


def _is_child(child: object, below: int) -> bool:
    if not isinstance(child, list) or len(child) != 2:
        return False
    number, weight = child
    whole = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < below
    return whole and isinstance(weight, (int, float)) and not isinstance(weight, bool) and 0 < weight < float("inf")


def top_nodes(tree: Sequence[Sequence[Mapping[str, Any]]], labels: Sequence[str]) -> tuple[Node, ...]:
    """The parents of the highest level with all below them, in their order, then lower ones that are below none;
    without levels nothing.

    A child that several parents use is below each of them, and a feature that none uses enough in no place. The paper
    stops at a parent of one child; here it goes on, as many of the highest are such ones and would show no feature.

    Args:
        tree: of `layer_tree`, or of a bundle, checked.
        labels: of the features.
    """

    def node(level: int, number: int, weight: float) -> Node:
        if level == 0:
            return Node(0, number, labels[number], weight, ())
        parent = tree[level - 1][number]
        children: list[list[Any]] = parent["children"]
        largest = children[0][1] if children else 1.0
        below = tuple(node(level - 1, child, own / largest) for child, own in children)
        return Node(level, number, parent["label"], weight, below)

    return tuple(
        node(level, number, 1.0)
        for level in range(len(tree), 0, -1)
        for number in range(len(tree[level - 1]))
        if level == len(tree) or all(number != child for parent in tree[level] for child, _ in parent["children"])
    )


def placed_nodes(tree: Sequence[Sequence[Mapping[str, Any]]], labels: Sequence[str]) -> tuple[Node, ...]:
    """The same with each node once: below the parent that has most of it, by the weights, which are of parents of one
    length; those that no parent has stand at the end.

    Args:
        tree: as for `top_nodes`.
        labels: of the features.
    """
    names = [list(labels), *([parent["label"] for parent in level] for level in tree)]
    # Per level, where each node is: its parent's number, and the share of that one's largest weight.
    place: list[dict[int, tuple[float, int, float]]] = [{} for _ in names]
    for level, parents in enumerate(tree):
        for number, parent in enumerate(parents):
            for child, weight in parent["children"]:
                found = (weight, -number, weight / parent["children"][0][1])
                place[level][child] = max(place[level].get(child, found), found)

    def node(level: int, number: int, share: float) -> Node:
        below = () if level == 0 else _below(level, number)
        return Node(level, number, names[level][number], share, below)

    def _below(level: int, number: int) -> tuple[Node, ...]:
        mine = [(-found[2], child) for child, found in place[level - 1].items() if found[1] == -number]
        return tuple(node(level - 1, child, -share) for share, child in sorted(mine))

    return tuple(
        node(level, number, 1.0)
        for level in range(len(tree), -1, -1)
        for number in range(len(names[level]))
        if number not in place[level]
    )


def tree_text(roots: Sequence[Node]) -> str:
    """The tree as lines: each node below its parent and further in, with its share where it is not the largest."""
    lines: list[str] = []

    def add(node: Node, first: str, rest: str) -> None:
        share = f" ({100 * node.weight:.0f} %)" if node.weight < 1 else ""
        lines.append(f"{first}{node.name}: {node.label}{share}")
        for child in node.children:
            last = child is node.children[-1]
            add(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))

    for root in roots:
        add(root, "", "")
    return "\n".join(lines)
