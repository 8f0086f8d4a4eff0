from types import SimpleNamespace

import pytest

from edgekit.devices.profile import list_profiles
from edgekit.errors import UsageError
from edgekit.export.recipes import choose_recipe, find_recipe, recipes
from edgekit.models.kv import KVS


def test_every_recipe_has_a_gate():
    for recipe in recipes():
        assert recipe.max_relative_error is not None or recipe.min_snr_db is not None


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'int8'"):
        find_recipe("int9")


@pytest.mark.parametrize("profile", list_profiles(), ids=lambda profile: profile.name)
def test_every_device_has_a_known_recipe_and_format(profile):
    find_recipe(profile.default_recipe)
    assert "pte" in profile.formats


def choose(name, kv, kv_types):
    model = SimpleNamespace(name="gpt", refused_recipes={}, kv_types=kv_types)
    return choose_recipe(name, "fp32", model, kv)


@pytest.mark.parametrize(
    ("name", "kv", "kv_types", "label"),
    [
        ("fp32", None, KVS, "fp32"),
        ("fp32", "int8", KVS, "fp32-kv-int8"),
        ("int4", None, KVS, "int4"),
        ("int4", "fp16", KVS, "int4"),
        ("int4", "fp32", KVS, "int4-kv-fp32"),
        ("int4", None, ("fp32",), "int4-kv-fp32"),
        ("int4", None, (), "int4"),
    ],
)
def test_a_cache_that_is_not_the_recipes_is_in_the_bundles_name(name, kv, kv_types, label):
    assert choose(name, kv, kv_types).label == label


def test_a_cache_that_cannot_be_had():
    with pytest.raises(UsageError, match="gpt has no KV cache: leave --kv out"):
        choose("int4", "int8", ())
    with pytest.raises(UsageError, match="gpt takes a KV cache of fp32, not int8"):
        choose("int4", "int8", ("fp32",))


def test_a_rounded_cache_is_held_to_a_rounded_gate():
    exact, rounded = choose("fp32", "fp32", KVS), choose("fp32", "int8", KVS)
    assert (exact.max_relative_error, exact.min_snr_db) == (1e-4, None)
    assert (rounded.max_relative_error, rounded.min_snr_db) == (None, 10.0)
