"""`edgekit train sea-opt` and `edgekit evaluate sea-opt`: three checkpoints, a card, perplexities."""

import json
import math
import re
import sys

import pytest
import torch
from torch.nn import functional

from edgekit.models.sea_opt.checkpoint import load_checkpoint

SHAPE = {
    "vocab_size": 300,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
    "cells": 8,
    "k_budget": 4,
}
QUICK = {"steps": 4, "batch": 2, "teacher_epochs": 1, "held_out": 0.1}


def settings(values):
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def train(cli, data, output, *more, values=SHAPE | QUICK):
    return cli("train", "sea-opt", "--data", data, "-o", output, "--epochs", 2, "-q", *settings(values), *more)


@pytest.fixture(scope="module")
def trained(words, tmp_path_factory):
    """The folder of a short training."""
    from edgekit.cli.main import run

    folder = tmp_path_factory.mktemp("runs")
    command = ["train", "sea-opt", "--data", words, "-o", folder, "--epochs", 2, "-q", *settings(SHAPE | QUICK)]
    assert run([str(word) for word in command]) == 0
    return folder


def test_checkpoints_and_card(trained, words):
    names = {"base.safetensors", "base.teacher.safetensors", "base.control.safetensors", "base.md"}
    assert {path.name for path in trained.iterdir()} == names
    student, teacher, control = (
        load_checkpoint(trained / f"base{kind}.safetensors") for kind in ("", ".teacher", ".control")
    )
    assert student.module.sea.k_budget == 4
    assert teacher.module.sea is control.module.sea is None
    assert student.module.config.ffn_dim == 64
    assert student.tokenizer.to_json() == teacher.tokenizer.to_json() == control.tokenizer.to_json()
    assert (student.training["stage"], student.training["steps"]) == ("student", 8)
    card = (trained / "base.md").read_text()
    assert "| student, SEA | 16 | 32 |" in card
    assert "| teacher |  | 32 |" in card
    assert "--set vocab_size=300" in card
    assert str(words.parent) not in card


def test_the_same_seed_gives_the_same_bytes(cli, trained, words, tmp_path):
    assert train(cli, words, tmp_path / "again.safetensors").code == 0
    for kind in ("", ".teacher", ".control"):
        expected = (trained / f"base{kind}.safetensors").read_bytes()
        assert (tmp_path / f"again{kind}.safetensors").read_bytes() == expected


def test_a_run_goes_on_at_the_stage_where_it_stopped(cli, trained, words, tmp_path, monkeypatch):
    from edgekit.models.sea_opt import train as module

    distil, trained_now = module.distil, []

    def stop(*arguments, **keywords):
        if arguments[1] is not None:
            raise KeyboardInterrupt
        return distil(*arguments, **keywords)

    monkeypatch.setattr(module, "distil", stop)
    path = tmp_path / "base.safetensors"
    assert train(cli, words, path).code == 130
    assert {each.name for each in tmp_path.iterdir()} == {"base.teacher.state", "base.control.state"}

    def follow(report):
        trained_now.append(report.stage)

    monkeypatch.setattr(
        module,
        "distil",
        lambda *arguments, **keywords: distil(*arguments, **keywords | {"on_epoch": follow}),
    )
    assert train(cli, words, path).code == 0
    assert trained_now == ["student", "student"]
    assert {each.name for each in tmp_path.iterdir()} == {each.name for each in trained.iterdir()}
    assert path.read_bytes() == (trained / "base.safetensors").read_bytes()


def test_what_a_log_says(cli, words, tmp_path, monkeypatch):
    from edgekit.models.sea_opt import train as module

    command = ["train", "sea-opt", "--data", words, "-o", tmp_path, "--epochs", 2, *settings(SHAPE | QUICK)]
    distil = module.distil

    def stop(*arguments, **keywords):
        def follow(report):
            raise KeyboardInterrupt

        return distil(*arguments, **keywords | ({"on_epoch": follow} if arguments[1] is not None else {}))

    with monkeypatch.context() as patch:
        patch.setattr(module, "distil", stop)
        first = cli(*command)
    assert first.code == 130
    assert re.search(r"sea-opt control: loss \S+, held-out perplexity \S+ \(1 of 2 epochs done, \S+ s\)\n", first.err)
    assert "goes on after" not in first.err
    again = cli(*command)
    assert again.code == 0
    assert "teacher: finished before, all 1 epochs" in again.err
    assert "control: finished before, all 2 epochs" in again.err
    assert "student: goes on after epoch 1 of 2" in again.err
    assert re.search(r"sea-opt student: loss .* \(2 of 2 epochs done", again.err)
    assert "sea-opt student: measuring on the test part (" in again.err


