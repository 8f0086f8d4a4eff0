"""`edgekit list`: models with what they cost, devices, recipes."""

import json

from edgekit.devices.profile import load_profile
from edgekit.export.recipes import find_recipe
from edgekit.models.model import Request
from edgekit.models.zoo import find_model


def test_models(cli):
    values = json.loads(cli("list", "models", "--json").out)["models"]
    (value,) = [value for value in values if value["model"] == "stackvae-g"]
    model = find_model("stackvae-g").load(Request())
    assert value["parameters"] == sum(parameter.numel() for parameter in model.checkpoint.module.parameters())
    assert value["macs"] > 1_000_000
    assert value["model"] in cli("list", "models").out


def test_devices_and_recipes(cli):
    devices = json.loads(cli("list", "devices", "--json").out)["devices"]
    for device in devices:
        assert load_profile(device["name"]).default_recipe == device["default_recipe"]
        assert device["name"] in cli("list", "devices").out
    for recipe in json.loads(cli("list", "recipes", "--json").out)["recipes"]:
        assert find_recipe(recipe["name"]).name == recipe["name"]
