"""What the training of every model shares: states, settings, denormals."""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.settings import read_settings, refuse_settings, settable
from edgekit.models.training import TrainingState, differences, flushed_denormals


def state(run: dict[str, object], seed: int) -> TrainingState:
    module = torch.nn.Linear(2, 2)
    parts = {"module": module, "optimizer": torch.optim.Adam(module.parameters())}
    return TrainingState(run, torch.Generator().manual_seed(seed), parts, {"best": torch.zeros(2), "score": -1.0})


def test_a_state_comes_back(tmp_path):
    path = tmp_path / "run.state"
    first, second = state({"rate": 1}, 1), state({"rate": 1}, 2)
    assert second.load(path) == 0
    torch.rand(5, generator=first.generator)
    first.kept = {"best": torch.ones(2), "score": 0.5}
    first.save(path, 3)
    wanted = torch.rand(1, generator=first.generator)
    assert second.load(path) == 3
    assert torch.equal(torch.rand(1, generator=second.generator), wanted)
    assert torch.equal(second.parts["module"].weight, first.parts["module"].weight)
    assert torch.equal(second.kept["best"], torch.ones(2))
    assert second.kept["score"] == 0.5
    # The names in the file are a format: runs of older versions go on.
    assert set(torch.load(path, weights_only=True)) == {
        "run",
        "epoch",
        "random",
        "module",
        "optimizer",
        "best",
        "score",
    }
    with pytest.raises(UsageError, match=r"with other data or settings \(rate 1 there, 2 now\): .*delete .*run.state"):
        state({"rate": 2}, 1).load(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(EdgekitError, match="is damaged: delete it"):
        second.load(path)


def test_denormals_are_flushed_meanwhile_only():
    tiny = torch.tensor([1e-40])
    with flushed_denormals():
        assert float(tiny * 1.0) == 0.0
    assert float(tiny * 1.0) > 0.0


@dataclass(frozen=True)
class Options:
    """One field of every kind."""

    epochs: int = 1
    rate: float = 1.0
    name: str = ""
    fast: bool = False
    crop: int | None = 3
    size: tuple[int, int] = (1, 1)


# Annotations are text only under `from __future__ import annotations`, as in the package.
KNOWN = settable(Options, ("epochs",))


def test_settings_of_every_kind():
    given = {"rate": "1e-3", "name": "x", "fast": "Yes", "crop": "none", "size": "32x48"}
    assert read_settings(given, KNOWN) == {
        "rate": 1e-3,
        "name": "x",
        "fast": True,
        "crop": None,
        "size": (32, 48),
    }
    assert read_settings({"crop": "7", "fast": "0"}, KNOWN) == {"crop": 7, "fast": False}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"epochs": "2"}, "unknown setting 'epochs'"),
        ({"rates": "2"}, "did you mean 'rate'"),
        ({"rate": "fast"}, "'fast' is not a number"),
        ({"crop": "abc"}, "'abc' is not a whole number or none"),
        ({"fast": "2"}, "'2' is not true or false"),
        ({"size": "32"}, "'32' is not a size"),
    ],
)
def test_settings_that_do_not_fit(given: dict[str, str], says: str):
    with pytest.raises(UsageError, match=says):
        read_settings(given, KNOWN)


def test_no_settings_at_all():
    refuse_settings({}, "this")
    with pytest.raises(UsageError, match="this has no setting 'a'"):
        refuse_settings({"a": "1"}, "this")


# A process of its own: after an allocation that failed (tests ask for impossible ones), glibc serves a thread from
# another arena, whose parts end at 64 MB: a large tensor is then fetched from the system whatever the thresholds are.
PAGE_FAULTS = """
import resource
import subprocess
import torch
from edgekit.models.training import kept_memory

def faults():
    counts = []
    for _ in range(8):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(16 << 20)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return min(counts)

without = faults()
with kept_memory():
    print(without, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_freed_memory_is_kept_meanwhile():
    printed = subprocess.run([sys.executable, "-c", PAGE_FAULTS], capture_output=True, text=True, check=True).stdout
    without, kept = map(int, printed.split())
    pages = (64 << 20) // resource.getpagesize()
    if without < pages // 2:
        # Huge pages make one fault of many.
        pytest.skip("this system gives a process large pages")
    assert kept < pages // 10


def test_what_differs_between_runs():
    before = {"stage": "student", "options": {"seed": 0, "context": None}, "tokens": "a" * 64}
    after = {"stage": "student", "options": {"seed": 0, "context": 32}, "tokens": "b" * 64}
    assert differences(before, after) == "context none there, 32 now; tokens is another"
    assert differences(before, before) == ""
