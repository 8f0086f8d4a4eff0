"""`python kernels/bench`: that it runs for every operator, and what its JSON holds. Speed is not tested."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCH = Path(__file__).parents[2] / "kernels" / "bench"
OPERATORS = ("sparse_topk", "kv_append", "sparse_topk_attention", "sea_estimate", "sea_layer", "csr_matmul", "conv2d")
#: Contenders that every run has. ONNX Runtime is optional.
CONTENDERS = {
    "sparse_topk": {"edgekit scalar", "torch.topk", "ExecuTorch portable", "empty program", "one read"},
    "kv_append": {"edgekit scalar", "edgekit fp16", "edgekit int8", "torch", "llama::update_cache", "one read"},
    "sparse_topk_attention": {
        *("edgekit scalar", "edgekit fp16", "edgekit int8", "llama::custom_sdpa", "torch sdpa"),
        *("one read of the chosen", "one read of the cache"),
    },
    "sea_estimate": {"edgekit scalar", "eager reference"},
    "sea_layer": {"edgekit scalar", "llama::custom_sdpa", "torch sdpa"},
    "csr_matmul": {"edgekit scalar", "torch dense", "torch sparse_csr", "XNNPACK dense", "one read"},
    "conv2d": {"edgekit scalar", "torch", "XNNPACK", "one read"},
}
ROW = {
    *("operator", "case", "contender", "milliseconds", "ratio", "ratio_p10", "ratio_p90"),
    *("rate", "unit", "share_of_peak"),
}


def bench(*arguments, **environment):
    command = [sys.executable, str(BENCH), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, cwd=BENCH.parents[1]
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of all operators: its table and its JSON."""
    path = tmp_path_factory.mktemp("bench") / "figures.json"
    result = bench("--quick", "--rounds", 1, "--threads", 1, "--json", path)
    assert result.returncode == 0, result.stderr
    return result.stdout, json.loads(path.read_text())


def positive(*numbers):
    return all(isinstance(number, float | int) and 0 < number < math.inf for number in numbers)


@pytest.mark.slow
def test_machine(run):
    table, record = run
    assert record.keys() == {"machine", "rounds", "rows", "growth"}
    machine = record["machine"]
    assert (record["rounds"], machine["threads"]) == (1, 1)
    assert positive(machine["cache_bytes"], machine["read_gb_per_s"], machine["peak_gflop_per_s"])
    assert machine["isa"] in ("scalar", "avx2", "neon")
    assert f"{machine['read_gb_per_s']:.1f} GB/s" in table.splitlines()[0]
    assert f"{machine['peak_gflop_per_s']:.1f} GFLOP/s" in table.splitlines()[0]


@pytest.mark.slow
@pytest.mark.parametrize("operator", OPERATORS)
def test_rows(run, operator):
    table, record = run
    peaks = {"GB/s": record["machine"]["read_gb_per_s"], "GFLOP/s": record["machine"]["peak_gflop_per_s"]}
    rows = [row for row in record["rows"] if row["operator"] == operator]
    for row in rows:
        assert row.keys() == ROW
        assert positive(row["milliseconds"], row["ratio"], row["ratio_p10"], row["ratio_p90"])
        assert f"| {row['case']} | {row['contender']} |" in table
        if row["contender"] == "empty program":
            assert row["rate"] is row["unit"] is row["share_of_peak"] is None
        else:
            assert positive(row["rate"])
            assert row["share_of_peak"] == pytest.approx(row["rate"] / peaks[row["unit"]])
    assert {row["contender"] for row in rows} >= CONTENDERS[operator] | {"edgekit"}
    for case in {row["case"] for row in rows}:
        names = [row["contender"] for row in rows if row["case"] == case]
        assert names.count("edgekit") == 1
        assert len(names) == len(set(names)) > 1
    assert all(row["ratio"] == 1 for row in rows if row["contender"] == "edgekit")


@pytest.mark.slow
def test_growth(run):
    table, record = run
    assert {one["operator"] for one in record["growth"]} == {"kv_append", "sparse_topk_attention", "sea_layer"}
    for one in record["growth"]:
        assert one.keys() == {"operator", "contender", "first", "last", "ratio"}
        times = {
            row["case"]: row["milliseconds"]
            for row in record["rows"]
            if (row["operator"], row["contender"]) == (one["operator"], one["contender"])
        }
        assert one["first"].split()[0] == one["last"].split()[0]  # no decode step with a prefill
        assert one["ratio"] == pytest.approx(times[one["last"]] / times[one["first"]])
        assert f"{one['contender']} from {one['first']} to {one['last']}: {one['ratio']:.2f}x" in table


@pytest.mark.slow
def test_without_onnx_runtime(tmp_path):
    """One that cannot be imported stands before any that can; onnx, which is asked for first, is there in any case."""
    (tmp_path / "onnx.py").touch()
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('no onnxruntime here')\n")
    result = bench("conv2d", "--quick", "--rounds", 1, "--threads", 1, PYTHONPATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "ONNX Runtime" not in result.stdout
    assert result.stderr.splitlines() == [
        "ONNX Runtime is left out (no onnxruntime here): pip install '.[bench]' in the checkout."
    ]


def test_contenders_must_agree(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH.parent))
    from bench.measure import OURS, Contender, compare

    def rows(theirs):
        contenders = {OURS: Contender(torch.exp, answer=torch.clone), "theirs": Contender(theirs, answer=torch.clone)}
        return compare("exp", contenders, lambda seed: (torch.full((3,), 0.1 * seed),), 1)

    assert [row.contender for row in rows(lambda x: 2.718282**x)] == [OURS, "theirs"]
    with pytest.raises(AssertionError, match=r"exp: theirs is 0\.01 off"):
        rows(lambda x: x.exp() + 0.01)
    with pytest.raises(AssertionError, match="exp: theirs is nan off"):
        rows(lambda x: x / x)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("conv2",), "unknown operator 'conv2': did you mean 'conv2d'?"),
        (("--rounds", "0"), "--rounds: 0 is less than 1"),
        (("--json", "nowhere/figures.json"), "--json nowhere/figures.json cannot be written"),
    ],
)
def test_what_it_does_not_take(arguments, says):
    result = bench(*arguments)
    assert result.returncode == 2
    assert says in result.stderr
    assert result.stdout == ""
