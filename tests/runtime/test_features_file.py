"""Features of a bundle whose file or manifest is damaged: refused with one sentence."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit_runtime import EdgekitError, Session
from edgekit_runtime.generate import TextGenerator

from .mutated_json import mutated


@pytest.fixture
def damaged(explained_bundle: Path, resealed: Callable[..., Path]) -> Callable[[Any], Path]:
    """The bundle with another features.json: a function that changes what stands in it, or its bytes."""

    def make(change: Any) -> Path:
        def write(folder: Path, fields: dict[str, Any]) -> None:
            path = folder / "features.json"
            if callable(change):
                features = json.loads(path.read_text())
                change(features)
                path.write_text(json.dumps(features))
            else:
                path.write_bytes(change)

        return resealed(explained_bundle, write)

    return make


def feature(features: dict[str, Any]) -> dict[str, Any]:
    return features["layers"][1]["features"][4]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (b"", "features.json is damaged"),
        (b'{"schema": 1, "layers": [', "features.json is damaged"),
        (b"\xff\xfe" * 100, "features.json is damaged"),
        (b"[" * 1_000_000, "features.json is damaged"),
        (b'{"layers":' * 100_000, "features.json is damaged"),
        (b'{"schema": 1, "tree":' + b"[" * 1000 + b"]" * 1000 + b"}", "features.json is damaged"),
        (b"[]", "no valid field 'schema'"),
        (b"null", "no valid field 'schema'"),
        (b'{"schema": 1, "layers": [' + b"0," * 100_000 + b"0]}", "has more in it than its manifest says"),
        (lambda features: features.update(schema=2), "has schema 2, this edgekit"),
        (lambda features: features.update(schema="1"), "no valid field 'schema'"),
        (lambda features: features.pop("layers"), "no valid field 'layers'"),
        (lambda features: features["layers"].pop(), "no valid field 'layers'"),
        (lambda features: features["layers"].reverse(), "no valid field 'layers'"),
        (lambda features: features["layers"].append(features["layers"][0]), "no valid field 'layers'"),
        (lambda features: features["layers"][0].pop("layer"), "no valid field 'layer'"),
        (lambda features: features["layers"][0].update(layer=1 << 63), "no valid field 'layers'"),
        (lambda features: features["layers"][0].update(features={}), "no valid field 'features'"),
        (lambda features: features["layers"][0]["features"].pop(), "has 11 features of layer 1, its manifest says 12"),
        (lambda features: features["layers"][0]["features"].append(feature(features)), "has 13 features of layer 1"),
        (lambda features: feature(features).pop("label"), "no valid field 'label'"),
        (lambda features: feature(features).update(label=None), "no valid field 'label'"),
        (lambda features: feature(features).pop("steering"), "no valid field 'steering'"),
        (lambda features: feature(features).update(steering=[[0.1]]), "no valid field 'steering'"),
        (lambda features: feature(features).update(steering=[[0.1, 1, 1]]), "no valid field 'steering'"),
        (lambda features: feature(features).update(steering=[[0.1, "1"]]), "no valid field 'steering'"),
        (lambda features: feature(features).update(steering=[[0.1, True]]), "no valid field 'steering'"),
        (lambda features: feature(features).update(steering=[[0.1, [1]]]), "no valid field 'steering'"),
        (lambda features: feature(features).update(steering=[[0.1, 1], [0.1, 2]]), "no valid field 'steering'"),
        (lambda features: feature(features).update(steering=[[0.1, -1]]), "no valid field 'steering'"),
        (lambda features: feature(features).update(steering=[[0, 0]]), "no valid field 'steering'"),
        (lambda features: feature(features).update(steering=[[0.1, 1e300]]), "no valid field 'steering'"),
        (lambda features: feature(features).update(steering=[[0.1, float("inf")]]), "features.json is damaged"),
        (lambda features: feature(features).update(steering=[[0.1, float("nan")]]), "features.json is damaged"),
        (lambda features: feature(features).update(steering=[[n, n] for n in range(1, 66)]), "'steering'"),
        (lambda features: features["layers"].insert(0, 7), "no valid field 'layer'"),
    ],
)
def test_a_damaged_file_of_features(damaged, change, says):
    session = Session(damaged(change))
    with pytest.raises(EdgekitError) as raised:
        TextGenerator(session)
    sentence = str(raised.value)
    assert says in sentence
    assert "features.json" in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"schema":1', '"schema":1e999', "damaged"),
        ('"schema":1', f'"schema":{"9" * 5000}', "damaged"),
        ('"schema":1', '"schema":18446744073709551615', "has schema -1"),
        ('"layer":1', '"layer":1.5', "no valid field 'layer'"),
    ],
)
def test_numbers_that_are_too_large(damaged, explained_bundle, old, new, says):
    text = (explained_bundle / "features.json").read_text()
    assert old in text
    session = Session(damaged(text.replace(old, new, 1).encode()))
    with pytest.raises(EdgekitError, match=says):
        TextGenerator(session)


def test_what_is_not_known_is_passed_over(damaged):
    def change(features: dict[str, Any]) -> None:
        for part in (features, features["layers"][0], feature(features)):
            part["more"] = {"label": [{"label": [[1.5, {}]]}], "layers": None}
        for layer in features["layers"]:
            layer.pop("tree", None)
            for one in layer["features"]:
                one["contexts"] = ["x" * 50] * 2000
        feature(features)["label"] = "more"

    known = TextGenerator(Session(damaged(change))).features
    assert known.label(2, 4) == "more"
    assert known.label(1, 4) != "more"


@pytest.mark.slow
def test_damage_by_chance(explained_bundle, resealed):
    """Changed parts, cut ends and flipped bytes: features that make sense, or one sentence."""
    draw = random.Random(1)
    text = (explained_bundle / "features.json").read_bytes()
    bundle = resealed(explained_bundle, lambda folder, fields: None)
    refused: list[str] = []
    for number in range(150):
        (bundle / "features.json").write_bytes(mutated(text, number, draw))
        session = Session(bundle, check_files=False)
        try:
            known = TextGenerator(session).features
        except EdgekitError as error:
            refused.append(str(error))
            continue
        for layer in known.layers:
            for one in range(known.count):
                assert isinstance(known.label(layer, one), str)
                assert all(np.isfinite(pair).all() for pair in known.calibrated(layer, one))
    assert 50 < len(refused) < 150
    assert all("features.json" in sentence and sentence.endswith(".") for sentence in refused)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"layers": []}, "no valid field 'layers'"),
        ({"layers": [2, 1]}, "no valid field 'layers'"),
        ({"layers": [0, 1]}, "no valid field 'layers'"),
        ({"layers": [1.5]}, "no valid field 'layers'"),
        ({"layers": list(range(1, 100))}, "no valid field 'layers'"),
        ({"layers": [1]}, "no valid field 'layers'"),
        ({"layers": [1, 3]}, "no valid field 'layers'"),
        ({"features": 0}, "no valid field 'features'"),
        ({"features": 5000}, "no valid field 'features'"),
        ({"features": 13}, "has 12 features of layer 1, its manifest says 13"),
        ({"shown": 13}, "no valid field 'shown'"),
        ({"shown": 4}, "no method 'explain' that fits"),
        ({"file": "manifest.json"}, "no valid field 'file'"),
        ({"file": "../features.json"}, "no valid field 'file'"),
        ({"file": "program.pte"}, "program.pte is damaged"),
    ],
)
def test_settings_of_a_manifest(explained_bundle, resealed, change, says):
    bundle = resealed(explained_bundle, lambda folder, fields: fields["pipeline"]["explain"].update(change))
    session = Session(bundle)
    with pytest.raises(EdgekitError, match=says):
        TextGenerator(session)


def test_taps_that_nothing_explains(explained_bundle, resealed):
    bundle = resealed(explained_bundle, lambda folder, fields: fields["pipeline"].pop("explain"))
    with pytest.raises(EdgekitError, match="no method 'extend' that fits"):
        TextGenerator(Session(bundle))


def test_features_of_a_program_without_taps(explained_bundle, text_bundle, resealed):
    explain = json.loads((explained_bundle / "manifest.json").read_text())["pipeline"]["explain"]

    def with_features(folder: Path, fields: dict[str, Any]) -> None:
        (folder / "features.json").write_bytes((explained_bundle / "features.json").read_bytes())
        fields["pipeline"]["explain"] = explain

    with pytest.raises(EdgekitError, match="no method 'extend' that fits"):
        TextGenerator(Session(resealed(text_bundle, with_features)))
