"""A session whose operators go to a GPU: one that is emulated on the CPU, which forbids what a Jetson forbids.

Answers are the CPU's, whatever goes where. The stand-in runs what is launched when it is waited for, and ends the
process where memory that CPU and GPU share is touched meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.kernels.native import library_path

from ..machines import OPERATORS

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("gpu_answers.py")
LAYERS = 2
#: Memory that is shared and forbidden to the CPU meanwhile; shared and not forbidden; memory of its own.
KINDS = ["", "reversed=1", "concurrent=1", "integrated=0", "integrated=0 hasty=1"]
ALL = {"kv_append": 0, "sea_estimate": 0, "sparse_topk_attention": 0}


@pytest.fixture(scope="module")
def driver(built) -> Path:
    """The folder of the stand-in for libcuda.so.1."""
    return built("emulated_gpu").build / OPERATORS / "fake_cuda"


@pytest.fixture
def answers(driver, tmp_path):
    """Runs a case of gpu_answers.py; without `gpu` there is no driver."""

    def run(case: str, bundle: Path, gpu: str | None = None, **environment: str) -> dict[str, np.ndarray]:
        there = {} if gpu is None else {"LD_LIBRARY_PATH": str(driver), "EDGEKIT_EMULATED_GPU": gpu}
        own = {name: value for name, value in os.environ.items() if not name.startswith("EDGEKIT_GPU")}
        command = [sys.executable, str(SCRIPT), case, str(bundle), str(tmp_path / "found.npz")]
        done = subprocess.run(
            command, env=own | there | environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        with np.load(tmp_path / "found.npz") as found:
            return dict(found)

    return run


@pytest.fixture
def with_gpu(resealed, text_bundle):
    """The text's bundle, of a device with a GPU, where an operator pays from this work on."""

    def make(least_work: dict[str, int]) -> Path:
        gpu = {"compute_capability": "8.7", "cuda": "12.6", "least_work": least_work}
        return resealed(text_bundle, lambda _, fields: fields.update(gpu=gpu))

    return make


@pytest.fixture(scope="module")
def wanted(text_bundle, tmp_path_factory) -> dict[str, dict[str, np.ndarray]]:
    """The CPU's answers, by case."""
    found = {}
    for case in ("text", "states", "threads"):
        file = tmp_path_factory.mktemp(case) / "found.npz"
        environment = os.environ | {"EDGEKIT_GPU": "0"}
        subprocess.run([sys.executable, str(SCRIPT), case, str(text_bundle), str(file)], env=environment, check=True)
        with np.load(file) as arrays:
            found[case] = dict(arrays)
    return found


