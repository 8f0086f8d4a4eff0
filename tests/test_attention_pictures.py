"""The picture of a head's attention: order on the left, what was chosen on the right, and words that explain it."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.attention_pictures import attention_figure, row_ranks
from edgekit.pipelines.attention_maps import AttentionMap


def some_map(count: int) -> AttentionMap:
    draws = np.random.default_rng(0)
    before = np.tril(np.ones((count, count), dtype=bool))
    estimated = (draws.random((count, count)) * before).astype(np.float32)
    chosen = before & (draws.random((count, count)) < 0.3)
    return AttentionMap(estimated, (estimated * chosen).astype(np.float32), chosen)


def test_ranks_of_a_row():
    values = np.array([[0.5, 9, 9, 9], [0.2, 0.8, 9, 9], [0.1, 0.1, 0.8, 9], [0.3, 0.1, 0.3, 0.2]], np.float32)
    wanted = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 1, 0.5]]
    np.testing.assert_array_equal(row_ranks(values), wanted)


@pytest.mark.parametrize("count", [20, 150])
def test_what_is_on_the_picture(count):
    found = some_map(count)
    figure = attention_figure(found, [f"w{place}$" for place in range(count)], 12, "title")
    left, right = figure.axes[:2]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["not chosen", "the prompt ends"]
    assert {tuple(line.get_ydata()) for line in left.lines} >= {(11.5, 11.5)}
    labels = [text.get_text() for text in left.get_yticklabels()]
    assert (labels[0], labels[-1]) == ((r"w0\$", r"w19\$") if count == 20 else ("1", "150"))
    np.testing.assert_array_equal(left.images[1].get_array().mask, np.triu(np.ones((count, count), bool), 1))
    np.testing.assert_array_equal(right.images[1].get_array().mask, ~found.chosen)
    assert "Left: the order" in figure.get_supxlabel()


def test_a_prompt_without_an_answer():
    right = attention_figure(some_map(9), ["a"] * 9, 9, "title").axes[1]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["not chosen"]
