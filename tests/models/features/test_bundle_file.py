"""`features.json`."""

import json
from dataclasses import replace

import torch

from edgekit.models.features.bundle_file import features_json

from .made import made_atoms, made_dictionary


def test_what_stands_in_it():
    made = made_dictionary({4: made_atoms(30, 6), 6: made_atoms(30, 6, seed=1)})
    top = replace(made.layers[1], levels=(torch.eye(2, 6),), level_labels=(("one", "two"),))
    found = json.loads(features_json(replace(made, layers=(made.layers[0], top))))
    assert found["schema"] == 1
    assert [layer["layer"] for layer in found["layers"]] == [4, 6]
    assert found["layers"][0]["features"][2] == json.loads(json.dumps(made.layers[0].features[2].to_dict()))
    assert found["layers"][0]["tree"] == []
    assert found["layers"][1]["tree"] == [
        [{"label": "one", "children": [[0, 1]]}, {"label": "two", "children": [[1, 1]]}]
    ]
