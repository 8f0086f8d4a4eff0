"""`edgekit explain show` and `tree`: a dictionary and the bundle that was exported with it say the same."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgekit.models.features.dictionary import Dictionary, save_dictionary
from edgekit.models.features.tree import layer_tree

from ..made_explanation import made_dictionary
from ..made_features import features_file, write_bundle
from .refusals import refuse

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def made() -> Dictionary:
    return made_dictionary()


@pytest.fixture(scope="module")
def file(made: Dictionary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dictionary") / "made.safetensors"
    save_dictionary(made, path)
    return path


@pytest.fixture(scope="module")
def bundle(made: Dictionary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "explained", features_file(made))


def test_a_table_a_layer(cli: Cli, file: Path, made: Dictionary):
    result = cli("explain", "show", file)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    for layer in made.layers:
        begin = lines.index(f"Layer {layer.layer}, 24 features")
        for number, feature in enumerate(layer.features):
            row = lines[begin + 4 + number]
            assert row.split()[0] == f"{layer.layer}:{number}"
            assert feature.label in row
            assert f"{feature.mean:.3g}" in row
            assert row.rstrip().endswith("-0.5 to 0.5")
    assert lines[-1] == f"Next: edgekit explain show {file} --feature 4:0"


def test_a_bundle_and_its_dictionary_say_the_same(cli: Cli, file: Path, bundle: Path):
    for command in (("show",), ("show", "--layer", 6, "--most", 3), ("show", "--feature", "6:2"), ("tree",)):
        one, other = (cli("explain", command[0], origin, *command[1:], "--json") for origin in (file, bundle))
        assert (one.code, one.out) == (other.code, other.out)


def test_json_has_everything(cli: Cli, file: Path, made: Dictionary):
    values = json.loads(cli("explain", "show", file, "--json").out)
    assert [layer["layer"] for layer in values["layers"]] == [4, 6]
    for layer, wanted in zip(values["layers"], made.layers, strict=True):
        plain = json.loads(json.dumps([feature.to_dict() for feature in wanted.features]))
        assert layer["features"] == [{"feature": number, **one} for number, one in enumerate(plain)]
    found = json.loads(cli("explain", "tree", file, "--layer", 6, "--json").out)
    assert found == {"layers": [{"layer": 6, "tree": json.loads(json.dumps(layer_tree(made.layers[1])))}]}


def test_weaker_features_are_counted(cli: Cli, file: Path):
    result = cli("explain", "show", file, "--layer", 4, "--most", 2)
    assert "4:1 " in result.out
    assert "4:2 " not in result.out
    assert "22 weaker features are not shown: --most 24 shows all." in result.out


def test_one_feature_with_all_that_is_known(cli: Cli, file: Path, made: Dictionary):
    result = cli("explain", "show", file, "--layer", 4, "--feature", 3)
    assert result.code == 0, result.err
    feature = made.layers[0].features[3]
    assert result.out.startswith(f"Feature 4:3: {feature.label}\n")
    for context in feature.contexts:
        assert f"  {context}\n" in result.out
    for tokens in (feature.promoted, feature.suppressed):
        assert ", ".join(token.strip() for token in tokens) in result.out
    rows = [line.split() for line in result.out.splitlines() if line[:1] == " " and len(line.split()) == 2]
    assert [tuple(map(float, row)) for row in rows if row[0][-1].isdigit()] == [
        (kl, pytest.approx(alpha, rel=1e-3)) for kl, alpha in feature.steering
    ]


def test_the_tree_as_text_and_as_a_picture(cli: Cli, file: Path, made: Dictionary, tmp_path: Path):
    path = tmp_path / "tree.png"
    result = cli("explain", "tree", file, "--layer", 4, "--picture", path)
    assert result.code == 0, result.err
    labels = made.layers[0].level_labels
    assert result.out.startswith("Layer 4, 6 groups of 12 groups of 24 features")
    for number in range(6):
        assert f"\ngroup 2.{number}: {labels[1][number]}\n" in result.out
    assert f"Written: {path}" in result.out
    with Image.open(path) as picture:
        assert min(picture.size) > 500
    again = ("explain", "tree", file, "--layer", 4, "--picture", path)
    refuse(cli(*again), 2, "exists: choose another file")
    assert cli(*again, "--force").code == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("show", "--layer", 5), "has no layer 5, but 4, 6"),
        (("show", "--feature", "4:24"), "has no feature 24: its features are 0 to 23"),
        (("show", "--feature", "3"), "has layers 4, 6: write LAYER:FEATURE, say 4:3"),
        (("show", "--feature", "4:3", "--layer", 6), "--layer says 6"),
        (("show", "--feature", "many"), "'many' is no feature"),
        (("show", "--feature", "4:3", "--most", 3), "leave one out"),
        (("tree", "--layer", 5), "has no layer 5"),
        (("tree", "--picture", "tree.png"), "choose one with --layer"),
        (("tree", "--layer", 4, "--picture", "tree.pdf"), "let it end in .png"),
    ],
)
def test_what_is_not_there(cli: Cli, file: Path, options: tuple[Any, ...], says: str):
    refuse(cli("explain", options[0], file, *options[1:]), 2, says)


def test_files_that_hold_no_features(cli: Cli, tmp_path: Path):
    refuse(cli("explain", "show", tmp_path / "none"), 2, "there is no dictionary")
    refuse(cli("explain", "show", tmp_path), 2, "is no bundle")
    plain = write_bundle(tmp_path / "plain", None)
    refuse(cli("explain", "show", plain), 2, "--set dictionary=shipped")
    (tmp_path / "text.safetensors").write_text("no tensors")
    refuse(cli("explain", "tree", tmp_path / "text.safetensors"), 1, "not a safetensors file")


def test_a_dictionary_without_a_hierarchy_has_no_tree(cli: Cli, made: Dictionary, tmp_path: Path):
    features = features_file(made)
    for layer in features["layers"]:
        del layer["tree"]
    folder = write_bundle(tmp_path / "flat", features)
    refuse(cli("explain", "tree", folder), 2, "has no hierarchy")
    refuse(cli("explain", "tree", folder, "--layer", 6), 2, "layer 6 of")
    assert cli("explain", "show", folder).code == 0


def _without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda features: features["layers"][0].pop(key)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda features: features.update(schema=2), "schema 2, not 1"),
        (lambda features: features.update(layers=[]), "no list of layers"),
        (_without("features"), "no 'features'"),
        (_without("layer"), "no 'layer'"),
        (lambda features: features["layers"][0]["features"][3].pop("mean"), "a feature has the fields"),
        (lambda features: features["layers"][0]["features"][3].update(tokens="Monday"), "are lists of text"),
        (lambda features: features["layers"][0]["tree"][0][0].update(children=[[99, 1.0]]), "does not exist"),
        (lambda features: features["layers"].append(7), "is no file of features"),
    ],
)
def test_a_damaged_file_of_features(cli: Cli, made: Dictionary, tmp_path: Path, change: Any, says: str):
    features = copy.deepcopy(features_file(made))
    change(features)
    refuse(cli("explain", "show", write_bundle(tmp_path / "bundle", features)), 1, says)


def test_a_file_of_features_that_is_no_json_or_was_changed(cli: Cli, made: Dictionary, bundle: Path, tmp_path: Path):
    refuse(cli("explain", "show", write_bundle(tmp_path / "cut", '{"schema": 1, "layers"')), 1, "is no JSON")
    folder = write_bundle(tmp_path / "changed", features_file(made))
    with (folder / "features.json").open("a") as file:
        file.write(" ")
    refuse(cli("explain", "show", folder), 1, "was changed after export")


def test_a_later_edgekit_may_say_more(cli: Cli, made: Dictionary, tmp_path: Path):
    features = features_file(made)
    features["more"] = features["layers"][0]["more"] = features["layers"][0]["features"][0]["more"] = 1
    assert cli("explain", "show", write_bundle(tmp_path / "bundle", features)).code == 0


def test_the_dictionary_that_ships(cli: Cli):
    values = json.loads(cli("explain", "show", "shipped", "--json").out)
    assert [layer["layer"] for layer in values["layers"]] == [4, 6]
    for layer in values["layers"]:
        assert len(layer["features"]) == 100
        shown = cli("explain", "show", "shipped", "--layer", layer["layer"])
        assert f"Layer {layer['layer']}, 100 features" in shown.out
        tree = cli("explain", "tree", "shipped", "--layer", layer["layer"])
        assert (tree.code, tree.err) == (0, "")
        assert "10 groups of 25 groups of 50 groups of 100 features" in tree.out
    refuse(cli("explain", "tree", "shipped", "--layer", 5), 2, "shipped has no layer 5, but 4, 6")