def check(found: np.ndarray, wanted: np.ndarray) -> None:
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    assert (found.argmax(1) == wanted.argmax(1)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_text(answers, text_bundle, wanted, kind):
    found = answers("text", text_bundle, kind, EDGEKIT_GPU="1")
    check(found["logits"], wanted["text"]["logits"])
    assert found["name"] == "emulated"
    *launches, hand_overs, to_gpu, to_cpu = found["spent"]
    assert min(launches) >= 20 * LAYERS
    assert hand_overs == 20 * LAYERS  # one for the three operators of a layer
    if "integrated=0" in kind:
        # q, k and v there, the attention's output, the length and what lies between operators back; the state stays.
        assert 0 < to_gpu < 20 * 2000
        assert 0 < to_cpu < 20 * 2000
    else:
        assert (to_gpu, to_cpu) == (0, 0)


@pytest.mark.parametrize("kind", ["", "integrated=0"])
def test_states(answers, text_bundle, wanted, kind):
    check(answers("states", text_bundle, kind, EDGEKIT_GPU="1")["logits"], wanted["states"]["logits"])


@pytest.mark.parametrize("kind", ["", "integrated=0"])
def test_sessions_in_two_threads(answers, text_bundle, wanted, kind):
    found = answers("threads", text_bundle, kind, EDGEKIT_GPU="1")
    for name in ("logits", "others"):
        check(found[name], wanted["threads"]["logits"])


@pytest.mark.parametrize("kind", ["", "integrated=0"])
@pytest.mark.parametrize(
    "least_work",
    [
        {"sea_estimate": 5},
        {"sparse_topk_attention": 700, "kv_append": 65},
        {"kv_append": 64, "sparse_topk_attention": 1500, "one_of_the_future": 1},
    ],
)
def test_operators_go_there_where_it_pays(answers, with_gpu, wanted, kind, least_work):
    found = answers("text", with_gpu(least_work), kind)
    check(found["logits"], wanted["text"]["logits"])
    launches = dict(zip(ALL, found["spent"], strict=False))
    for name, count in launches.items():
        # A token's work: a row of 4 heads; 4 heads of 16; the about 8 tokens that each head reads, k and v.
        work = {"kv_append": 64, "sea_estimate": 4, "sparse_topk_attention": 1024}[name]
        if kind == "" or least_work.get(name, -1) < 0 or least_work[name] <= work:
            assert (count > 0) == (0 <= least_work.get(name, -1) <= work), name


def test_the_driver_is_opened_only_where_it_is_asked_for(answers, with_gpu, text_bundle, wanted):
    asking = with_gpu(ALL)
    for bundle, environment, is_open in (
        (text_bundle, {}, False),
        (asking, {"EDGEKIT_GPU": "0"}, False),
        (asking, {}, True),
    ):
        found = answers("text", bundle, "", **environment)
        check(found["logits"], wanted["text"]["logits"])
        assert found["open"] == is_open
        assert (found["name"] == "emulated") == is_open


@pytest.mark.parametrize("gpu", [None, "cc=5.0", "driver=10000", "devices=0"])
def test_no_gpu_that_can_be_used(answers, with_gpu, wanted, gpu):
    found = answers("text", with_gpu(ALL), gpu)
    check(found["logits"], wanted["text"]["logits"])
    assert found["name"] == "None"
    assert not found["spent"].any()


@pytest.mark.parametrize("kind", ["", "integrated=0"])
@pytest.mark.parametrize("failure", ["fail=cuStreamSynchronize:700:20", "fault=edgekit_kv_append_rows"])
def test_a_fault(answers, text_bundle, wanted, kind, failure):
    found = answers("failure", text_bundle, f"{kind} {failure}", EDGEKIT_GPU="1")
    run, refused, not_saved = found["said"]
    assert "method 'extend' of" in run
    assert "the GPU failed" in run
    for said in (refused, not_saved):
        assert said == (
            "state 'default' was lost when the GPU failed: reset it, restore what was saved, or use another."
        )
    assert found["used"] == "None"
    check(found["logits"], wanted["threads"]["logits"])


@pytest.mark.parametrize("kind", ["", "integrated=0"])
@pytest.mark.parametrize("failure", ["fail=cuLaunchKernel:701:9", "memory=30000", "memory=150000"])
def test_a_failure_that_leaves_the_arguments_alone(answers, text_bundle, wanted, kind, failure):
    found = answers("text", text_bundle, f"{kind} {failure}", EDGEKIT_GPU="1")
    check(found["logits"], wanted["text"]["logits"])


@pytest.fixture
def bench(driver, text_bundle):
    """Runs edgekit-run --bench on the stand-in."""

    def run(gpu: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        runner = library_path("ops").parents[1] / "bin" / "edgekit-run"
        environment = {"LD_LIBRARY_PATH": str(driver), "EDGEKIT_EMULATED_GPU": gpu}
        command = [str(runner), str(text_bundle), "--bench", "3", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)

    return run


def test_the_runner_counts(bench):
    found = json.loads(bench("name=Orin", "--json", "--gpu", "on").stdout)
    assert found["gpu"] == {
        "name": "Orin",
        "compute_capability": "8.7",
        "driver": "12.6",
        "integrated": True,
        "reason": None,
    }
    token = next(case for case in found["cases"] if case["name"] == "token")["gpu"]
    assert token["hand_overs"] == LAYERS
    assert (token["bytes_to_gpu"], token["bytes_to_cpu"]) == (0, 0)
    assert set(token["operators"]) == set(ALL)
    assert all(counts["calls"] == LAYERS for counts in token["operators"].values())
    assert found["memory"]["after_runs"]["runtime"] > 0
    assert "GPU: Orin; prompt: " in bench("name=Orin", "--gpu", "on").stdout


@pytest.mark.parametrize("arguments", [(), ("--gpu", "auto"), ("--gpu", "off")])
def test_the_runner_without_a_gpu(bench, arguments):
    done = bench("", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "operators" not in done.stdout
    found = json.loads(done.stdout)
    assert found.get("gpu", {}).get("name") is None


def test_the_runner_says_once_what_is_wrong(bench):
    done = bench("cc=5.0", "--gpu", "on")
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("warning: a GPU was asked for, but none can be used: ")
    done = bench("", "--gpu", "yes")
    assert (done.returncode, done.stderr) == (2, "edgekit-run: error: --gpu yes: give auto, off or on.\n")