def test_without_the_package_for_text(cli, words, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    result = train(cli, words, tmp_path / "runs")
    assert (result.code, result.out) == (2, "")
    assert "pip install tokenizers" in result.err
    assert not (tmp_path / "runs").exists()


def test_a_given_teacher(cli, trained, words, tmp_path):
    shape = {name: SHAPE[name] for name in ("cells", "k_budget")}
    teacher = {"teacher": trained / "base.teacher.safetensors"}
    quick = {name: QUICK[name] for name in ("steps", "batch", "held_out")}
    result = train(cli, words / "one.txt", tmp_path, "--json", values=shape | quick | teacher)
    assert (result.code, result.err) == (0, "")
    names = [path.rsplit("/", 1)[-1] for path in json.loads(result.out)["checkpoints"]]
    assert names == ["base.control.safetensors", "base.safetensors"]
    assert "Not measured" in (tmp_path / "base.md").read_text()
    assert "base.teacher.safetensors" in (tmp_path / "base.md").read_text()
    assert "runs" not in (tmp_path / "base.md").read_text()
    for wrong, says in (
        ({"teacher": trained / "base.safetensors"}, "has SEA's attention: give a dense one"),
        (teacher | {"hidden_size": 16}, "has its shape already"),
        ({"teacher": tmp_path / "none"}, "there is no checkpoint"),
    ):
        result = train(cli, words, tmp_path / "other", values=quick | wrong)
        assert (result.code, result.out) == (2, "")
        assert says in result.err
        assert not (tmp_path / "other").exists()


def test_what_is_there_is_kept(cli, trained, words):
    before = (trained / "base.safetensors").read_bytes()
    result = train(cli, words, trained / "base.safetensors")
    assert (result.code, result.out) == (2, "")
    assert "or train again with --force" in result.err
    assert train(cli, words, trained).code == 0
    result = train(cli, words, trained, "--seed", 3, "--set", "cells=16")
    assert (result.code, result.out) == (2, "")
    assert "was trained with other settings (cells 8 there, 16 now; seed 0 there, 3 now)" in result.err
    assert "data grammar there, one.txt now" in train(cli, words / "one.txt", trained).err
    assert (trained / "base.safetensors").read_bytes() == before


def test_states_of_other_settings(cli, words, tmp_path, monkeypatch):
    from edgekit.models.sea_opt import train as module

    def stop(*arguments, **keywords):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "distil", stop)
        assert train(cli, words, tmp_path).code == 130
    (tmp_path / "base.control.state").write_bytes(b"")
    result = train(cli, words, tmp_path, "--seed", 3)
    assert (result.code, result.out) == (2, "")
    assert "(seed 0 there, 3 now)" in result.err
    assert f"delete {tmp_path / 'base.teacher.state'}, {tmp_path / 'base.control.state'} to start again" in result.err


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("cells=96", "power of two"),
        ("hidden_size=17", "multiple of the 2 heads"),
        ("layers=2", "unknown setting 'layers'"),
        ("device=gpu7", "no device 'gpu7'"),
        ("tokenizer=nowhere", "nowhere has no tokenizer"),
        ("context=64", "windows of 64 tokens do not fit a model for 32"),
    ],
)
def test_settings_that_do_not_fit(cli, words, tmp_path, setting, says):
    result = train(cli, words, tmp_path / "runs", "--set", setting)
    assert (result.code, result.out) == (2, "")
    assert says in result.err
    assert not (tmp_path / "runs").exists()


def test_only_test_texts(cli, words, tmp_path):
    (tmp_path / "test.txt").write_text((words / "one.txt").read_text())
    result = train(cli, tmp_path, tmp_path / "runs")
    assert result.code == 2
    assert "texts to test on only" in result.err


def test_perplexities(cli, trained, words):
    path = trained / "base.safetensors"
    result = cli("evaluate", "sea-opt", "--checkpoint", path, "--data", words, "--json", "-q")
    assert (result.code, result.err) == (0, "")
    rows = json.loads(result.out)["metrics"]
    assert [(row["system"], row["k"]) for row in rows] == [("student, SEA", k) for k in (4, 16, 32, 64)]
    checkpoint = load_checkpoint(path)
    text = (words / "grammar.test.txt").read_text()
    tokens = torch.tensor(checkpoint.tokenizer.encode(text))
    total = 0.0
    for start in range(0, len(tokens) - 1, 32):
        window = tokens[start : start + 33]
        logits = checkpoint.module(window[None, :-1])[0]
        total += functional.cross_entropy(logits, window[1:], reduction="sum").item()
    assert rows[0]["tokens"] == len(tokens) - 1
    assert rows[0]["perplexity"] == pytest.approx(math.exp(total / (len(tokens) - 1)), rel=1e-4)
    assert rows[0]["words"] == len(text.split())
    assert rows[0]["word_perplexity"] == pytest.approx(math.exp(total / len(text.split())), rel=1e-3)
    assert "perplexity per word" in cli("evaluate", "sea-opt", "--checkpoint", path, "--data", words, "-q").out


def test_a_folder_of_transformers(cli, words, tmp_path, build):
    module = build(sea=None)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "opt"} | module.config.to_dict()))
    torch.save(module.state_dict(), tmp_path / "pytorch_model.bin")
    result = cli("evaluate", "sea-opt", "--checkpoint", tmp_path, "--data", words, "-q")
    assert (result.code, result.out) == (1, "")
    assert "has no tokenizer" in result.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--recipe", "fp33"), "did you mean 'fp32'"),
        (("--pictures", "drawn"), "leave --pictures out"),
        (("--variant", "125m"), "is not of variant '125m'"),
        (("--variant", "126m"), "did you mean '125m'"),
    ],
)
def test_evaluations_that_do_not_fit(cli, trained, words, options, says):
    result = cli("evaluate", "sea-opt", "--data", words, "-q", "--checkpoint", trained / "base.safetensors", *options)
    assert (result.code, result.out) == (2, "")
    assert says in result.err
