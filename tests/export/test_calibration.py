"""Calibration: how observers find ranges, how many inputs they see, and data that they cannot take."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.errors import UsageError
from edgekit.export.capture import capture
from edgekit.export.module import ModuleModel
from edgekit.export.percentile import LEFT_OUT, PercentileObserver
from edgekit.export.quantize import calibration_inputs, quantize
from edgekit.export.recipes import change_recipe, find_recipe


def test_the_percentile_observer_leaves_out_the_rarest():
    observer = PercentileObserver(dtype=torch.int8, qscheme=torch.per_tensor_affine, quant_min=-128, quant_max=127)
    values = torch.randn(400_000, generator=torch.Generator().manual_seed(0))
    for part in values.split(100_000):
        observer(part)
    observer(torch.tensor([20.0, -9.0]))
    scale, zero_point = observer.calculate_qparams()
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    # As exact as 2048 bins of the whole range, beside one step of int8.
    for end, share in ((low, LEFT_OUT), (high, 1 - LEFT_OUT)):
        assert float(end) == pytest.approx(float(values.double().quantile(share)), abs=29 / 2048 + float(scale) + 0.1)


class Recording(ModuleModel):
    """Counts what it is asked for."""

    def calibration(self, method, count):
        self.asked = count
        return super().calibration(method, count)


@pytest.fixture
def model() -> Recording:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    inputs = torch.linspace(-1, 1, 4 * 400).reshape(-1, 1, 4)
    inputs[7, 0, 0] = 50.0  # rare: one in 1600
    return Recording(module, (torch.rand(1, 4),), None, [(one,) for one in inputs], 0)


def input_range(model: Recording, **changes: object) -> tuple[float, float]:
    """What the program takes for the range of its input."""
    methods = model.methods()
    recipe = change_recipe(find_recipe("int8"), **changes)
    graph = quantize(model, capture(model.module, methods), methods, recipe)["forward"]
    first = next(node for node in graph.graph.nodes if ".quantize_per_tensor" in str(node.target))
    _, scale, zero_point, low, high, *_ = first.args
    return (low - zero_point) * scale, (high - zero_point) * scale


def test_observers_find_different_ranges(model):
    assert input_range(model, observer="extremes")[1] == pytest.approx(50, rel=0.02)
    assert model.asked == model.calibration_samples
    assert input_range(model)
    assert model.asked == model.calibration_samples
    assert input_range(model, observer="extremes", samples=5) == pytest.approx((-1, 0), abs=0.03)
    assert model.asked == 5


def test_percentiles_leave_out_one_in_a_hundred_thousand(model):
    module = nn.Sequential(nn.Linear(1000, 8), nn.ReLU()).eval()
    inputs = [(torch.linspace(-1, 1, 1000)[None],) for _ in range(128)]
    inputs[3] = (inputs[3][0].clone(),)
    inputs[3][0][0, 0] = 50.0
    model = Recording(module, inputs[0], None, inputs, 0)
    assert input_range(model, observer="percentile")[1] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "has no data to calibrate int8 on: give some with --data"),
        ([(torch.zeros(1, 5),)], "float32 1x5 does not fit method 'forward': it takes float32 1x4"),
        ([(torch.zeros(1, 4, dtype=torch.int64),)], "int64 1x4 does not fit method 'forward'"),
    ],
)
def test_data_that_cannot_be_taken(model, monkeypatch, given, says):
    monkeypatch.setattr(model, "calibration", lambda method, count: given)
    with pytest.raises(UsageError, match=says):
        calibration_inputs(model, model.methods()[0], find_recipe("int8"))
    with pytest.raises(UsageError, match=says):
        quantize(model, capture(model.module, model.methods()), model.methods(), find_recipe("int8"))


@pytest.mark.parametrize(
    ("recipe", "changes", "says"),
    [
        ("fp16", {"samples": 5}, "--samples is for recipes that are calibrated, which fp16 is not"),
        ("int4", {"observer": "extremes"}, "--observer is for recipes that are calibrated, which int4 is not"),
        ("fp32", {"keep_fp32": ("a",)}, "--keep-fp32 is for recipes that round, which fp32 does not"),
    ],
)
def test_changes_that_a_recipe_does_not_take(recipe, changes, says):
    with pytest.raises(UsageError, match=says):
        change_recipe(find_recipe(recipe), **changes)
