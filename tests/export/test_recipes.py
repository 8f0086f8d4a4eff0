import pytest

from edgekit.devices.profile import list_profiles
from edgekit.errors import UsageError
from edgekit.export import executorch
from edgekit.export.recipes import find_recipe, recipes


def test_every_recipe_has_a_gate():
    for recipe in recipes():
        assert recipe.max_relative_error is not None or recipe.min_snr_db is not None


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'int8'"):
        find_recipe("int9")


@pytest.mark.parametrize("profile", list_profiles(), ids=lambda profile: profile.name)
def test_every_device_has_a_known_recipe_and_format(profile):
    find_recipe(profile.default_recipe)
    assert executorch.FORMAT in profile.formats
