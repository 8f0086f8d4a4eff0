"""Pictures of features: what stands in which cell, what is marked, and the tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.explanations import layer_use
from edgekit.feature_pictures import MOST_FEATURES, draw_explanation, explanation_figure, tree_figure
from edgekit.feature_words import range_text, token_text, tokens_text
from edgekit.models.features.dictionary import Feature
from edgekit.models.features.tree import Node, layer_tree, placed_nodes

from .made_explanation import PROMPT, made_dictionary, made_explanation


def value_of(explanation: dict[str, Any], place: int, token: int, feature: int) -> float:
    """Looked up in the explanation itself."""
    found = explanation["tokens"][token]["layers"][place]["features"]
    return sum(used["value"] for used in found if used["feature"] == feature)


def test_the_features_used_most_are_those_of_the_largest_sums():
    explanation = made_explanation(40)
    for place in range(2):
        sums = {
            feature: sum(value_of(explanation, place, token, feature) for token in range(40)) for feature in range(24)
        }
        use = layer_use(explanation, place, 7)
        assert list(use.features) == sorted(sums, key=lambda feature: -sums[feature])[:7]
        assert use.others == sum(value > 0 for value in sums.values()) - 7
        wanted = [[value_of(explanation, place, token, feature) for token in range(40)] for feature in use.features]
        np.testing.assert_array_equal(use.values, wanted)
        shares = [token["layers"][place]["unexplained"] for token in explanation["tokens"]]
        np.testing.assert_array_equal(use.unexplained, shares)


@pytest.mark.parametrize("count", [1, 30, 200])
def test_what_is_on_the_picture(count: int):
    explanation = made_explanation(count)
    figure = explanation_figure(explanation, PROMPT, "title")
    for place in range(2):
        top, bottom = figure.axes[2 * place : 2 * place + 2]
        use = layer_use(explanation, place, MOST_FEATURES)
        shown = top.images[0].get_array()
        np.testing.assert_array_equal(shown.filled(0), use.values)
        np.testing.assert_array_equal(shown.mask, use.values == 0)
        np.testing.assert_array_equal(bottom.images[0].get_array()[0], use.unexplained)
        labels = [text.get_text() for text in top.get_yticklabels()]
        assert [label.split()[-1] for label in labels] == [str(feature) for feature in use.features]
        lines = [float(np.ravel(line.get_xdata())[0]) for line in top.lines]
        assert lines == ([PROMPT - 0.5] if count > PROMPT else [])
    words = figure.axes[3].get_xticklabels()
    if count <= 120:
        assert [text.get_text() for text in words] == [token_text(token["text"]) for token in explanation["tokens"]]
        colours = [text.get_color() for text in words]
        assert len(set(colours[:PROMPT])) == 1
        assert not set(colours[:PROMPT]) & set(colours[PROMPT:])
    else:
        assert [text.get_text() for text in words][::10] == ["1", "200"]
    assert "4:3 (" in figure.get_suptitle()
    assert "-0.1" in figure.get_suptitle()


def test_a_text_of_any_script_without_features_is_drawn_too(tmp_path: Path):
    explanation = made_explanation(3, steered=False)
    for token, text in zip(explanation["tokens"], ("$x$", "\n", ""), strict=True):
        token["text"] = text
        for layer in token["layers"]:
            layer["features"] = []
    explanation["tokens"][0]["layers"][0]["features"] = [{"feature": 2, "value": 1.0, "label": "$_{$, 東京"}]
    draw_explanation(explanation, 3, tmp_path / "odd.png", "title $")
    with Image.open(tmp_path / "odd.png") as picture:
        assert min(picture.size) > 300
    words = [text.get_text() for text in explanation_figure(explanation, 3, "").axes[3].get_xticklabels()]
    assert words == [r"\$x\$", r"\n", f"<{explanation['tokens'][2]['token']}>"]


def test_every_node_of_the_tree_is_drawn_and_thicker_the_more_it_weighs():
    layer = made_dictionary().layers[0]
    roots = placed_nodes(layer_tree(layer), [feature.label for feature in layer.features])
    figure = tree_figure(roots, "title")
    nodes = [node for root in roots for node in root.walk()]
    texts = [text.get_text() for text in figure.axes[0].texts]
    for node in nodes:
        assert f"{node.name.removeprefix('group ')}  {node.label}" in texts
    weights = [node.weight for root in roots for node in root.walk() if node is not root]
    widths = [line.get_linewidth() for line in figure.axes[0].lines]
    assert np.corrcoef(sorted(weights), sorted(widths))[0, 1] == pytest.approx(1)
    assert {text for text in texts if "level" in text or text == "features"} == {
        "groups of level 2",
        "groups of level 1",
        "features",
    }


def test_groups_without_room_are_counted():
    roots = [Node(1, number, "group", 1.0, (Node(0, 0, "a", 1, ()), Node(0, 1, "b", 1, ()))) for number in range(100)]
    assert "25 more groups or features are not drawn" in tree_figure(roots, "").get_supxlabel()


def test_words_for_people():
    assert [token_text(token) for token in (" Monday", "\n", "  ", "a\u202eb", "")] == [
        *("Monday", r"\n", "␣␣", "a\N{REPLACEMENT CHARACTER}b", "")
    ]
    assert tokens_text([" Monday", "monday", " Friday", "\n"], 2) == "Monday, Friday"
    assert range_text(Feature()) == ""
    assert range_text(Feature(steering=((0.1, 2.0), (0.5, 5.0)))) == "0 to 0.5"
    assert range_text(Feature(steering=((-0.25, -2.0), (0.5, 5.0)))) == "-0.25 to 0.5"
