"""The tree of a layer's levels, against one that is picked entry by entry with NumPy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.models.features.dictionary import Feature, LayerDictionary
from edgekit.models.features.tree import checked_tree, layer_tree, placed_nodes, top_nodes, tree_text


def made_layer(*levels: list[list[float]]) -> LayerDictionary:
    matrices = tuple(torch.tensor(level) for level in levels)
    count = matrices[0].shape[1] if matrices else 3
    labels = tuple(
        tuple(f"group {number} of {depth}" for number in range(len(level))) for depth, level in enumerate(levels, 1)
    )
    features = tuple(Feature(label=f"word {number}") for number in range(count))
    return LayerDictionary(4, torch.eye(count), features, matrices, labels)


def test_children_are_the_largest_from_15_percent_on_and_four_at_most():
    """Both at once, on many rows, by another way to pick them."""
    weights = np.random.default_rng(0).gamma(0.1, 1.0, (40, 17)).astype(np.float32)
    (parents,) = layer_tree(made_layer(weights.tolist()))
    counts = set()
    for row, parent in zip(weights, parents, strict=True):
        wanted = [child for child in np.argsort(-row, kind="stable") if row[child] >= 0.15 * row.max()][:4]
        assert [child for child, _ in parent["children"]] == wanted
        assert [weight for _, weight in parent["children"]] == pytest.approx(row[wanted], rel=1e-5)
        counts.add(len(wanted))
    assert counts == {1, 2, 3, 4}


def test_of_one_weight_the_lower_number_is_first_and_a_dead_parent_has_no_children():
    (parents,) = layer_tree(made_layer([[1.0, 2.0, 1.0, 2.0, 1.0, 1.0], [0.0] * 6]))
    assert [child for child, _ in parents[0]["children"]] == [1, 3, 0, 2]
    assert parents[1] == {"label": "group 1 of 1", "children": []}


def test_a_tree_of_two_levels_is_json_and_text():
    tree = layer_tree(
        made_layer([[1.0, 0.5, 0.0], [0.0, 0.2, 2.0], [0.0, 0.0, 3.0]], [[2.0, 1.0, 0.0], [0.0, 0.1, 4.0]])
    )
    assert checked_tree(json.loads(json.dumps(tree)), 3) == tree
    roots = top_nodes(tree, ["cat", "dog", "pump"])
    assert tree_text(roots).splitlines() == [
        "group 2.0: group 0 of 2",
        "├─ group 1.0: group 0 of 1",
        "│  ├─ 0: cat",
        "│  └─ 1: dog (50 %)",
        "└─ group 1.1: group 1 of 1 (50 %)",
        "   └─ 2: pump",
        "group 2.1: group 1 of 2",
        "└─ group 1.2: group 2 of 1",
        "   └─ 2: pump",
    ]
    assert [node.name for node in roots[0].walk()] == ["group 2.0", "group 1.0", "0", "1", "group 1.1", "2"]


def test_a_picture_has_each_node_once_where_most_of_it_is():
    weights = np.random.default_rng(3).gamma(0.2, 1.0, (5, 12)).astype(np.float32)
    above = np.array([[1.0, 0.1, 0.5, 0.0, 0.2], [0.3, 0.9, 0.6, 0.1, 0.0]], np.float32)
    tree = layer_tree(made_layer(weights.tolist(), above.tolist()))
    roots = placed_nodes(tree, [f"word {number}" for number in range(12)])
    nodes = [node for root in roots for node in root.walk()]
    assert sorted((node.level, node.number) for node in nodes) == [
        *((0, number) for number in range(12)),
        *((1, number) for number in range(5)),
        *((2, number) for number in range(2)),
    ]
    for level, matrix in ((1, weights), (2, above)):
        # Of the parents that list it, the one with the largest weight; without any it is at the end.
        listed = np.zeros_like(matrix)
        for number, parent in enumerate(tree[level - 1]):
            for child, _ in parent["children"]:
                listed[number, child] = matrix[number, child]
        for node in nodes:
            if node.level == level:
                for child in node.children:
                    assert listed[:, child.number].argmax() == node.number
                    share = matrix[node.number, child.number] / matrix[node.number].max()
                    assert child.weight == pytest.approx(share, rel=1e-5)
        alone = {root.number for root in roots if root.level == level - 1}
        assert alone == set(np.flatnonzero(listed.max(0) == 0).tolist())


def test_groups_that_no_group_has_stand_at_the_end():
    tree = layer_tree(made_layer([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0, 0.5]]))
    assert [node.name for node in top_nodes(tree, ["cat", "dog"])] == ["group 2.0", "group 1.1"]


def test_a_layer_without_levels_has_no_tree():
    assert layer_tree(made_layer()) == []
    assert top_nodes([], ["cat"]) == ()


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({}, "no list of levels"),
        ([[]], "level 1 of the tree is no list of parents"),
        ([[{"label": 3, "children": []}]], "without a label"),
        ([[{"label": "a"}]], "without a list of children"),
        ([[{"label": "a", "children": [[3, 1.0]]}]], "does not exist"),
        ([[{"label": "a", "children": [[0, 1.0]]}], [{"label": "b", "children": [[1, 1.0]]}]], "level 2"),
        ([[{"label": "a", "children": [[0, float("inf")]]}]], "does not exist"),
        ([[{"label": "a", "children": [[True, 1.0]]}]], "does not exist"),
    ],
)
def test_a_damaged_tree_is_refused(tree: Any, said: str):
    with pytest.raises(ValueError, match=said):
        checked_tree(tree, 3)
