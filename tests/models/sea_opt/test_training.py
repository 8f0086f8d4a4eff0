"""Training: resumed runs equal uninterrupted ones, students come close to their teacher, bad requests are refused."""

from dataclasses import replace

import pytest
import torch

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.sea_opt.config import OPTConfig, SEAConfig
from edgekit.models.sea_opt.opt import OPT
from edgekit.models.sea_opt.perplexity import likelihood
from edgekit.models.sea_opt.training import Streams, TrainingOptions, distil, train_teacher

CONFIG = OPTConfig(12, 16, 32, 2, 2, 48, 16)
SEA = SEAConfig(cells=8, k_budget=4, features=4, positions=48)
OPTIONS = TrainingOptions(epochs=4, teacher_epochs=4, steps=3, batch=2, teacher_learning_rate=1e-2)


class Stopped(Exception):  # noqa: N818
    pass


@pytest.fixture(scope="module")
def streams():
    """Tokens that repeat what stood 3 places before, but for one in ten."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(12, (3000,), generator=generator)
    for place in range(3, 3000):
        if torch.rand(1, generator=generator) > 0.1:
            tokens[place] = tokens[place - 3]
    return Streams("repeats", tokens[:2700], tokens[2700:])


def new_module():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return OPT(CONFIG, None, 0.1)


def stage(name, teacher, streams, options, state, on_epoch=lambda report: None):
    if name == "teacher":
        return train_teacher(new_module(), streams, options, state, on_epoch=on_epoch)
    return distil(teacher, SEA if name == "student" else None, streams, options, state, on_epoch=on_epoch)


@pytest.mark.parametrize("name", ["teacher", "student", "control"])
def test_a_resumed_run_is_the_uninterrupted_one(streams, tmp_path, name):
    teacher = new_module().eval().requires_grad_(False)

    def stop(report):
        if report.epoch == 2:
            raise Stopped

    before = torch.random.get_rng_state()
    whole = stage(name, teacher, streams, OPTIONS, tmp_path / "whole.state")
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(1)  # torch's own random numbers are no part of a run
    with pytest.raises(Stopped):
        stage(name, teacher, streams, OPTIONS, tmp_path / "state", stop)
    reports = []
    resumed = stage(name, teacher, streams, OPTIONS, tmp_path / "state", reports.append)
    assert [report.epoch for report in reports] == [3, 4]
    for key, value in whole.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[key], value), key
    assert resumed.training == whole.training
    assert not any(parameter.requires_grad for parameter in whole.module.parameters())
    with pytest.raises(EdgekitError, match="belongs to a run with other data or settings"):
        stage(name, teacher, streams, replace(OPTIONS, batch=3), tmp_path / "state")
    # The finished state alone gives the result again.
    again = stage(name, teacher, streams, OPTIONS, tmp_path / "state")
    assert torch.equal(again.module.decoder.embed_tokens.weight, whole.module.decoder.embed_tokens.weight)


@pytest.mark.slow
def test_a_student_learns_from_its_teacher(streams, tmp_path):
    def perplexity(module):
        return likelihood(module, streams.held_out, 48).perplexity

    long = replace(OPTIONS, teacher_epochs=8, steps=60, batch=8)
    teacher = train_teacher(new_module(), streams, long, tmp_path / "teacher.state").module
    options = replace(OPTIONS, epochs=4, steps=40, batch=8, estimator_learning_rate=5e-3, learning_rate=1e-3)
    reports = []
    student = stage("student", teacher, streams, options, tmp_path / "state", reports.append)
    untrained = OPT(CONFIG, SEA).eval()
    untrained.load_state_dict(teacher.state_dict(), strict=False)
    assert perplexity(teacher) < 4
    assert reports[-1].loss < 0.7 * reports[0].loss
    assert perplexity(student.module) < 1.1 * perplexity(teacher) < 0.5 * perplexity(untrained)
    assert student.training["held_out_perplexity"] == pytest.approx(perplexity(student.module), rel=1e-3)
    assert student.training["held_out_perplexity"] == pytest.approx(
        min(report.perplexity for report in reports), rel=1e-3
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"context": 49}, "windows of 49 tokens do not fit a model for 48"),
        ({"batch": 0}, "batch of at least 1"),
        ({"dropout": 1.0}, "dropout of 0 or more and below 1"),
        ({"learning_rate": float("nan")}, "learning_rate that is finite"),
        ({"held_out": 0.0}, "held_out above 0"),
    ],
)
def test_options_that_do_not_fit(streams, tmp_path, change, says):
    with pytest.raises(UsageError, match=says):
        stage("teacher", None, streams, replace(OPTIONS, **change), tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def test_too_little_text_and_divergence(streams, tmp_path):
    with pytest.raises(UsageError, match="few has 48 tokens to train on, 49 or more are needed"):
        stage("teacher", None, Streams("few", streams.train[:48], streams.held_out), OPTIONS, tmp_path / "state")
    with pytest.raises(EdgekitError, match="diverged in epoch 1"):
        stage("teacher", None, streams, replace(OPTIONS, teacher_learning_rate=1e30), tmp_path / "state")
    assert list(tmp_path.iterdir()) == []
