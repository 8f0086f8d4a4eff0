"""`edgekit run --explain` and `--steer`, on a small language model that was exported with a dictionary."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgekit.cli.run_explain import amounts, features_text
from edgekit.devices.results import read_results
from edgekit.errors import UsageError
from edgekit.models.features.dictionary import Dictionary, load_dictionary
from edgekit.models.features.tree import layer_tree

from .refusals import refuse

Cli = Callable[..., Any]
PROMPT, TOKENS = "the red cat sees the old", 8


@pytest.fixture(scope="module")
def dictionary(small_dictionary: Path) -> Dictionary:
    """Two layers of 12 features, made up."""
    return load_dictionary(small_dictionary)


@pytest.fixture
def run(cli: Cli, explained_bundle: Path) -> Cli:
    """`edgekit run` on the bundle, for a few tokens."""
    return lambda *options: cli("run", explained_bundle, "--prompt", PROMPT, "--max-tokens", TOKENS, *options)


def explanation_of(run: Cli, *options: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """What --json gives, and the explanation in it."""
    result = run("--explain", *options, "--json")
    assert (result.code, result.err) == (0, "")
    values = json.loads(result.out)
    return values, values["explanation"]


def test_what_a_bundle_is_steered_by_for_good_is_said(cli: Cli, explained_bundle: Path, resealed: Cli):
    def steer(folder: Path, fields: dict[str, Any]) -> None:
        fields["pipeline"]["explain"]["steering"] = [{"layer": 2, "feature": 5, "kl": -0.2, "alpha": -1.5}]

    bundle = resealed(explained_bundle, steer)
    said = cli("run", bundle, "--prompt", PROMPT, "--max-tokens", 2).out
    assert "by KL -0.2 (alpha -1.5, built in)" in said
    assert "steered for good: 2:5 by KL -0.2 (alpha -1.5)" in cli("inspect", bundle).out
    values = json.loads(cli("run", bundle, "--prompt", PROMPT, "--max-tokens", 2, "--explain", "--json").out)
    assert [(one["layer"], one["feature"], one["built_in"]) for one in values["explanation"]["steering"]] == [
        (2, 5, True)
    ]


def test_json_has_every_token_that_the_program_was_given(run: Cli, dictionary: Dictionary):
    values, explanation = explanation_of(run)
    assert explanation["layers"] == [1, 2]
    assert explanation["steering"] == []
    tokens = explanation["tokens"]
    assert len(tokens) == values["prompt_tokens"] + values["generated_tokens"] - 1
    assert "".join(token["text"] for token in tokens) == (PROMPT + values["text"])[: -len(_last(values, tokens))]
    for token in tokens:
        for place, layer in enumerate(token["layers"]):
            assert 0 <= layer["unexplained"] <= 1
            assert len(layer["features"]) <= 3
            found = [used["value"] for used in layer["features"]]
            assert found == sorted(found, reverse=True)
            assert all(value > 0 for value in found)
            for used in layer["features"]:
                assert used["label"] == dictionary.layers[place].features[used["feature"]].label


def _last(values: dict[str, Any], tokens: list[dict[str, Any]]) -> str:
    """What the last token added, which the program was never given."""
    told = "".join(token["text"] for token in tokens)
    return (PROMPT + str(values["text"]))[len(told) :]


def test_lines_below_the_text_say_the_same(run: Cli):
    _, explanation = explanation_of(run)
    plain, result = run("-q"), run("--explain")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(plain.out.rstrip("\n"))
    lines = result.out.splitlines()
    begin = next(index for index, line in enumerate(lines) if line.startswith("token "))
    end = next(index for index, line in enumerate(lines) if line.startswith("prompt: "))
    rows = [line for line in lines[begin + 1 : end] if line and not line.startswith("- generated")]
    told = [layer for token in explanation["tokens"] for layer in token["layers"]]
    assert len(rows) == len(told)
    for row, layer in zip(rows, told, strict=True):
        assert len(row) <= 100
        assert f" {100 * layer['unexplained']:.0f} %  " in row
        first = layer["features"][0]
        assert row.split(" %  ")[1].startswith(f"{first['feature']} {first['label'][:12]}")
        assert f": {first['value']:.2f}" in row
    # Prompt and generated tokens are told apart: the line stands between them.
    place = lines[begin + 1 :].index(next(line for line in lines if line.startswith("- generated")))
    assert place == 2 * json.loads(run("--json").out)["prompt_tokens"]


def test_steering_of_nothing_changes_nothing_and_of_much_changes_the_text(run: Cli, dictionary: Dictionary):
    text = json.loads(run("--json").out)["text"]
    assert json.loads(run("--steer", "1:3=0", "--json").out)["text"] == text
    values, explanation = explanation_of(run, "--steer", "1:3=0.5", "--steer", "2:0=-0.1")
    rows = {
        (layer, feature): dict(dictionary.layers[layer - 1].features[feature].steering)
        for layer, feature in ((1, 3), (2, 0))
    }
    assert [(one["layer"], one["feature"], one["kl"]) for one in explanation["steering"]] == [(1, 3, 0.5), (2, 0, -0.1)]
    for one in explanation["steering"]:
        assert one["alpha"] == pytest.approx(rows[one["layer"], one["feature"]][one["kl"]], rel=1e-6)
        assert one["label"] == dictionary.layers[one["layer"] - 1].features[one["feature"]].label
    assert values["text"] != text
    said = run("--steer", "1:3=0.5").out
    assert "Steered: 1:3 (" in said
    assert "by KL 0.5 (alpha " in said


def test_a_picture_and_a_result_for_the_report(run: Cli, cli: Cli, dictionary: Dictionary, tmp_path: Path):
    picture, file = tmp_path / "features.png", tmp_path / "results" / "results.jsonl"
    file.parent.mkdir()
    for steer in ((), ("--steer", "2:1=0.25")):
        result = run("--explain", "--picture", picture, "--output", file, "--force", *steer)
        assert (result.code, result.err) == (0, "")
        assert f"Written: {picture}\nWritten: {file}\nNext: edgekit report {file}" in result.out
    with Image.open(picture) as opened:
        assert opened.width > 800
    refuse(run("--explain", "--picture", picture), 2, "exists")
    plain, steered = read_results([file], explained=True)
    values, explanation = explanation_of(run)
    told = plain["explanation"]
    assert (told["prompt"], told["text"], told["prompt_tokens"]) == (PROMPT, values["text"], values["prompt_tokens"])
    assert {name: told[name] for name in explanation} == explanation
    assert [one["tree"] for one in told["hierarchy"]] == [
        json.loads(json.dumps(layer_tree(one))) for one in dictionary.layers
    ]
    assert [(one["layer"], one["feature"]) for one in steered["explanation"]["steering"]] == [(2, 1)]
    # The command gives the same text again.
    words = shlex.split(steered["command"])
    again = json.loads(cli(*words[1:], "--json").out)
    assert again["text"] == steered["explanation"]["text"]
    done = cli("report", file.parent, "-o", tmp_path / "report.html")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--steer", "1:12=0.1"), "12"),
        (("--steer", "3:1=0.1"), "3:1"),
        (("--steer", "1=0.1"), "1"),
        (("--steer", "1:3=0.6"), "0.5"),
        (("--steer", "1:3=-2"), "-0.5"),
        (("--steer", "2:7=0.1"), "calibrated"),
        (("--steer", "1:3"), "--steer 1:3: write FEATURE=KL"),
        (("--steer", "1:3=much"), "write FEATURE=KL"),
        (("--steer", "1:3=nan"), "write FEATURE=KL"),
        (("--steer", "1:3=0.1", "--steer", "1:3=0.2"), "twice"),
        (("--picture", "x.png"), "--picture is for a text that is explained"),
        (("--output", "x.jsonl"), "--output is for a text that is explained"),
        (("--explain", "--picture", "x.jpg"), "let it end in .png"),
        (("--explain", "--output", "x.json"), "let it end in .jsonl"),
    ],
)
def test_what_makes_no_sense(run: Cli, options: tuple[str, ...], says: str):
    refuse(run(*options), 2, says)


def test_other_bundles(cli: Cli, text_bundle: Path, fp32_bundle: Path):
    for option in (("--explain",), ("--steer", "1:3=0.1")):
        refuse(cli("run", text_bundle, "--prompt", PROMPT, *option), 2, "--set dictionary=shipped")
        name = option[0].removeprefix("--")
        refuse(cli("run", fp32_bundle, *option), 2, f"--{name} does not belong to this bundle's task")


@pytest.mark.parametrize("text", ['{"schema": 1}', "[", '{"schema": 9, "layers": []}'])
def test_a_damaged_file_of_features(cli: Cli, explained_bundle: Path, resealed: Callable[..., Path], text: str):
    damaged = resealed(explained_bundle, lambda folder, fields: (folder / "features.json").write_text(text))
    refuse(cli("run", damaged, "--prompt", PROMPT, "--explain"), 1, "features.json")


def test_inspect_says_that_there_are_features(cli: Cli, explained_bundle: Path, text_bundle: Path):
    said = f"features: 12 of each of layers 1, 2; `edgekit explain show {explained_bundle}` lists them\n"
    assert said in cli("inspect", explained_bundle).out
    assert "features: " not in cli("inspect", text_bundle).out
    assert cli("explain", "show", explained_bundle).code == 0


def test_amounts_of_a_command_line():
    assert amounts(["4:12=0.1", "3=-2e-2"]) == {"4:12": 0.1, "3": -0.02}
    for wrong in ("=0.1", "4:12", "4:12=", "4:12=inf"):
        with pytest.raises(UsageError, match="write FEATURE=KL"):
            amounts([wrong])


def test_as_many_features_as_there_is_room_for():
    features = [{"feature": number, "value": 4 - number, "label": "of, in, to"} for number in range(3)]
    each = ["0 of, in, to: 4.00", "1 of, in, to: 3.00", "2 of, in, to: 2.00"]
    assert features_text(features, 58) == "; ".join(each)
    assert features_text(features, 57) == "; ".join([*each[:2], "1 more"])
    assert features_text(features, 3) == f"{each[0]}; 2 more"
    assert features_text([], 80) == "none"
    # Signs of two columns, and labels that are cut before features are left out.
    wide = [{"feature": 1, "value": 1.0, "label": "\N{CJK UNIFIED IDEOGRAPH-6771}" * 20}] * 2
    assert features_text(wide, 66) == "; ".join(["1 " + "\N{CJK UNIFIED IDEOGRAPH-6771}" * 11 + "…: 1.00"] * 2)
    assert features_text(wide, 46) == "; ".join(["1 " + "\N{CJK UNIFIED IDEOGRAPH-6771}" * 6 + "…: 1.00"] * 2)
