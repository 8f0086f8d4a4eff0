"""Comparisons: what is paired, ratios, and which regressions pass a limit."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from edgekit.devices.compare import compare, parse_limits, regressions
from edgekit.errors import EdgekitError, UsageError

from .test_results import RESULT


def result(p50: float = 2.0, name: str = "pump-int8", **fields: Any) -> dict[str, Any]:
    made = copy.deepcopy(RESULT)
    made["measured"]["cases"][0]["p50_ms"] = p50
    made["measured"]["peak_memory_bytes"] = 1000
    made["bundle"]["name"] = name
    made["bundle"]["accuracy"] = {"metrics": [{"name": "AUC", "better": "higher", "program": 0.8}]}
    return made | fields


def figures(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    ((comparison,), _) = compare([first], [second])
    return {figure.name: figure for figure in comparison.figures}


def test_ratios_and_directions() -> None:
    worse = result(3.0)
    worse["bundle"]["accuracy"]["metrics"][0]["program"] = 0.6
    worse["bundle"]["bytes"] = 500
    found = figures(result(), worse)
    assert found["p50"].ratio == pytest.approx(1.5)
    assert found["p50"].regression == pytest.approx(0.5)
    assert found["size"].regression == pytest.approx(-0.5)
    assert found["AUC"].ratio == pytest.approx(0.75)
    assert found["AUC"].regression == pytest.approx(0.25)
    assert found["peak memory"].regression == 0


def test_only_what_both_have_is_compared() -> None:
    assert "p50" not in figures(result(), result(measured=None))
    assert figures(result(), result(measured=None)).keys() == {"size", "AUC"}


def test_pairs_by_name_and_target() -> None:
    first = [result(name="a"), result(name="b")]
    comparisons, alone = compare(first, [result(4.0, name="b"), result(name="c")])
    assert [(one.title, one.figures[0].ratio) for one in comparisons] == [("b", 2.0)]
    assert alone == ["a", "c"]
    ((single,), _) = compare([first[0]], [first[1]])
    assert single.title == "a against b"
    with pytest.raises(UsageError, match="no bundle in common"):
        compare(first, [result(name="c"), result(name="d")])


def test_cases_keep_apart() -> None:
    two = result()
    two["measured"]["cases"] = [two["measured"]["cases"][0] | {"name": name} for name in ("prompt", "token")]
    assert {"p50, prompt", "p50, token"} <= figures(two, two).keys()


@pytest.mark.parametrize(
    ("limits", "p50", "passed"),
    [
        (["5%"], 2.1, []),
        (["5%"], 2.11, ["p50"]),
        (["0.1"], 2.3, ["p50"]),
        (["peak=1%"], 9.0, []),
        (["p50=100%", "5%"], 3.9, []),
        (["5%", "p50=100%"], 4.1, ["p50"]),
    ],
)
def test_limits(limits: list[str], p50: float, passed: list[str]) -> None:
    comparisons, _ = compare([result()], [result(p50)])
    assert [figure.name for _, figure in regressions(comparisons, parse_limits(limits))] == passed


def test_a_metric_that_drops_passes_a_limit() -> None:
    worse = result()
    worse["bundle"]["accuracy"]["metrics"][0]["program"] = 0.7
    comparisons, _ = compare([result()], [worse])
    assert [figure.name for _, figure in regressions(comparisons, parse_limits(["metric=5%"]))] == ["AUC"]


def test_a_gate_that_cannot_be_trusted_is_refused() -> None:
    other = result(machine={"title": "another board", "cpu": "x", "cores": 4})
    comparisons, _ = compare([result()], [other])
    with pytest.raises(EdgekitError, match=r"measured on a board .* and on another board"):
        regressions(comparisons, parse_limits(["5%"]))
    assert regressions(comparisons, parse_limits(["size=5%"])) == []
    comparisons, _ = compare([result()], [result(measured=None)])
    with pytest.raises(EdgekitError, match="neither has p50"):
        regressions(comparisons, parse_limits(["p50=5%"]))


@pytest.mark.parametrize(
    ("text", "wanted"), [("fast", "write a share"), ("p5O=5%", "did you mean 'p50'"), ("-1%", "write")]
)
def test_a_wrong_limit_is_said(text: str, wanted: str) -> None:
    with pytest.raises(UsageError, match=wanted):
        parse_limits([text])
