"""Blocks that cost, one of them planted: between its layers one channel is so wide that int8 drowns the others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from edgekit.devices.profile import load_profile
from edgekit.errors import GateError, UsageError
from edgekit.export.accuracy import Accuracy
from edgekit.export.max_drop import hold_drop
from edgekit.export.module import ModuleModel
from edgekit.export.pipeline import export
from edgekit.export.quantized import torch_predict
from edgekit.export.recipes import find_recipe
from edgekit.export.sensitivity import (
    BlockCost,
    Measuring,
    Sensitivity,
    check_rounds,
    everything_but,
    measure_sensitivity,
)
from edgekit.export.sensitivity_file import kept_sensitivity, place_of
from edgekit.export.verify import OutputError
from edgekit.models.metrics import Drop, Metric, TaskMetrics
from edgekit_runtime import Session

HOST = load_profile("linux-x86_64")
# The planted block is to miss the metric, not the bound of the noise; and a histogram would clip the wide channel.
INT8 = replace(find_recipe("int8"), min_snr_db=None, observer="extremes")
BLOCKS = ("first", "spoiled", "last")


class Classifier(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(8, 16), nn.ReLU())
        self.spoiled = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
        self.last = nn.Linear(16, 4)
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, nn.Linear):
                    layer.bias.zero_()  # the answers are the input's
            # Exact in fp32: the channel that is multiplied is not read.
            self.spoiled[0].weight[3] = self.spoiled[0].weight[3].abs() * factor
            self.spoiled[2].weight[:, 3] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.spoiled(self.first(x)))


class Labelled(ModuleModel):
    """A classifier whose labels are its own answers; measured by hits, or by misses, which are better when fewer."""

    def __init__(self, factor: float = 1e4, misses: bool = False) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            module = Classifier(factor).eval()
            calibration = [(torch.randn(1, 8),) for _ in range(50)]
            self.inputs = torch.randn(200, 8)
        super().__init__(module, calibration[0], "classifier", calibration, 0)
        self.misses = misses
        with torch.no_grad():
            self.labels = module(self.inputs).argmax(1)

    def blocks(self) -> list[str]:
        return list(BLOCKS)

    def task_metrics(self, predict, samples=None):
        inputs = self.inputs[:samples]
        if predict is None:
            with torch.no_grad():
                answers = self.module(inputs)
        else:
            answers = torch.cat([torch.from_numpy(predict("forward", (row[None].numpy(),))[0]) for row in inputs])
        hits = float((answers.argmax(1) == self.labels[:samples]).float().mean())
        metric = Metric("misses", 1.0 + 1.0 - hits, False) if self.misses else Metric("accuracy", hits)
        return TaskMetrics((metric,), "drawn inputs", len(inputs), "inputs")


@pytest.fixture(scope="module")
def planted() -> tuple[Measuring, Sensitivity, list[str]]:
    measuring, told = Measuring(Labelled(), HOST, drop=Drop(0.05)), []
    return measuring, measure_sensitivity(measuring, INT8, BLOCKS, told.append), told


def test_the_planted_block_comes_first(planted):
    _, found, told = planted
    assert told == ["all", *BLOCKS]
    first, *others = found.blocks
    assert first.block == "spoiled"
    assert first.loss > 0.2
    assert first.snr_db < 10
    assert all(abs(other.loss) < 0.05 and other.snr_db > 20 for other in others)
    assert found.whole.loss == pytest.approx(first.loss, abs=0.05)
    assert (found.metric, found.better, found.eager, found.samples) == ("accuracy", "higher", 1.0, 200)
    parameters = {cost.block: cost.parameters for cost in found.blocks}
    assert parameters == {"first": 8 * 16 + 16, "spoiled": 2 * (16 * 16 + 16), "last": 16 * 4 + 4}
    assert found.whole.parameters == sum(parameters.values())


@pytest.mark.slow
def test_a_metric_that_is_better_when_lower(planted):
    measuring = Measuring(Labelled(misses=True), HOST, drop=Drop(0.1, relative=True))
    accuracy = measuring.accuracy(INT8)
    assert accuracy.loss == pytest.approx(planted[1].whole.loss, abs=1e-5)
    assert "at most 0.1 above the eager model's 1 is allowed" in accuracy.failures[0]


def test_where_the_metric_is_the_same_noise_decides(planted):
    class Noisy:
        """Stands in for a model whose blocks cost nothing, with noise by the number of modules that stay in fp32."""

        model, eager = planted[0].model, planted[0].eager

        def accuracy(self, recipe):
            ratio = {0: 9.0, 2: 30.0, 3: 12.0}[len(recipe.keep_fp32)]
            return Accuracy(1, [OutputError("forward", "y", 1.0, 0.1, ratio, 0.0)], self.eager, self.eager, 0.0, [])

    found = measure_sensitivity(Noisy(), INT8, ("first", "spoiled.0"))
    assert [(cost.block, cost.snr_db) for cost in found.blocks] == [("spoiled.0", 12.0), ("first", 30.0)]


def test_keeping_the_planted_block_holds_the_drop(planted):
    measuring, sensitivity, _ = planted
    found, tries = hold_drop(measuring, INT8, lambda: sensitivity)
    assert found.kept == ("spoiled",)
    assert found.recipe.label == "int8-mixed"
    assert [(item.kept, item.holds) for item in tries] == [((), False), (("spoiled",), True)]
    assert found.accuracy.loss < 0.05


@pytest.mark.slow
def test_nothing_is_kept_where_the_recipe_holds_as_it_is(planted):
    def never() -> Sensitivity:
        raise AssertionError("not needed")

    found, tries = hold_drop(Measuring(Labelled(factor=1.0), HOST, drop=Drop(0.3, relative=True)), INT8, never)
    assert (found.kept, found.recipe, len(tries)) == ((), INT8, 1)


@pytest.mark.parametrize(("needed", "counts"), [(1, [0, 1]), (3, [0, 1, 2, 4, 3]), (5, [0, 1, 2, 4, 6, 5])])
def test_the_fewest_blocks_are_searched_for(needed: int, counts: list[int]):
    class Counting:
        """Stands in for a model of six blocks whose gate holds from so many on."""

        model = Labelled()
        eager = model.task_metrics(None)

        def accuracy(self, recipe):
            real = type("Accuracy", (), {})()
            real.failures = [] if len(recipe.keep_fp32) >= needed else ["too far"]
            real.found = self.eager
            return real

    blocks = tuple(BlockCost(f"b{index}", 1, 1.0 - index / 10, 10.0) for index in range(6))
    costs = Sensitivity("int8", "accuracy", "higher", 1.0, "", 1, "", blocks[0], blocks)
    told: list[int] = []
    found, tries = hold_drop(Counting(), INT8, lambda: costs, told.append)
    assert found.kept == tuple(f"b{index}" for index in range(needed))
    assert told == counts
    assert [len(item.kept) for item in tries] == counts


@pytest.mark.slow
def test_where_no_block_helps_every_try_is_said(planted):
    measuring, sensitivity, _ = planted
    others = replace(sensitivity, blocks=sensitivity.blocks[1:])
    with pytest.raises(GateError, match=r"even with all 2 blocks in fp32: accuracy .*kept 0: .*kept 1: .*kept 2: "):
        hold_drop(measuring, INT8, lambda: others)


def test_what_rounds_nothing_is_refused(planted):
    with pytest.raises(UsageError, match="fp32 rounds nothing"):
        check_rounds(find_recipe("fp32"))
    with pytest.raises(UsageError, match="has no block that int8 rounds"):
        measure_sensitivity(planted[0], INT8, ())


@pytest.mark.slow
def test_a_model_without_labels_is_ranked_by_noise_and_has_no_drop():
    class Unlabelled(Labelled):
        def task_metrics(self, predict, samples=None):
            return None

    measuring = Measuring(Unlabelled(), HOST, drop=Drop(0.05))
    found = measure_sensitivity(measuring, INT8, ("spoiled",))
    assert found.blocks[0].loss is None
    assert found.blocks[0].snr_db < 10
    assert Sensitivity.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    with pytest.raises(UsageError, match="no labelled data"):
        hold_drop(measuring, INT8, lambda: found)


def test_everything_but_a_block():
    module = Classifier(1.0)
    assert everything_but([module], "spoiled") == ("first", "last")
    assert everything_but([module], "spoiled.2") == ("first", "spoiled.0", "last")
    assert everything_but([module], "spoiled.?") == ("first", "last")
    assert everything_but([module, nn.ModuleDict({"more": nn.Linear(1, 1), "relu": nn.ReLU()})], "*st") == (
        "spoiled",
        "more",
    )


@pytest.mark.slow
def test_torch_and_the_program_agree(tmp_path):
    model = Labelled(factor=1.0)
    bundle = export(model, HOST, INT8, tmp_path / "bundle", native=False, max_drop=Drop(0.3))
    session, predict = Session(bundle), torch_predict(model, INT8, HOST)
    for row in model.inputs[:50]:
        (in_torch,), (on_device,) = predict("forward", (row[None].numpy(),)), session.run(row[None].numpy())
        step = max(abs(in_torch).max(), 1) / 64
        assert abs(in_torch - on_device).max() < step


# What was measured is kept


@pytest.fixture
def once(planted, monkeypatch):
    """The planted model; its sensitivity is not measured anew, but the measuring is told."""

    def measure(measuring, recipe, blocks, on_block):
        for block in ("all", *blocks):
            on_block(block)
        costs = {cost.block: cost for cost in planted[1].blocks}
        return replace(planted[1], blocks=tuple(costs[block] for block in blocks))

    monkeypatch.setattr("edgekit.export.sensitivity_file.measure_sensitivity", measure)
    measuring = planted[0]
    return measuring, measure(measuring, INT8, BLOCKS, lambda block: None)


def again(measuring: Measuring, place, recipe=INT8, blocks=BLOCKS):
    """The sensitivity, what was measured for it, and what was said."""
    told: list[str] = []
    said: list[str] = []
    return kept_sensitivity(measuring, recipe, blocks, place, told.append, said.append), told, said


def test_it_is_measured_once(once, tmp_path):
    measuring, measured = once
    place = tmp_path / "model.int8.sensitivity.json"
    first, told, said = again(measuring, place)
    assert (first, told, said) == (measured, ["all", *BLOCKS], [])
    second, told, said = again(Measuring(Labelled(), HOST), place)
    assert (second, told) == (measured, [])
    assert str(place) in said[0]


@pytest.mark.parametrize("change", ["weights", "recipe", "blocks", "evaluation", "calibration", "tools"])
def test_it_is_measured_again_where_something_is_another(once, tmp_path, monkeypatch, change: str):
    place, model, recipe, blocks = tmp_path / "a.json", Labelled(), INT8, BLOCKS
    again(once[0], place)
    if change == "weights":
        model.module.last.weight.data[0, 0] += 1e-3
    elif change == "recipe":
        recipe = replace(INT8, samples=20)
    elif change == "blocks":
        blocks = ("first", "spoiled")
    elif change == "evaluation":
        model.labels[0] = (model.labels[0] + 1) % 4
    elif change == "calibration":
        model._calibration[0][0][0, 0] += 1
    else:
        monkeypatch.setattr("edgekit.export.sensitivity_file.tool_versions", lambda: {"torch": "another"})
    _, told, said = again(Measuring(model, HOST), place, recipe, blocks)
    assert (told, said) == (["all", *blocks], [])
    assert again(Measuring(model, HOST), place, recipe, blocks)[1] == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no JSON",
        "[]",
        '{"shopping": ["milk"]}',
        '{"format": "edgekit sensitivity 1"}',
        '{"format": "edgekit sensitivity 2", "of": {}, "sensitivity": {}}',
    ],
)
def test_a_foreign_file_is_left_alone(once, tmp_path, content: str):
    place = tmp_path / "a.json"
    place.write_text(content)
    found, told, said = again(once[0], place)
    assert (found, told) == (once[1], ["all", *BLOCKS])
    assert "holds no sensitivity" in said[0]
    assert place.read_text() == content


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("loss", "much"),
        ("loss", float("inf")),
        ("parameters", 1.5),
        ("block", None),
        ("snr_db", True),
        ("block", "other"),
    ],
)
def test_a_changed_table_is_not_believed(once, tmp_path, field: str, value: object):
    place = tmp_path / "a.json"
    again(once[0], place)
    fields = json.loads(place.read_text())
    fields["sensitivity"]["blocks"][0][field] = value
    place.write_text(json.dumps(fields))
    found, told, _ = again(once[0], place)
    assert (found, told) == (once[1], ["all", *BLOCKS])


def test_where_nothing_can_be_written_it_is_measured_all_the_same(once, tmp_path):
    (tmp_path / "file").write_text("")
    found, _, said = again(once[0], tmp_path / "file" / "a.json")
    assert found == once[1]
    assert "not kept for the next time" in said[0]


def test_where_it_is_kept(once, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    checkpoint = tmp_path / "pump.safetensors"
    checkpoint.write_text("")
    assert place_of(once[0], INT8, checkpoint) == tmp_path / "pump.safetensors.int8.sensitivity.json"
    assert place_of(once[0], INT8, None).is_relative_to(tmp_path / "cache")
    monkeypatch.setattr("os.access", lambda *_: False)
    assert place_of(once[0], INT8, checkpoint).is_relative_to(tmp_path / "cache")
