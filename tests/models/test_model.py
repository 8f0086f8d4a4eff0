"""What models share at export."""

from pathlib import Path

import pytest

from edgekit.models.model import custom_variant


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        (None, "custom"),
        ("My_Model v2.safetensors", "my-model-v2"),
        ("opt-tiny", "opt-tiny"),
        ("OWNER/Some.Model", "some-model"),
        ("base.safetensors", "custom-base"),
        ("Ω.safetensors", "custom"),
        ("folder/..", "place"),
    ],
)
def test_a_shape_without_a_name_is_called_as_its_checkpoint(checkpoint, name, tmp_path, monkeypatch):
    place = tmp_path / "place"
    (place / "folder").mkdir(parents=True)
    monkeypatch.chdir(place)
    if checkpoint is not None and checkpoint.endswith(".safetensors"):
        Path(checkpoint).touch()
    assert custom_variant(None if checkpoint is None else Path(checkpoint), ("base", "125m")) == name
