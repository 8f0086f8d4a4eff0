"""Texts that were explained: what the page is given of them."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.devices.results import append_results, read_results
from edgekit.errors import EdgekitError
from edgekit.feature_words import token_text
from edgekit.html_report.content import content
from edgekit.html_report.page import page

from ..made_explanation import PROMPT
from .made_explanations import made_explained_results
from .made_results import made_results

HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>&\u202e\u2028"


@pytest.fixture
def results() -> list[dict[str, Any]]:
    """Those of a plain and of a steered text."""
    plain: list[dict[str, Any]] = json.loads(json.dumps(made_explained_results()))
    return plain


def undone(packed: str) -> Any:
    """By other means than the page's."""
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def test_every_value_of_the_features_used_most_is_there(results: list[dict[str, Any]]):
    data = content(results)
    for shown, result in zip(data["explanations"], results, strict=True):
        told = result["explanation"]
        assert (shown["prompt_tokens"], shown["tokens"], shown["shown"]) == (PROMPT, 30, 30)
        details = undone(shown["details"])
        assert details["words"] == [token_text(token["text"]) for token in told["tokens"]]
        for place, layer in enumerate(details["layers"]):
            assert layer["layer"] == told["layers"][place]
            found = {
                (feature, token): value
                for feature, (tokens, values) in zip(layer["features"], layer["columns"], strict=True)
                for token, value in zip(tokens, values, strict=True)
            }
            wanted = {
                (used["feature"], token): float(f"{used['value']:.3g}")
                for token, entry in enumerate(told["tokens"])
                for used in entry["layers"][place]["features"]
                if used["feature"] in layer["features"]
            }
            assert found == wanted
            assert len(layer["features"]) + layer["others"] == len(
                {used["feature"] for entry in told["tokens"] for used in entry["layers"][place]["features"]}
            )


def test_steering_stands_beside_its_text_and_the_hierarchy_once(results: list[dict[str, Any]]):
    data = content(results)
    first, second = data["explanations"]
    assert first["steering"] == []
    assert [(one["feature"], one["kl"], one["alpha"]) for one in second["steering"]] == [("4:3", -0.1, -2.5)]
    assert first["hierarchy"] == second["hierarchy"] == 0
    (packed,) = data["hierarchies"]
    told = results[0]["explanation"]["hierarchy"]
    assert undone(packed) == [{"layer": one["layer"], "labels": one["labels"], "levels": one["tree"]} for one in told]
    assert "2 texts explained by features, 1 of them steered." in data["summary"]["facts"][0]


def test_a_long_text_is_cut_and_that_is_said():
    data = content(made_explained_results(300))
    for shown in data["explanations"]:
        assert (shown["tokens"], shown["shown"]) == (300, 256)
        assert len(undone(shown["details"])["words"]) == 256


def test_a_text_that_was_explained_is_no_figure_to_other_readers(results: list[dict[str, Any]], tmp_path: Path):
    file = tmp_path / "results.jsonl"
    append_results(file, [*made_results(2), *results, *results])
    figures = read_results([file])
    assert all(result.get("explanation") is None for result in figures)
    explained = [result for result in read_results([file], explained=True) if result.get("explanation")]
    assert [bool(result["explanation"]["steering"]) for result in explained] == [False, True]


@pytest.mark.parametrize("place", ["label", "text", "group", "prompt", "steering", "answer"])
def test_nothing_of_a_text_leaves_its_data(results: list[dict[str, Any]], place: str):
    clean = page(content(results))
    for result in results:
        told = result["explanation"]
        if place == "label":
            for used in told["tokens"][0]["layers"][0]["features"]:
                used["label"] = HOSTILE
            told["hierarchy"][0]["labels"][0] = HOSTILE
        elif place == "text":
            told["tokens"][0]["text"] = HOSTILE
        elif place == "group":
            told["hierarchy"][0]["tree"][0][0]["label"] = HOSTILE
        elif place == "steering":
            told["steering"] = [{"layer": 4, "feature": 3, "label": HOSTILE, "kl": 0.1, "alpha": 1.0}]
        else:
            told["prompt" if place == "prompt" else "text"] = HOSTILE
    text = page(content(results))
    for mark in ("<script", "</script", "<!--", "<img", "\u202e"):
        assert text.count(mark) == clean.count(mark)


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told["tokens"][0].pop("layers"),
        lambda told: told["tokens"][0]["layers"].pop(),
        lambda told: told["tokens"][0]["layers"][0]["features"].append({"feature": 1}),
        lambda told: told["tokens"][0]["layers"][0].update(unexplained="much"),
        lambda told: told["hierarchy"][0]["tree"][0][0].update(children=[[99, 1.0]]),
        lambda told: told["hierarchy"].append(3),
        lambda told: told["steering"].append({"layer": 4}),
        lambda told: told["tokens"].append(None),
    ],
)
def test_an_explanation_that_is_none_is_one_sentence(results: list[dict[str, Any]], change: Any):
    change(results[0]["explanation"])
    with pytest.raises(EdgekitError, match=r"^the result of sea-opt.* explain the text again with `edgekit run`\.$"):
        content(results)


@pytest.mark.parametrize("field", ["prompt", "text", "prompt_tokens", "layers", "tokens", "steering", "hierarchy"])
def test_a_result_without_what_readers_rely_on(
    results: list[dict[str, Any]], field: str, tmp_path: Path, cli: Callable[..., Any]
):
    del results[0]["explanation"][field]
    (tmp_path / "r.jsonl").write_text(f"{json.dumps(results[0])}\n")
    done = cli("report", tmp_path, "-o", tmp_path / "report.html")
    assert (done.code, done.out) == (1, "")
    assert f"field 'explanation.{field}'" in done.err
    assert done.err.count("\n") == 1


def test_ten_explained_texts_take_little_room(tmp_path: Path, cli: Callable[..., Any]):
    append_results(tmp_path / "r.jsonl", made_results(4))
    sizes = []
    for _ in range(2):
        done = cli("report", tmp_path, "-o", tmp_path / "report.html", "--json")
        assert done.code == 0, done.err
        sizes.append(json.loads(done.out)["bytes"])
        told = made_explained_results(256)[0]
        for number in range(10):
            result = json.loads(json.dumps(told))
            result["explanation"]["prompt"] = f"text {number}"
            append_results(tmp_path / "r.jsonl", [result])
    assert sizes[1] - sizes[0] < 10 * 25_000
