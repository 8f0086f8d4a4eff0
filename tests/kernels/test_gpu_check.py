"""`python kernels/bench/gpu_check` without a GPU: its cases on small tensors of the CPU, and what comes of figures."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from edgekit import kernels
from edgekit.devices.profile import parse_profile
from edgekit.errors import EdgekitError

from ..devices.test_profile import BOARD, GPU

CHECKOUT = Path(__file__).parents[2]
#: The attention of a whole layer, which the cases time.
needs_attention = pytest.mark.skipif(not hasattr(kernels, "sea_attention"), reason="needs kernels.sea_attention")


@pytest.fixture
def module(monkeypatch):
    """A module of the command, by its name."""
    monkeypatch.syspath_prepend(str(CHECKOUT / "kernels"))
    return lambda name: importlib.import_module(f"bench.gpu_check.{name}")


class HostMeter:
    """Takes turns like the real one, by the clock of the CPU."""

    device = torch.device("cpu")

    def __init__(self, kernels=("edgekit_sea_step",), extra=1 << 20):
        self._kernels, self._extra = kernels, extra
        self.seen = []

    def times(self, contenders, rounds):
        found = {name: [] for name in contenders}
        for turn in range(rounds):
            for name, run in contenders.items():
                start = time.perf_counter()
                run(turn)
                found[name].append(1e3 * (time.perf_counter() - start))
        self.seen.append((tuple(contenders), rounds))
        return found

    def extra_bytes(self, run):
        assert run().shape[0] == 2
        return self._extra

    def kernels(self, run):
        run()
        return None if self._kernels is None else list(self._kernels)

    def bandwidth(self):
        return 25.0


class FakeSwitch:
    """Counts calls as if the GPU had taken them."""

    def __init__(self, takes=True):
        self.where, self._takes, self._calls = [], takes, 0

    def use(self, where):
        self.where.append(where)

    def calls(self, operator):
        self._calls += self._takes
        return self._calls


def tiny(module):
    return module("cases").Sizes(
        topk={(6, 64, 8): 3.0, (9, 96, 8): 0.0},
        heads=2,
        size=16,
        features=9,
        cells=32,
        budget=8,
        prefill={64: None, 96: 0.0, 128: 1e9},
        decode=128,
        memory=160,
        rounds=3,
        pool=1 << 14,
        doublings=2,
    )


@needs_attention
def test_every_figure_that_is_wanted(module):
    said, meter = [], HostMeter()
    found = list(module("cases").figures(meter, tiny(module), said.append))
    assert [(figure.what, figure.case, figure.unit, figure.target, figure.at_most) for figure in found] == [
        ("`sparse_topk`", "(6, 64, 8)", "x", 3.0, False),
        ("`sparse_topk`", "(9, 96, 8)", "x", 0.0, False),
        ("`sparse_topk`, share of the memory floor", "(9, 96, 8)", "%", 40.0, False),
        ("SEA attention", "prefill, 2 x 16, T = 64", "x", None, False),
        ("SEA attention", "prefill, 2 x 16, T = 96", "x", 0.0, False),
        ("SEA attention", "prefill, 2 x 16, T = 128", "x", 1e9, False),
        ("SEA attention", "one decode step, L = 128", "x", 1.5, False),
        ("SEA attention, kernels", "one decode step, L = 128", "launches", 1, True),
        ("SEA attention, peak extra memory", "prefill, 2 x 16, T = 160", "MB", 64.0, True),
    ]
    assert [figure.met for figure in found[3:6]] == [None, True, False]
    assert found[7].met
    assert found[8].met
    assert found[8].value == pytest.approx(1.048576)
    share = found[2]
    floor = (4 * 9 * 96 + 12 * 9 * 8) / 25e9 * 1e3
    assert share.against_milliseconds == pytest.approx(floor)
    assert share.value == pytest.approx(100 * floor / share.milliseconds, rel=0.5)
    assert found[3].against == "flash attention, fp16"
    assert found[6].against.startswith("torch SDPA (")
    assert "attention" in found[6].against
    assert said[0] == "sparse_topk"
    assert all(figure.low <= figure.value <= figure.high for figure in found[:7])


@needs_attention
def test_the_sizes_of_the_issue(module):
    sizes = module("cases").Sizes()
    assert sizes.topk == {(4096, 256, 32): 3.0, (2048, 3072, 96): 3.0, (8192, 3072, 96): 3.0}
    assert sizes.prefill == {8192: None, 32768: 1.0, 131072: 4.0}
    assert (sizes.heads, sizes.size, sizes.decode, sizes.memory) == (12, 64, 32768, 32768)


@needs_attention
def test_nothing_is_timed_where_torch_stands_in_or_answers_differ(module, monkeypatch):
    cases, sizes = module("cases"), tiny(module)
    with pytest.raises(EdgekitError, match="sparse_topk launches at::topk on cpu, not edgekit's kernel"):
        next(cases.figures(HostMeter(kernels=("at::topk",)), sizes, print))
    assert next(cases.figures(HostMeter(kernels=None), sizes, print)) is not None  # nobody can know
    wrong = lambda x, k: (values := torch.topk(x, k)) and (values.values, values.indices.flip(-1))  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(cases.ops, "sparse_topk", wrong)
        with pytest.raises(EdgekitError, match=r"do not agree at \(6, 64\), k = 8"):
            list(cases._topk(HostMeter(), sizes))
    calls = []

    def sea_attention(q, *rest):
        calls.append(0)
        return q * len(calls)

    monkeypatch.setattr(cases, "sea_attention", sea_attention)
    with pytest.raises(EdgekitError, match=r"agree on .* % of 320 rows only, 99\.9 % are wanted"):
        cases.check_attention(HostMeter(), sizes)


@needs_attention
def test_record_report_and_exit_code(module, capsys):
    command, switch = module("command"), FakeSwitch()
    record = command.measured(HostMeter(), tiny(module), print, switch)
    record = json.loads(json.dumps(record))
    assert {row["operator"] for row in record["crossovers"]} == {
        *("sparse_topk", "kv_append", "sparse_topk_attention", "sea_estimate", "csr_matmul"),
    }
    assert set(switch.where) == {1, 2, 3}
    assert switch.where[-1] == 1
    record["tests"] = {"code": 0, "summary": "7 passed"}
    text = command.report(record)
    assert "| SEA attention | prefill, 2 x 16, T = 128 |" in text
    assert "| at least 1000000000.00x | **missed** |" in text
    assert "Tests that need a GPU: 7 passed" in text
    assert text.count("\n| ") == 11 - 1  # nine figures and the heading; the rule begins with |-
    # What it prints for a profile is what a profile takes.
    piece = text.partition("```toml\n")[2].partition("\n```")[0]
    gpu = parse_profile(BOARD + GPU + piece, "board.toml").gpu
    assert gpu is not None
    capsys.readouterr()
    assert command.verdict(record) == 3
    assert "missed: " in capsys.readouterr().err
    for row in record["figures"]:
        row["met"] = row["met"] if row["target"] is None else True
    assert command.verdict(record) == 0
    assert command.verdict(record | {"tests": {}}) == 0
    assert command.verdict(record | {"tests": {"code": 1, "summary": "1 failed"}}) == 1


def test_crossovers(module, monkeypatch):
    crossovers = module("crossovers")
    #: By side, milliseconds of a fixed part and of a unit.
    cost, clock, where = {2: (0.0, 1.0), 3: (10.0, 0.5)}, [0.0], [1]
    monkeypatch.setattr(crossovers.time, "perf_counter", lambda: clock[0])

    def point(work, fixed=0.0):
        def run():
            begin, unit = cost[where[0]]
            clock[0] += 1e-3 * (begin + fixed * (where[0] == 3) + unit * work)

        return crossovers.Point(work, run)

    def use(side):
        where[0] = side

    points = {
        "sparse_topk": [point(2**power) for power in range(8)],
        "kv_append": [point(2**power, fixed=1e9) for power in range(8)],
        "sea_estimate": [point(2**power, fixed=-10 - 1e-3) for power in range(3)],
    }
    topk, append, estimate = crossovers.crossovers(points, use, rounds=3)
    # 10 + 0.5 w < w from 20 on: the first power of two is 32.
    assert topk.least_work == 32
    assert topk.cpu_ms == pytest.approx([2**power for power in range(8)])
    assert topk.gpu_ms == pytest.approx([10 + 0.5 * 2**power for power in range(8)])
    assert append.least_work is None
    assert estimate.least_work == 1
    assert where == [1]
    assert crossovers.toml([topk, append, estimate], "a board").splitlines() == [
        "[gpu.least_work]",
        "# Measured: a board",
        "sparse_topk = 32",
        "# kv_append: slower on the GPU at 128 too",
        "sea_estimate = 1",
    ]
    where[0] = 3
    with pytest.raises(EdgekitError, match="sparse_topk does not run on the GPU with EDGEKIT_GPU=1"):
        crossovers.check_used(points, FakeSwitch(takes=False))


#: Operators of the installed library on both sides, and what the library says of where they ran.
SWITCH = """
import json, sys
sys.path.insert(0, sys.argv[1])
from bench.gpu_check import crossovers
switch, points = crossovers.Switch(), crossovers.all_points(1)
points["sparse_topk"] = points["sparse_topk"][:1]
crossovers.check_used(points, switch)
before = {name: switch.calls(name) for name in points}
found = list(crossovers.crossovers(points, switch.use, 1))
print(json.dumps([before, {name: switch.calls(name) for name in points}, [one.least_work for one in found]]))
"""


@pytest.mark.slow
def test_both_sides_on_an_emulated_gpu(built):
    """The library's own switch and counters, by way of torch, with the stand-in driver."""
    environment = {**os.environ, **dict(built("emulated_gpu").environment)}
    command = [sys.executable, "-c", SWITCH, str(CHECKOUT / "kernels")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    before, after, found = json.loads(done.stdout)
    assert set(before.values()) == {1}
    assert set(after.values()) == {3}  # one to wake it, one that counts; as many on the CPU, which are not counted
    assert len(found) == 5


def test_a_late_win_that_is_lost_again_does_not_count(module):
    crossovers = module("crossovers")
    figures = {1: (1.0, 0.5), 2: (1.0, 2.0), 4: (1.0, 0.5), 8: (1.0, 0.5)}
    crossovers._times, original = (lambda work, use, rounds: figures[work()]), crossovers._times
    try:
        points = [crossovers.Point(work, lambda work=work: work) for work in figures]
        (found,) = crossovers.crossovers({"csr_matmul": points}, lambda side: None)
    finally:
        crossovers._times = original
    assert found.least_work == 4


def check(*arguments, **environment):
    command = [sys.executable, str(CHECKOUT / "kernels" / "bench" / "gpu_check"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu():
    done = check("--build", "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("gpu_check: error: torch ")
    assert done.stderr.count("\n") == 1
    assert check("--help").returncode == 0
    assert check("--json", "/no/such/folder/file.json").returncode == 2
    assert "is no file" in check("--gpu-code", "/no/such/file").stderr


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_the_tests_that_need_a_gpu_are_run(module):
    # Without what this run of the tests was given.
    found = module("command").run_tests({name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"})
    assert found["code"] == 0
    assert "skipped" in found["summary"]
    assert "deselected" in found["summary"]


def test_the_whole_command_but_for_the_gpu(module, monkeypatch, tmp_path, capsys):
    """Stages and their order: build, tests, measurement in a process of its own, table, JSON, exit code."""
    command = module("command")
    monkeypatch.setattr(command, "missing_gpu", lambda: None)
    monkeypatch.setattr(command, "build", lambda way, folder, code, say: {"BUILT": f"{way} {folder.name}"})
    monkeypatch.setattr(command, "run_tests", lambda env: {"code": 0, "summary": f"tested {env['BUILT']}"})
    row = {
        "what": "speed",
        "case": "all",
        "value": 2.0,
        "unit": "x",
        "target": 3.0,
        "low": 1.9,
        "high": 2.1,
        "at_most": False,
        "milliseconds": 1.0,
        "against": "torch",
        "against_milliseconds": 2.0,
        "met": False,
    }
    machine = {"gpu": "H0", "capability": "9.0", "driver": "1", "cuda": "13.0", "torch": "2"}
    record = {
        "machine": machine,
        "rounds": 1,
        "bandwidth_gb_per_s": 9.0,
        "figures": [row],
        "crossovers": [],
        "toml": "#",
    }
    script = "import json, os, sys; assert os.environ['BUILT'];"
    script += f"json.dump(json.loads({json.dumps(record)!r}), open(sys.argv[2], 'w'))"
    monkeypatch.setattr(command, "_MEASURE", script)
    assert command.main(["--folder", str(tmp_path / "made"), "--json", str(tmp_path / "figures.json")]) == 3
    said = capsys.readouterr().out
    assert "| speed | all | 1 ms | torch 2 ms | 2.00x (1.90x to 2.10x) | at least 3.00x | **missed** |" in said
    assert "tested pip made" in said
    assert json.loads((tmp_path / "figures.json").read_text())["figures"] == [row]
    monkeypatch.setattr(command, "_MEASURE", "import sys; sys.exit(1)")
    assert command.main(["--folder", str(tmp_path / "made")]) == 1

    def fails(way, folder, code, say):
        raise module("build").BuildError("cmake is not installed")

    monkeypatch.setattr(command, "build", fails)
    assert command.main([]) == 1
    assert "error: cmake is not installed" in capsys.readouterr().err


class FakeCuda:
    """What the meter calls of `torch.cuda`: a clock that goes 1 ms at each look, and a driver's count of memory."""

    def __init__(self, monkeypatch, integrated=False):
        self.now, self.used, self.reserved = 0, 100 << 20, 10 << 20
        self.properties = SimpleNamespace(is_integrated=integrated, memory_clock_rate=2_619_000, memory_bus_width=5120)
        cuda = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self):
                cuda.now += 1
                self.at = cuda.now

            def elapsed_time(self, end):
                return float(end.at - self.at)

        patched = {
            "Event": Event,
            "synchronize": lambda: None,
            "empty_cache": lambda: None,
            "memory_allocated": lambda: 1000,
            "max_memory_allocated": lambda: 1000 + 5 * 4096,
            "reset_peak_memory_stats": lambda: None,
            "memory_reserved": lambda device: self.reserved,
            "mem_get_info": lambda device: ((1 << 30) - self.used, 1 << 30),
            "get_device_properties": lambda device: self.properties,
        }
        for name, value in patched.items():
            monkeypatch.setattr(torch.cuda, name, value)


def test_the_meter_on_a_made_up_gpu(module, monkeypatch):
    cuda, real = FakeCuda(monkeypatch), module("meter").CudaMeter
    monkeypatch.setattr(real, "FLUSH", 1 << 16)
    monkeypatch.setattr(real, "LARGE", 1 << 16)
    meter = real(torch.device("cpu"))
    turns = {"a": [], "b": []}
    found = meter.times({name: turns[name].append for name in turns}, 4)
    assert found == {"a": [1.0] * 4, "b": [1.0] * 4}
    assert turns["a"] == turns["b"] == [0, 1, 2, 0, 1, 2, 3]  # three to warm up
    assert meter.bandwidth() == pytest.approx(
        2 * 2.619e9 * 5120 / 8 / 1e9
    )  # HBM3 of an H100, which copies do not reach

    def run():
        cuda.used += 7 << 20  # beside the allocator, and given back at the end
        time.sleep(0.05)
        cuda.used -= 7 << 20
        return torch.zeros(1024)

    assert meter.extra_bytes(run) == 4 * 4096 + (7 << 20)
    assert meter.kernels(run) is None  # no CUPTI on a CPU
    cuda = FakeCuda(monkeypatch, integrated=True)
    assert meter.extra_bytes(run) == 4 * 4096


@pytest.mark.gpu
def test_the_real_meter(module):
    meter = module("meter").CudaMeter()
    x = torch.randn(1 << 20, device=meter.device)
    times = meter.times({"one": lambda turn: x.sum(), "many": lambda turn: [x.sum() for _ in range(50)]}, 5)
    assert all(0 < one < many for one, many in zip(times["one"], times["many"], strict=True))
    assert meter.extra_bytes(lambda: (x + 1) * 2) >= x.nbytes
    assert meter.bandwidth() > 10
    assert meter.kernels(lambda: x.sum()) != []
