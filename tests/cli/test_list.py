"""`edgekit list`: models with what they cost, devices, recipes."""

import json
import subprocess
import sys

import pytest
import torch

from edgekit.devices.profile import load_profile
from edgekit.export.capture import capture
from edgekit.export.macs import graph_macs
from edgekit.export.recipes import find_recipe
from edgekit.models.model import Request
from edgekit.models.rpcanet.checkpoint import Checkpoint
from edgekit.models.rpcanet.config import DEFAULT_SIZE, VARIANTS
from edgekit.models.rpcanet.model import RPCANetModel
from edgekit.models.rpcanet.module import RPCANet
from edgekit.models.zoo import find_model, zoo

#: Trainable parameters, with those of the first stage's memory that are never used.
RPCANET_PARAMETERS = {"v1": 679_896, "s1": 493_597, "s2": 987_194, "s3": 1_480_791, "s6": 2_961_582, "s9": 4_442_373}


def captured_macs(model) -> int:
    methods = model.methods()
    return graph_macs(capture(model.device_module, methods)[methods[0].spec.name].graph_module)


def test_models(cli):
    values = json.loads(cli("list", "models", "--json").out)["models"]
    assert [(value["model"], value["variant"]) for value in values] == [
        (entry.name, variant) for entry in zoo() for variant in entry.variants
    ]
    (value,) = [value for value in values if value["model"] == "stackvae-g"]
    model = find_model("stackvae-g").load(Request())
    assert value["parameters"] == model.parameters()
    assert value["macs"] == captured_macs(model)
    assert value["input"] == [model.methods()[0].spec.inputs[0].describe()]
    assert value["model"] in cli("list", "models").out
    rpcanet = {value["variant"]: value for value in values if value["model"] == "rpcanet"}
    assert {variant: value["parameters"] for variant, value in rpcanet.items()} == RPCANET_PARAMETERS
    assert tuple(rpcanet) == tuple(VARIANTS) == find_model("rpcanet").variants
    for variant, value in rpcanet.items():
        assert value["macs"] == VARIANTS[variant].macs(*DEFAULT_SIZE)
        assert value["input"] == ["image: float32 1x1x256x256"]

    (sea,) = [value for value in values if (value["model"], value["variant"]) == ("sea-opt", "125m")]
    # 125.2 M of OPT; 12 estimators of 53 k with 131 k each for their tables of positions.
    assert sea["parameters"] == pytest.approx(125.24e6 + 12 * (53e3 + 131e3), rel=1e-3)
    # Linear layers and head, and an estimate and attention of 1.53 M + 98 k a layer.
    assert sea["macs"] == pytest.approx(12 * (7.08e6 + 1.53e6 + 0.098e6) + 50272 * 768, rel=1e-2)


@pytest.mark.parametrize("variant", ["s1", "s2", "v1"])
def test_rpcanet_macs_are_the_captured_graphs(variant: str):
    config = VARIANTS[variant]
    with torch.random.fork_rng(devices=[]):
        checkpoint = Checkpoint(RPCANet(config).eval().requires_grad_(False), variant, {})
    size = (20, 36)
    assert captured_macs(RPCANetModel(checkpoint, sizes=[size])) == config.macs(*size)


def test_listing_models_imports_no_torch():
    script = "import sys; from edgekit.cli.main import run; run(['list', 'models']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0


def test_devices_and_recipes(cli):
    devices = json.loads(cli("list", "devices", "--json").out)["devices"]
    for device in devices:
        assert load_profile(device["name"]).default_recipe == device["default_recipe"]
        assert device["name"] in cli("list", "devices").out
    for recipe in json.loads(cli("list", "recipes", "--json").out)["recipes"]:
        assert find_recipe(recipe["name"]).name == recipe["name"]


def test_settings(cli):
    values = json.loads(cli("list", "settings", "--json").out)["settings"]
    found = {(value["model"], value["command"], value["name"]): value for value in values}
    assert len(found) == len(values)
    for value in values:
        assert value["meaning"].endswith((".", ")")), value
    chunk = found["sea-opt", "export", "chunk"]
    assert (chunk["kind"], chunk["default"]) == ("a whole number", "128")
    assert chunk["meaning"].startswith("most tokens of a prompt")
    assert found["sea-opt", "train", "steps"]["kind"] == "a whole number or none"
    assert found["rpcanet", "train", "size"]["default"] == "256x256"
    # All that a training takes, and nothing else.
    from edgekit.models.sea_opt import train

    known = train.OPT_SETTINGS | train.SEA_SETTINGS | train.TRAINING_SETTINGS | train.OTHER_SETTINGS
    assert {name for model, command, name in found if (model, command) == ("sea-opt", "train")} == set(known)
    assert "most tokens of a prompt" in cli("list", "settings").out
