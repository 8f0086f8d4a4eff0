"""`edgekit-run --peaks`: what a machine can do at most, here and on an emulated arm64 machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

#: Instruction sets that peaks may be measured with, by architecture and precision.
ISA = {
    "x86_64": {"fp32": {"avx512f", "avx2", "scalar"}, "int8": {"avx512vnni", "avxvnni", "avx2", "scalar"}},
    "aarch64": {"fp32": {"neon"}, "int8": {"dotprod", "neon"}},
}


@pytest.mark.slow
def test_peaks(edgekit_run, request):
    done = edgekit_run("--peaks", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    architecture = request.node.callspec.params["edgekit_run"]
    for precision, known in ISA[architecture].items():
        peak = found["peaks"][precision]
        assert peak["isa"] in known
        assert peak["giga_per_s"] > 0
    half = found["peaks"]["fp16"]
    assert half is None if architecture == "x86_64" else half is None or half["isa"] == "fp16"
    levels = [cache["level"] for cache in found["caches"]]
    assert levels == sorted(set(levels))
    for level in (*found["caches"], found["memory"]):
        assert level["read_gb_per_s"] > 0
        assert level["triad_gb_per_s"] > 0
    assert found["memory"]["bytes"] > sum(1024 * cache["kb"] for cache in found["caches"][-1:])
    assert found["handover_us"] > 0
    assert found["call_us"] > 0


def test_peaks_take_no_bundle(edgekit_run, tmp_path: Path):
    for words in ((tmp_path, "--peaks"), ("--peaks", "--bench")):
        done = edgekit_run(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "--peaks measures the machine" in done.stderr
    done = edgekit_run("--peaks", "--prompt", "x")
    assert "--prompt does not belong" in done.stderr
