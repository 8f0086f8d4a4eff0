"""`edgekit devices measure`: what Linux and the runner say becomes a profile, and its file is read as the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgekit.devices.measure import MachineFacts, local_facts, measured_profile, measured_text
from edgekit.devices.profile import list_profiles, load_profile, parse_profile
from edgekit.devices.profile_text import peaks_rows, profile_text
from edgekit.errors import EdgekitError

#: As a Raspberry Pi 5 has it, shortened.
PI_CPU = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: 0xd0b

processor\t: 1
BogoMIPS\t: 108.00
Features\t: fp asimd
CPU part\t: 0xd0b

Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""
#: As a cloud's machine has it, shortened: a line without a value stands before the next processor.
X86_CPU = """\
processor\t: 0
model name\t: AMD EPYC
cpu MHz\t\t: 2596.098
flags\t\t: fpu sse2 fma avx f16c avx2 avx512f avx512_vnni
power management:

processor\t: 1
model name\t: AMD EPYC
cpu MHz\t\t: 3100.000
flags\t\t: fpu
power management:
"""
MEMORY = "MemTotal:        8245248 kB\nMemFree:         1000 kB\n"
LEVEL = {"bytes": 1e6, "read_gb_per_s": 81.23, "triad_gb_per_s": 100.0}
PEAKS = {
    "runner": "0.1.0",
    "threads": 2,
    "peaks": {
        "fp32": {"giga_per_s": 150.04, "isa": "neon"},
        "fp16": {"giga_per_s": 300.0, "isa": "fp16"},
        "int8": {"giga_per_s": 600.0, "isa": "dotprod"},
    },
    "caches": [{"level": 1, "kb": 64, "cores": 1, **LEVEL}, {"level": 3, "kb": 2048, "cores": 4, **LEVEL}],
    "memory": {"bytes": 1.34e8, "read_gb_per_s": 14.0, "triad_gb_per_s": 12.0},
    "handover_us": 2.5,
    "call_us": 0.125,
}
PI = MachineFacts("aarch64", PI_CPU, MEMORY, "Raspberry Pi 5 Model B Rev 1.0", "2400000", "2.36")
CLOUD = MachineFacts("x86_64", X86_CPU, MEMORY, "", "", "2.36")


def test_a_board():
    profile, notes = measured_profile(PI, PEAKS, load_profile("raspberry-pi-5"))
    assert profile.name == "raspberry-pi-5"
    assert (profile.cpu.model, profile.cpu.cores, profile.cpu.clock_ghz) == ("Arm Cortex-A76", 2, 2.4)
    assert profile.cpu.isa == ("neon", "dotprod", "fp16")
    assert profile.memory.total_mb == 8052
    assert profile.memory.bandwidth_gb_per_s == 14.0
    assert profile.peaks is not None
    assert profile.peaks.source == "measured"
    assert (profile.peaks.fp32_gflops, profile.peaks.fp16_gflops, profile.peaks.int8_gops) == (150.0, 300.0, 600.0)
    assert profile.peaks.launch_us == pytest.approx(2.625)
    assert [(c.level, c.kb, c.cores, c.bandwidth_gb_per_s) for c in profile.caches] == [
        (1, 64, 1, 100.0),
        (3, 2048, 4, 100.0),
    ]
    assert parse_profile(measured_text(profile, notes, PEAKS), "board.toml") == profile


def test_a_machine_that_no_profile_names():
    peaks = {**PEAKS, "peaks": {**PEAKS["peaks"], "fp16": None}}
    profile, notes = measured_profile(CLOUD, peaks)
    assert (profile.name, profile.title) == ("amd-epyc", "AMD EPYC")
    assert (profile.cpu.cores, profile.cpu.clock_ghz) == (2, 3.1)
    assert profile.cpu.isa == ("avx2", "fma", "f16c", "avx512f", "avx512vnni")
    assert profile.kernels == ("avx2", "scalar")
    assert profile.peaks is not None
    assert profile.peaks.fp16_gflops == profile.peaks.fp32_gflops
    text = measured_text(profile, notes, peaks)
    assert "no arithmetic in half precision: as fp32" in text
    assert parse_profile(text, "cloud.toml") == profile


def test_a_machine_of_another_kind_than_the_profile():
    with pytest.raises(EdgekitError, match="raspberry-pi-5 is aarch64, this machine is x86_64"):
        measured_profile(CLOUD, PEAKS, load_profile("raspberry-pi-5"))
    with pytest.raises(EdgekitError, match="this machine is riscv64"):
        measured_profile(replace(CLOUD, architecture="riscv64"), PEAKS)


@pytest.mark.parametrize("profile", list_profiles(), ids=lambda profile: profile.name)
def test_a_profiles_text_is_read_as_the_same_profile(profile):
    assert parse_profile(profile_text(profile, {}, ["A comment."]), "again.toml") == profile


def test_peaks_in_words():
    peaks = load_profile("raspberry-pi-5").peaks
    assert peaks is not None
    rows = dict(peaks_rows(peaks, load_profile("raspberry-pi-5").caches, 17.0))
    assert rows["fp32"] == "153.6 GFLOP/s"
    assert rows["L3, 2 MB for 4 cores"] == "unknown"
    assert rows["launch"] == "unknown"


@pytest.mark.slow
def test_this_machine(cli, tmp_path):
    target = tmp_path / "machine.toml"
    done = cli("devices", "measure", "-o", target)
    assert done.code == 0, done.err
    profile = load_profile(str(target))
    facts = local_facts()
    assert profile.architecture == facts.architecture
    assert profile.cpu.cores == facts.cpuinfo.count("processor\t:")
    assert profile.peaks is not None
    assert profile.peaks.fp32_gflops > 1
    assert str(target) in done.out
    again = cli("devices", "measure", "-o", target)
    assert (again.code, again.out) == (2, "")
    assert "--force" in again.err


def test_requests_that_make_no_sense(cli, tmp_path):
    assert "did you mean 'measure'" in cli("devices", "mesure").err
    assert "is no .toml file" in cli("devices", "measure", "-o", tmp_path / "machine.json").err
    assert cli("devices", "measure", "--device", "rasberry-pi-5").code == 2


def test_calibrating_needs_measured_peaks(cli, tmp_path):
    results = tmp_path / "results.jsonl"
    results.write_text("", encoding="utf-8")
    done = cli("devices", "calibrate", results, "--bundles", tmp_path, "--device", "raspberry-pi-5")
    assert done.code == 2
    assert "raspberry-pi-5 has no measured peaks" in done.err
    profile, notes = measured_profile(CLOUD, PEAKS)
    machine = tmp_path / "machine.toml"
    machine.write_text(measured_text(profile, notes, PEAKS), encoding="utf-8")
    done = cli("devices", "calibrate", results, "--bundles", tmp_path, "--device", machine)
    assert done.code == 2
    assert "results.jsonl: no results" in done.err


def test_json(cli, monkeypatch):
    monkeypatch.setattr("edgekit.devices.measure.local_facts", lambda: CLOUD)
    monkeypatch.setattr("edgekit.devices.measure.local_peaks", lambda: PEAKS)
    done = cli("devices", "measure", "--json")
    found = json.loads(done.out)
    assert found["profile"]["peaks"]["fp32_gflops"] == 150.0
    assert found["peaks"]["threads"] == 2
