"""`edgekit explain fit`: a dictionary and its card from a text, and one sentence for what does not fit."""

import json

import pytest

from edgekit.models.features.dictionary import load_dictionary

TEXT = "the red cat sees the old house, the tall dog likes a tree. the old dog sees a red house. " * 40
SMALL = ("--features", 6, "--set", "iterations=30", "--set", "tokens=400", "--set", "context=none", "-q")


@pytest.fixture
def fit(cli, text_checkpoints, tmp_path):
    """`fit("--layer", 1, ...)` of the small model on a small text, to d.safetensors."""
    (tmp_path / "words.txt").write_text(TEXT)
    checkpoint = text_checkpoints / "sea.safetensors"

    def run(*arguments):
        given = ("--checkpoint", checkpoint, "--data", tmp_path / "words.txt", "-o", tmp_path / "d.safetensors")
        return cli("explain", "fit", *given, *SMALL, *arguments)

    return run


def test_a_dictionary_a_table_and_the_next_command(fit, tmp_path):
    result = fit("--layer", 2, "--layer", 1, "--seed", 3)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[-2:] == [
        str(tmp_path / "d.safetensors"),
        f"Next: edgekit explain show {tmp_path / 'd.safetensors'} --layer 1",
    ]
    assert "unexplained" in result.out
    dictionary = load_dictionary(tmp_path / "d.safetensors")
    assert ([layer.layer for layer in dictionary.layers], dictionary.count) == ([1, 2], 6)
    command = (
        "edgekit explain fit --checkpoint sea.safetensors --data words.txt --layer 2 --layer 1 --features 6 "
        "--set context=none --set iterations=30 --set tokens=400 --seed 3 -o d.safetensors"
    )
    assert f"`{command}`" in (tmp_path / "d.md").read_text()

    before = (tmp_path / "d.safetensors").read_bytes()
    again = fit("--layer", 1)
    assert (again.code, again.out) == (2, "")
    assert "exists: choose another file with -o, or fit again with --force" in again.err
    assert (tmp_path / "d.safetensors").read_bytes() == before


def test_json(fit, tmp_path):
    result = fit("--layer", 1, "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["dictionary"] == str(tmp_path / "d.safetensors")
    assert found["fit"]["seed"] == 0
    assert found["fit"]["layers"][0]["layer"] == 1
    assert 0 < found["fit"]["layers"][0]["unexplained"] < 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "missing option '--layer'"),
        (("--layer", 7), "there is no layer 7: the model has the layers 1 to 2"),
        (("--layer", 1, "--features", 401), "401 features of 400 tokens"),
        (("--layer", 1, "--features", 0), "0 is not in the range"),
        (("--layer", 1, "--set", "iteration=3"), "did you mean 'iterations'"),
        (("--layer", 1, "--set", "init=kmeans"), "did you mean 'k-means'"),
        (("--layer", 1, "--set", "p=all"), "'all' is not a number"),
        (("--layer", 1, "--set", "device=abacus"), "torch has no device 'abacus' here"),
        (("--layer", 1, "--data", "nowhere"), "there is no file or folder nowhere"),
        (("--layer", 1, "--checkpoint", "nowhere"), "there is no checkpoint nowhere"),
    ],
)
def test_one_sentence_for_what_does_not_fit(fit, tmp_path, arguments, says):
    result = fit(*arguments)
    assert (result.code, result.out) == (2, "")
    assert says in result.err.lower() or says in result.err
    assert len(result.err.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"words.txt"}


def test_settings_are_listed(cli):
    listed = json.loads(cli("list", "settings", "--json").out)["settings"]
    own = {one["name"]: one for one in listed if one["command"] == "explain fit"}
    assert {"p", "tokens", "init", "levels", "device"} <= own.keys()
    assert not {"features", "seed"} & own.keys()
    assert all(one["meaning"] for one in own.values())
