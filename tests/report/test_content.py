"""What a report is drawn from, and the page around it: what belongs together, what is said, and what cannot get in."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import EdgekitError
from edgekit.html_report.content import content
from edgekit.html_report.page import page

from .made_results import made_results, write_results

HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>&\u202e\u2028"


@pytest.fixture(scope="module")
def results() -> list[dict[str, Any]]:
    return made_results(12)


def details_of(data: dict[str, Any], bundle: int) -> dict[str, Any]:
    """A bundle's packed details, undone with other means than the page's."""
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(data["details"][bundle])))
    return found


def test_results_of_one_bundle_belong_together(results: list[dict[str, Any]]):
    data = content(results)
    assert [bundle["name"] for bundle in data["bundles"]] == list(dict.fromkeys(r["bundle"]["name"] for r in results))
    for run in data["runs"]:
        assert data["places"][run["place"]]["basis"] == run["basis"]
    found = [(data["bundles"][run["bundle"]]["name"], run["basis"], run["command"]) for run in data["runs"]]
    bases = {"none": "estimated", "local": "measured", "ssh": "measured", "qemu": "emulated"}
    assert found == [(r["bundle"]["name"], bases[r["target"]["kind"]], r["command"]) for r in results]


def test_a_result_that_is_measured_and_estimated_gives_two_runs_of_one_command(results: list[dict[str, Any]]):
    both = {**results[0], "estimated": results[2]["estimated"]}
    first, second = content([both])["runs"]
    assert (first["basis"], second["basis"]) == ("measured", "estimated")
    assert first["command"] == second["command"] == both["command"]
    assert "peak" not in second


def test_of_two_estimates_for_one_device_the_last_counts(results: list[dict[str, Any]]):
    estimate = next(result for result in results if result["estimated"])
    later = json.loads(json.dumps(estimate))
    later["estimated"]["cases"][0]["p50_ms"] = 1234.0
    (run,) = content([estimate, later])["runs"]
    assert run["cases"][0]["p50_ms"] == 1234


def test_bundles_of_one_name_and_different_content_are_told_apart(results: list[dict[str, Any]]):
    other = json.loads(json.dumps(results[0]))
    other["bundle"]["sha256"] = "f" * 64
    one, two = content([results[0], other])["bundles"]
    assert one["title"] != two["title"]
    assert two["title"].endswith("(ffffffff)")
    assert one["label"] != two["label"]


def test_details_keep_every_operator_and_step(results: list[dict[str, Any]]):
    data = content(results)
    measured = [result for result in results if result["measured"]]
    runs = [number for number, run in enumerate(data["runs"]) if run["basis"] != "estimated"]
    for number, result in zip(runs, measured, strict=True):
        details = details_of(data, data["runs"][number]["bundle"])
        packed = details["runs"][str(number)]["operators"]
        for case, rows in (result["operators"] or {}).items():
            columns = packed[case]
            assert [details["words"][word] for word in columns["name"]] == [row["name"] for row in rows]
            assert columns["parent"] == [row["parent"] for row in rows]  # ids are places here
            assert columns["p50_us"] == pytest.approx([row["p50_us"] for row in rows], rel=1e-3)
        if result["arena"] is not None:
            for part, changes in enumerate(details["arena"]["bytes"]):
                sums = [sum(changes[: step + 1]) for step in range(len(changes))]
                assert sums == [step["bytes"][part] for step in result["arena"]["steps"]]


def test_the_summary_names_the_fastest_of_what_was_measured_and_never_an_emulated_one(results: list[dict[str, Any]]):
    local = [r for r in results if r["target"]["kind"] == "local" and r["bundle"]["model"] == "rpcanet"]
    fastest = min(local, key=lambda result: result["measured"]["cases"][0]["p50_ms"])
    smallest = min(local, key=lambda result: result["measured"]["peak_memory_bytes"])
    for result in results:
        if result["target"]["emulated"]:  # however fast it looks
            result["measured"]["cases"][0]["p50_ms"] = 1e-6
    said = next(line for line in content(results)["summary"]["facts"] if line.startswith("rpcanet, "))
    assert f"fastest is {fastest['bundle']['recipe']} (" in said
    assert f"least memory takes {smallest['bundle']['recipe']} (" in said
    assert any("emulator" in line for line in content(results)["summary"]["warnings"])


def test_the_page_asks_for_nothing(results: list[dict[str, Any]]):
    text = page(content(results))
    assert not re.search(
        r"https?:|//[a-z]+\.", re.sub(r"http://www\.w3\.org/2000/svg", "", text).split("<script type")[0]
    )
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; ")
    assert "unsafe" not in policy[1]
    script = text.split("<script>")[1].split("</script>")[0]
    style = text.split("<style>")[1].split("</style>")[0]
    for kind, inside in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy[1]
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(|\bfetch\b|XMLHttp|import\(", inside)
    for name in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert name not in script, "what stands in a result must only ever become text"
    links = re.findall(r'(?:href|src)="([^"]*)"', text.replace(script, ""))
    assert {link[:1] for link in links if link != "data:,"} == {"#"}


@pytest.mark.parametrize("field", ["name", "model", "variant", "device", "recipe", "kv", "task"])
def test_nothing_of_a_bundle_leaves_its_data(results: list[dict[str, Any]], field: str):
    result = json.loads(json.dumps(results[0]))
    result["bundle"][field] = HOSTILE
    result["measured"]["cases"][0]["name"] = result["command"] = HOSTILE
    text = page(content([result]))
    clean = page(content([results[0]]))
    for mark in ("<script", "</script", "<!--", "<img"):
        assert text.count(mark) == clean.count(mark)
    data = json.loads(text.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert data["bundles"][0][field] == HOSTILE.replace("\u202e", " ").replace("\u2028", " ")


def test_words_of_the_template_in_a_result_stay_words(results: list[dict[str, Any]]):
    result = json.loads(json.dumps(results[0]))
    result["bundle"]["name"] = "@@script@@ @@data@@"
    assert json.dumps("@@script@@ @@data@@") in page(content([result]))


def test_the_same_results_give_the_same_page(results: list[dict[str, Any]]):
    assert page(content(results)) == page(content(json.loads(json.dumps(results))))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("measured", "memory_timeline"), [{"label": "no time"}]),
        (("measured", "telemetry"), "warm"),
        (("operators",), {"forward": "many"}),
        (("operators",), {"forward": [{"name": "loop", "parent": 0}]}),
        (("operators",), {"forward": [{"name": "lost", "parent": 7}]}),
        (("arena",), {"parts": ["runtime"], "steps": [{"method": "", "operator": "open", "bytes": []}]}),
        (("bundle", "accuracy"), {"outputs": 3}),
        (("roofline",), {"gflops": ["fast"]}),
        (("versions",), {"edgekit": float("nan")}),
    ],
)
def test_a_result_that_is_no_result_is_one_sentence(results: list[dict[str, Any]], where: tuple[str, ...], value: Any):
    result = json.loads(json.dumps(results[0]))
    inside = result
    for key in where[:-1]:
        inside = inside[key]
    inside[where[-1]] = value
    if where == ("versions",):  # a text is made of anything
        assert "nan" in page(content([result]))
        return
    with pytest.raises(EdgekitError, match=r"^the result of rpcanet-s1-linux-x86_64-fp32 of .*: measure again"):
        page(content([result]))


def test_figures_that_are_none_are_left_out(results: list[dict[str, Any]]):
    result = json.loads(json.dumps(results[0]))
    result["measured"]["peak_memory_bytes"] = "much"
    result["bundle"]["memory"] = {"peak": float("inf")}
    result["bundle"]["accuracy"] = {}
    data = content([result])
    assert data["runs"][0]["peak"] is None
    assert data["bundles"][0]["memory"]["peak"] is None
    assert data["bundles"][0]["metric"] is None
    assert any("No peak of memory" in line for line in data["summary"]["warnings"])


def test_a_hundred_bundles_take_less_than_3_mb(tmp_path: Path, cli: Callable[..., Any]):
    write_results(tmp_path, 100)
    done = cli("report", tmp_path, "-o", tmp_path / "report.html", "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert said["bundles"] == 100
    assert said["bytes"] == (tmp_path / "report.html").stat().st_size < 3_000_000


@pytest.mark.parametrize(
    ("name", "text", "code", "sentence"),
    [
        (None, None, 2, "has no results (.jsonl)"),
        ("results.jsonl", "\n", 2, "no results"),
        ("results.jsonl", '{"schema": 1', 1, "results.jsonl, line 1, is no JSON"),
        ("results.jsonl", '{"schema": 7}', 1, "has schema 7, this edgekit reads 1"),
        ("results.jsonl", "[]", 1, "is no result"),
    ],
)
def test_what_holds_no_results_is_one_sentence(
    tmp_path: Path, cli: Callable[..., Any], name: str | None, text: str | None, code: int, sentence: str
):
    folder = tmp_path / "results"
    folder.mkdir()
    if name is not None:
        (folder / name).write_text(str(text))
    done = cli("report", folder, "-o", tmp_path / "report.html")
    assert done.code == code
    assert sentence in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_a_page_is_written_as_html_into_a_folder_that_is_there(tmp_path: Path, cli: Callable[..., Any]):
    write_results(tmp_path, 1)
    for output, sentence in ((tmp_path / "report.pdf", "end in .html"), (tmp_path / "no" / "r.html", "does not exist")):
        done = cli("report", tmp_path, "-o", output)
        assert done.code == 2
        assert sentence in done.err
