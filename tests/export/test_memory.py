"""The memory of a program, predicted: its parts, its peak, and what lives when."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from edgekit import export_module
from edgekit.bundle import Bundle
from edgekit.devices.profile import load_profile
from edgekit.errors import EdgekitError
from edgekit.export.memory import largest_part
from edgekit.export.program_file import read_program
from edgekit.export.timeline import PARTS, RUNTIME, timeline

DEVICE = load_profile("linux-x86_64")


class Chain(nn.Module):
    """Three of edgekit's convolutions, then a delegate."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.last = nn.Conv2d(8, 1, 7, padding=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.sigmoid(self.last(self.convolutions(x)))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    samples = [(torch.rand(1, 1, side, side),) for side in (64, 96)]
    return export_module(Chain().eval(), samples, device=DEVICE.name, recipe="fp32", output_dir=folder, native=False)


@pytest.fixture(scope="module")
def program(bundle):
    return read_program((bundle.path / "program.pte").read_bytes())


def test_the_parts_at_the_peak_sum_up_to_it(bundle):
    memory = bundle.manifest["memory"]
    assert memory["peak"] == sum(memory["at_peak"].values())
    assert memory["peak"] >= memory["peak_load"] > memory["runtime"] >= RUNTIME["x86_64"]
    assert memory["measured"] == ["runtime"]
    assert None not in memory.values()
    assert largest_part(memory) == ("runtime", memory["at_peak"]["runtime"])
    by_method = memory["by_method"]
    assert by_method["forward_1x1x64x64"]["peak"] < by_method["forward_1x1x96x96"]["peak"] <= memory["peak"]


def test_the_timeline_has_every_step_and_every_part(bundle, program):
    steps = timeline(program, DEVICE, 0, share=True)
    assert [step.operator for step in steps[:1]] == ["open"]
    ran = [step for step in steps if not step.loading]
    assert [step.operator for step in ran] == [call.operator for method in program.methods for call in method.calls]
    assert all(set(step.parts) == set(PARTS) for step in steps)
    assert max(step.total for step in steps) == bundle.manifest["memory"]["peak"]


def test_what_lives_in_the_arena_is_what_the_plan_says(bundle, program):
    planned = bundle.manifest["memory"]["planned_arena"]
    steps = [step for step in timeline(program, DEVICE, 0, share=True) if not step.loading]
    assert all(step.parts["arena"] + step.parts["arena_idle"] == planned for step in steps)
    # The second convolution reads one map of 8 channels and writes another.
    assert max(step.parts["arena"] for step in steps) == 2 * 4 * 8 * 96 * 96


def test_scratch_and_workspace_grow_with_the_threads(program):
    def scratch(threads: int) -> int:
        device = replace(DEVICE, cpu=replace(DEVICE.cpu, cores=threads))
        return timeline(program, device, 0, share=True)[-1].parts["operator_scratch"]

    assert 0 < scratch(1) < scratch(4)


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "delegate"])
def test_a_damaged_program_file_is_refused_in_a_sentence(bundle, damage):
    data = (bundle.path / "program.pte").read_bytes()
    damaged = {
        "cut": data[: len(data) // 3],
        "noise": data[:8] + bytes(reversed(data[8:])),
        "empty": b"",
        "delegate": data.replace(b"XH00", b"XH99").replace(b"XN01", b"XN99"),
    }[damage]
    with pytest.raises(EdgekitError, match=r"cannot be read: copy the bundle again, or export"):
        read_program(damaged)


def test_inspect_shows_and_draws_the_steps(cli, bundle, tmp_path):
    picture = tmp_path / "memory.png"
    result = cli("inspect", bundle.path, "--memory", "--picture", picture)
    assert result.code == 0
    assert "edgekit::conv2d" in result.out
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = json.loads(cli("inspect", bundle.path, "--memory", "--json").out)
    assert found["device"] == DEVICE.name
    assert max(step["total"] for step in found["steps"]) == bundle.manifest["memory"]["peak"]
    assert cli("inspect", bundle.path, "--picture", tmp_path / "memory.jpg").code == 2
    assert not Path(tmp_path / "memory.jpg").exists()


def test_the_parts_are_shown_with_their_share_of_the_peak(cli, bundle):
    said = cli("inspect", bundle.path).out
    for word in ("at the peak", "(measured)", "peak while it loads", "peak, 2 threads"):
        assert word in said
    assert Bundle.open(bundle.path).manifest["memory"]["threads"] == 2
