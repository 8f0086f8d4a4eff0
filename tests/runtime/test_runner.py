"""The runner edgekit-run, here and on an emulated arm64 machine, against the Python session and the eager model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekit.models.stackvae_g.generator import default_statistics, generate_telemetry
from edgekit_runtime import Session
from edgekit_runtime.detect_anomalies import AnomalyPipeline
from edgekit_runtime.explain import Explanation
from edgekit_runtime.generate import Generation, TextGenerator


def telemetry(bundle: Path, path: Path, count: int = 60) -> np.ndarray:
    """Readings in a sensor's units, as a .csv with a header."""
    detector = AnomalyPipeline(Session(bundle)).detector
    rows = generate_telemetry(default_statistics(len(detector.channels), 1), count, 3, faults=2).values
    rows = (rows * detector.scaling.range + detector.scaling.low).astype(np.float32)
    lines = [",".join(detector.channels), *(",".join(f"{value:.9g}" for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return rows


def test_a_series(edgekit_run, pump_bundle, tmp_path):
    rows = telemetry(pump_bundle, tmp_path / "today.csv")
    done = edgekit_run(pump_bundle, "--input", tmp_path / "today.csv", "--output", tmp_path / "scores.json", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    wanted = AnomalyPipeline(Session(pump_bundle)).detect(rows)
    answers = json.loads((tmp_path / "scores.json").read_text())
    scores = np.array([np.nan if answer["score"] is None else answer["score"] for answer in answers])
    np.testing.assert_allclose(scores, wanted.scores, rtol=1e-4)
    assert [answer["alarm"] for answer in answers] == wanted.alarms.tolist()
    assert json.loads(done.stdout)["alarm_rows"] == int(wanted.alarms.sum())


def test_a_text(edgekit_run, text_bundle):
    went = Generation()
    list(TextGenerator(Session(text_bundle)).generate("the city", 8, went=went))
    done = edgekit_run(text_bundle, "--prompt", "the city", "--max-tokens", 8, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["text"] == went.text


def test_a_text_explained_and_steered(edgekit_run, explained_bundle):
    generator, went = TextGenerator(Session(explained_bundle)), Generation()
    generator.explain = True
    generator.steer({"1:2": 0.3, "2:5": -0.2})
    list(generator.generate("the city", 8, went=went))
    options = ("--explain", "--steer", "1:2=0.3", "--steer", "2:5=-0.2", "--max-tokens", 8)
    done = edgekit_run(explained_bundle, "--prompt", "the city", *options, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["text"] == went.text
    check_explanation(answer["explanation"], generator.explanation(), generator)
    assert len(answer["explanation"]["tokens"]) == went.prompt_tokens + 7

    shown = edgekit_run(explained_bundle, "--prompt", "the city", *options)
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    label = generator.features.label(1, 2)
    alpha = generator.steered[0].alpha
    assert f"steered: 1:2 ({label}) by KL 0.3 (alpha {alpha:.3g})" in lines
    begin = next(place for place, line in enumerate(lines) if line.startswith("token "))
    rows = [line for line in lines[begin + 1 :] if line and not line.startswith(("- generated -", "prompt: "))]
    assert len(rows) == 2 * len(answer["explanation"]["tokens"])
    assert lines[begin + 1 + 2 * went.prompt_tokens].startswith("- generated ---")
    # One column ends where the other begins, whatever the token.
    assert {row.index(" %  ") for row in rows} == {lines[begin].index("features, the strongest first") - 4}
    first = answer["explanation"]["tokens"][0]["layers"][0]
    assert f"{first['features'][0]['value']:.3g} {first['features'][0]['feature']} " in rows[0]
    assert f"{100 * first['unexplained']:.0f} %" in rows[0]


def test_what_a_bundle_is_steered_by_for_good_is_said(edgekit_run, explained_bundle, resealed):
    """The program is the same here: it is the manifest that is read."""

    def steer(folder, fields):
        fields["pipeline"]["explain"]["steering"] = [{"layer": 2, "feature": 5, "kl": -0.2, "alpha": -1.5}]

    bundle = resealed(explained_bundle, steer)
    generator = TextGenerator(Session(bundle))
    generator.steer({"1:2": 0.3})
    assert [(one.layer, one.feature, one.kl, one.built_in) for one in generator.steered] == [
        (2, 5, -0.2, True),
        (1, 2, 0.3, False),
    ]
    options = ("--prompt", "the city", "--max-tokens", 2)
    answer = json.loads(edgekit_run(bundle, *options, "--steer", "1:2=0.3", "--json").stdout)
    assert answer["explanation"]["steering"] == [one.to_dict() for one in generator.steered]
    assert answer["explanation"]["steering"][0]["built_in"] is True
    label = generator.features.label(2, 5)
    assert f"steered for good: 2:5 ({label}) by KL -0.2 (alpha -1.5)" in edgekit_run(bundle, *options).stdout
    generator.steer(None)
    assert [one.built_in for one in generator.steered] == [True]


@pytest.mark.parametrize("wrong", [{"layer": 3}, {"feature": 99}, {"feature": -1}, {"kl": "much"}])
def test_damaged_steering_for_good_is_refused(edgekit_run, explained_bundle, resealed, wrong):
    def steer(folder, fields):
        fields["pipeline"]["explain"]["steering"] = [{"layer": 2, "feature": 5, "kl": -0.2, "alpha": -1.5} | wrong]

    done = edgekit_run(resealed(explained_bundle, steer), "--prompt", "the city")
    assert done.returncode == 1
    assert f"'{next(iter(wrong))}'" in done.stderr or next(iter(wrong)) in done.stderr


def check_explanation(found: dict, explanation: Explanation, generator: TextGenerator) -> None:
    """A runner's JSON: the same as Python's, where coefficients are apart from each other."""
    wanted = explanation.to_dict(generator.tokenizer, generator.steered)
    assert (found["layers"], found["steering"]) == (wanted["layers"], wanted["steering"])
    assert len(found["tokens"]) == len(wanted["tokens"])
    clear = 0
    for token, same in zip(found["tokens"], wanted["tokens"], strict=True):
        assert (token["token"], token["text"]) == (same["token"], same["text"])
        for layer, other in zip(token["layers"], same["layers"], strict=True):
            assert layer["unexplained"] == pytest.approx(other["unexplained"], abs=1e-4)
            values = [feature["value"] for feature in other["features"]]
            if min(-np.diff([*values, 0]), default=1) > 1e-3:
                clear += 1
                expected = [
                    {**feature, "value": pytest.approx(feature["value"], abs=1e-4)} for feature in other["features"]
                ]
                assert layer["features"] == expected
    assert clear > len(wanted["tokens"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--steer", "1:2"), "--steer 1:2: give a feature and a KL, such as 12=0.1."),
        (("--steer", "=0.1"), "--steer =0.1: give a feature and a KL"),
        (("--steer", "1:2=much"), "--steer 1:2=much: give a feature and a KL, such as 12=0.1."),
        (("--steer", "1:2=0.6"), "feature 1:2 was calibrated for a KL from -0.5 to 0.5, not 0.6: give one in between."),
        (("--steer", "1:2=nan"), "feature 1:2 was calibrated for a KL from -0.5 to 0.5, not nan"),
        (("--steer", "3:2=0.1"), "feature 3:2 is of a layer without features: there are those of layers 1, 2."),
        (("--steer", "12=0.1"), "feature 12 is in several layers"),
        (("--steer", "1:2=0.1", "--steer", "1:2=0.1"), "--steer has feature 1:2 twice: give it once."),
        (("--steer",), "--steer needs a value"),
    ],
)
def test_steering_that_makes_no_sense(edgekit_run, explained_bundle, options, says):
    done = edgekit_run(explained_bundle, "--prompt", "the city", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("options", [("--explain",), ("--steer", "1:2=0.1")])
def test_a_text_without_features(edgekit_run, text_bundle, options):
    done = edgekit_run(text_bundle, "--prompt", "the city", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "has no features: export it with `--set dictionary=shipped`, or another dictionary." in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--explain",), "--explain does not belong to this bundle's task"),
        (("--steer", "1:2=0.1"), "--steer does not belong to this bundle's task"),
        (("--input", "absent.csv"), "absent.csv"),
        (("--prompt", "x"), "--prompt does not belong to this bundle's task"),
        (("--seed", "x"), "--seed x: give a whole number"),
        (("--no-such",), "there is no option --no-such"),
        ((), "give it with --input FILE"),
    ],
)
def test_requests_that_make_no_sense(edgekit_run, pump_bundle, arguments, says):
    done = edgekit_run(pump_bundle, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.startswith("edgekit-run: error: ")
    assert done.stderr.count("\n") == 1


def test_a_changed_bundle(edgekit_run, pump_bundle, copy_of):
    program = copy_of(pump_bundle) / "program.pte"
    program.write_bytes(program.read_bytes()[:-1])
    done = edgekit_run(program.parent, "--bench")
    assert done.returncode == 1
    assert "program.pte was changed after export" in done.stderr
