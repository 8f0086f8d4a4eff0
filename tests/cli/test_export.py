"""`edgekit export`: bundles are whole or absent, and everything about them is said in the right place."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from edgekit.bundle import Bundle
from edgekit.export import pipeline, recipes
from edgekit.export.native_files import native_files
from edgekit.export.pipeline import STAGES
from edgekit.models.stackvae_g.checkpoint import load_checkpoint
from edgekit.models.zoo import zoo

from .refusals import refuse

NAME = "stackvae-g-pump-linux-x86_64-fp32"


@pytest.fixture(autouse=True)
def generated_data(monkeypatch):
    """Without the real data, as on a user's machine."""
    monkeypatch.delenv("EDGEKIT_DATA", raising=False)


@pytest.fixture
def export(cli, pump_checkpoint, tmp_path):
    """Exports a checkpoint, by default the pump's, into `out`."""

    def call(*arguments: object, checkpoint: Path = pump_checkpoint, folder: Path = tmp_path / "out"):
        request = ("--device", "linux-x86_64", "-o", folder, "--checkpoint", checkpoint)
        return cli("export", "stackvae-g", *request, *arguments)

    return call


@pytest.fixture
def occupied(pump_bundle, copy_of, tmp_path):
    """`out` holds a bundle of that name already."""
    (tmp_path / "out").mkdir()
    return copy_of(pump_bundle).rename(tmp_path / "out" / NAME)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What is said


def test_table_on_stdout_progress_on_stderr_next_command_last(export, tmp_path):
    result = export()
    assert result.code == 0
    bundle = Bundle.open(tmp_path / "out" / NAME)
    accuracy = bundle.manifest["accuracy"]
    flat = "".join(result.out.split())
    for heading in ("model", "recipe", "size", "weights", "peak", "arena", "maxerror", "SNR", "taskmetrics", "bundle"):
        assert heading in flat
    assert f"stackvae-gfp32pte{bundle.size / 1e6:.1f}MB" in flat
    for metric in accuracy["metrics"]:
        assert f"{metric['name'].replace(' ', '')}{metric['program']:.4f}(eager{metric['eager']:.4f})" in flat
    assert str(bundle.path) in flat
    lines = result.out.splitlines()
    assert "Task metrics measured on: generated telemetry with planted faults, 3,985 rows." in lines
    assert lines[-1] == f"Next: edgekit run {bundle.path} --input SERIES.csv"
    stages = [f"{NAME}: {stage} ({count} of 5 stages done, " for count, stage in enumerate(STAGES)]
    told = [line for line in result.err.splitlines() if not line.startswith("without a runner: ")]
    for line, beginning in zip(told, [*stages, f"{NAME}: done in "], strict=True):
        assert line.startswith(beginning)
    assert os.listdir(tmp_path / "out") == [NAME]


def test_json_quiet_and_force(export, occupied):
    before = Bundle.open(occupied).manifest
    result = export("--force", "--json", "-q", "--seed", 3)
    assert (result.code, result.err) == (0, "")
    (row,) = json.loads(result.out)["bundles"]
    after = Bundle.open(occupied)
    assert os.listdir(occupied.parent) == [NAME]
    assert [method.name for method in after.program.methods] == ["forward"]
    assert len(before["programs"][0]["methods"]) == 2  # so it was replaced
    assert after.manifest["seed"] == 3
    assert row["path"] == str(occupied)
    assert row["bytes"] == sum(path.stat().st_size for path in occupied.rglob("*") if path.is_file())
    assert row["memory"] == after.manifest["memory"]
    assert row["accuracy"] == after.manifest["accuracy"]
    assert (row["model"], row["recipe"], row["device"]) == ("stackvae-g", "fp32", "linux-x86_64")
    # Same weights, stored once: two methods do not take more of them.
    assert after.manifest["memory"]["weights"] == before["memory"]["weights"]


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_folder_that_is_not_empty(export, occupied, options: tuple[str, ...]):
    before = contents(occupied.parent)
    refuse(
        export(*options),
        2,
        f"{occupied} is not empty: choose another folder (-o, output_dir), or replace it with --force (force=True).",
    )
    assert contents(occupied.parent) == before


@pytest.mark.parametrize("options", [(), ("--force",), ("--force", "--dry-run")])
@pytest.mark.parametrize("name", ["photo.jpg", "manifest.json"])
def test_a_folder_of_something_else_is_never_replaced(export, tmp_path, name: str, options: tuple[str, ...]):
    folder = tmp_path / "out" / NAME
    folder.mkdir(parents=True)
    (folder / name).write_text('{"name": "mine"}')
    refuse(export(*options), 2, f"{folder} is not empty")
    assert contents(tmp_path / "out") == {f"{NAME}/{name}": b'{"name": "mine"}'}


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_file_in_place_of_the_folder(export, tmp_path, below: str):
    (tmp_path / "file").write_text("mine")
    refuse(export(folder=tmp_path / "file" / below), 2, f"{tmp_path / 'file'} is a file")
    assert (tmp_path / "file").read_text() == "mine"


def test_dry_run_writes_nothing(export, tmp_path):
    result = export("--dry-run", "--batch", 8, "--batch", 1, "--batch", 8, "--recipe", "int8")
    assert (result.code, result.err) == (0, "")
    flat = "".join(result.out.split())
    assert "stackvae-gint8pteforward_b8,forward_b1" in flat
    assert f"{tmp_path}/out/stackvae-g-pump-linux-x86_64-int8" in flat
    (plan,) = json.loads(export("--dry-run", "--json").out)["planned"]
    assert plan == {
        "model": "stackvae-g",
        "recipe": "fp32",
        "format": "pte",
        "methods": ["forward"],
        "path": f"{tmp_path}/out/{NAME}",
    } | {"blocks": ["enc2", "latent", "mix", "dec1", "dec2"]}
    assert not (tmp_path / "out").exists()


def test_no_model_is_every_exported_one_and_the_devices_recipe(cli, tmp_path):
    result = cli("export", "--device", "jetson", "--dry-run", "--json", "-o", tmp_path)
    planned = json.loads(result.out)["planned"]
    # A language model takes no static int8: its own default stands in.
    recipes = {"rpcanet": "int8", "sea-opt": "int8-dynamic", "stackvae-g": "int8"}
    assert {plan["model"]: plan["recipe"] for plan in planned} == recipes
    assert [plan["model"] for plan in planned] == [entry.name for entry in zoo()]
    assert all("jetson-orin-nano" in plan["path"] for plan in planned)
    twice = cli("export", "stackvae-g", "StackVAE_G", "--device", "jetson", "--dry-run", "--json", "-o", tmp_path)
    assert len(json.loads(twice.out)["planned"]) == 1


# What is refused. Nothing of it may leave anything behind.


def test_checkpoint_is_missing(export, tmp_path):
    refuse(export(checkpoint=tmp_path / "none.safetensors"), 2, "there is no checkpoint")
    refuse(export(checkpoint=tmp_path), 2, "there is no checkpoint")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_checkpoint_is_truncated(export, pump_checkpoint, tmp_path, keep: int):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(pump_checkpoint.read_bytes()[:keep])
    refuse(export(checkpoint=cut), 1, f"the checkpoint {cut} is cut short or not a safetensors file")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"module.enc1.weight": lambda t: torch.zeros(8, 17)}, "module.enc1.weight is torch.float32 (8, 17)"),
        ({"module.enc2.bias": lambda t: t.half()}, "module.enc2.bias is torch.float16 (8,)"),
        ({"scaling.low": lambda t: t[:4]}, "scaling.low is torch.float32 (4,), float32 (5,) is needed"),
        ({"module.dec1.weight": lambda t: t * np.nan}, "module.dec1.weight has values that are not finite"),
        ({"module.x_mean.bias": lambda t: t / 0}, "module.x_mean.bias has values that are not finite"),
        ({"channel_thresholds": lambda t: t * np.nan}, "channel_thresholds has values that are not finite"),
        ({"module.z_mean.bias": None}, "lacks tensor 'module.z_mean.bias'"),
        ({"module.extra": lambda t: torch.zeros(1)}, "has the unknown tensor 'module.extra'"),
    ],
)
def test_checkpoint_does_not_fit(export, pump_checkpoint, tmp_path, change, says: str):
    with safe_open(pump_checkpoint, framework="pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, alter in change.items():
        if alter is None:
            del tensors[name]
        else:
            tensors[name] = alter(tensors.get(name)).contiguous()
    changed = tmp_path / "changed.safetensors"
    save_file(tensors, changed, metadata=metadata)
    result = export(checkpoint=changed)
    refuse(result, 1, says)
    assert str(changed) in result.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("metadata", [None, {"edgekit": "{}"}, {"edgekit": '{"format": "another"}'}, {"edgekit": "["}])
def test_checkpoint_of_another_model(export, tmp_path, metadata):
    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, other, metadata=metadata)
    refuse(export(checkpoint=other), 1, f"{other} is not a StackVAE-G checkpoint")


@pytest.mark.parametrize(
    ("shape", "gap", "says", "code"),
    [
        ((600, 4), False, "has 4 channels, 5 are needed", 1),
        ((600, 5), True, "row 11, 'channel 3' is missing or not finite", 1),
        ((15, 5), False, "has 15 rows, at least 16 are needed", 2),
    ],
)
def test_data_does_not_fit(export, tmp_path, shape: tuple[int, int], gap: bool, says: str, code: int):
    values = np.random.default_rng(0).random(shape, np.float32)
    if gap:
        values[10, 2] = np.nan
    np.save(tmp_path / "series.npy", values)
    result = export("--data", tmp_path / "series.npy", "--recipe", "int8", "-q")
    refuse(result, code, says)
    assert not (tmp_path / "out").exists()


def test_options_that_do_not_fit(export, tmp_path):
    refuse(export("--data", tmp_path / "none.csv"), 2, "there is no data file or folder")
    refuse(export("--size", "8x8"), 2, "stackvae-g takes no --size")
    refuse(export("--set", "stage_outputs=true"), 2, "stackvae-g has no setting 'stage_outputs' at export")
    refuse(export("--set", "stage_outputs"), 2, "--set stage_outputs: write NAME=VALUE")
    assert not (tmp_path / "out").exists()


# What goes wrong on the way


def test_a_gate_that_is_not_met_is_3(export, occupied, monkeypatch):
    before = contents(occupied.parent)
    strict = replace(recipes.find_recipe("fp32"), min_snr_db=1000.0)
    monkeypatch.setitem(recipes._RECIPES, "fp32", strict)
    result = export("--force", "-q")
    refuse(result, 3, "gate not met")
    assert "forward/reconstruction" in result.err
    assert contents(occupied.parent) == before


def test_interrupted(export, occupied, monkeypatch):
    before = contents(occupied.parent)

    def interrupt(*arguments: object) -> None:
        assert len(os.listdir(occupied.parent)) == 2  # a half-written bundle stands beside it
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "measure_accuracy", interrupt)
    assert export("--force", "-q").code == 130
    assert contents(occupied.parent) == before
    assert os.listdir(occupied.parent) == [NAME]


@pytest.mark.slow
def test_killed(export, pump_checkpoint, tmp_path):
    script = (
        "import time\nfrom edgekit.export import pipeline\nfrom edgekit.cli.main import main\n"
        "pipeline.measure_accuracy = lambda *_: (print('ready', flush=True), time.sleep(60))\nmain()"
    )
    request = ("--device", "linux-x86_64", "-o", tmp_path / "out", "--checkpoint", pump_checkpoint)
    command = [sys.executable, "-c", script, "export", "stackvae-g", *map(str, request)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "out" / NAME).exists()
    assert len(os.listdir(tmp_path / "out")) == 1
    assert export().code == 0
    assert os.listdir(tmp_path / "out") == [NAME]


@pytest.mark.slow
@pytest.mark.parametrize("pages", [0, 3, 4])  # for nothing, for the program, for the samples too but no manifest
def test_disk_is_full(export, small_disk, pages: int):
    with contextlib.suppress(OSError):
        (small_disk / "filler").write_bytes(b"\x01" * (1 << 20))
    os.truncate(small_disk / "filler", (small_disk / "filler").stat().st_size - pages * os.sysconf("SC_PAGE_SIZE"))
    result = export("-q", folder=small_disk)
    refuse(result, 1, "the disk is full; free some space")
    assert os.listdir(small_disk) == ["filler"]


# What is in it


@pytest.mark.slow
def test_accuracy_and_metric_on_ones_own_data(export, pump_data, pump_checkpoint, tmp_path):
    assert export("--data", pump_data, "-q").code == 0
    accuracy = Bundle.open(tmp_path / "out" / NAME).manifest["accuracy"]
    checkpoint = load_checkpoint(pump_checkpoint)
    with np.load(pump_data) as data:
        rows, labels = checkpoint.scaling(data["test"]), data["label"]
    with torch.no_grad():
        windows = torch.from_numpy(rows).unfold(0, 16, 1)
        scores = (checkpoint.module(windows)[:, :, -1] - windows[:, :, -1]).square().sum(dim=1)
    metric = accuracy["metric"]
    assert metric["eager"] == pytest.approx(roc_auc_score(labels[15:], scores), abs=1e-5)
    assert metric["program"] == pytest.approx(metric["eager"], abs=1e-3)
    assert (metric["data"], metric["samples"], metric["unit"]) == ("pump, test part", len(scores), "rows")
    assert (metric["better"], metric["max_drop"]) == ("higher", 0.002)
    assert [found["name"] for found in accuracy["metrics"]] == [
        "ROC AUC",
        "PR AUC",
        "best F1",
        "best F1, point-adjusted",
    ]
    precision, recall, _ = precision_recall_curve(labels[15:], scores)
    best = accuracy["metrics"][2]
    assert best["eager"] == pytest.approx(np.max(2 * precision * recall / (precision + recall + 1e-12)), abs=1e-5)
    assert accuracy["metrics"][1]["eager"] == pytest.approx(average_precision_score(labels[15:], scores), abs=1e-5)
    assert accuracy["gate"] == {"passed": True, "failures": []}
    assert accuracy["outputs"][0]["max_abs"] < 1e-5


def test_how_much_of_the_evaluation_set_is_taken(export, tmp_path):
    assert export("--evaluate", 500, "-q").code == 0
    metric = Bundle.open(tmp_path / "out" / NAME).manifest["accuracy"]["metric"]
    assert metric["samples"] == 500
    for text in ("few", "0", "-3", "1.5"):
        refuse(export("--evaluate", text, "--force"), 2, "neither quick, nor all, nor a number of samples")


def test_weights_are_counted(pump_bundle):
    window, hidden, latent, channels = 16, 8, 4, 5
    # Encoder, fused code, graph mix, decoder, newest step; each with its bias but the mix.
    layers = ((window, hidden), (hidden, hidden), (hidden, latent), (latent, hidden), (hidden, hidden), (hidden, 1))
    numbers = sum(inputs * outputs + outputs for inputs, outputs in layers) + channels**2
    memory = Bundle.open(pump_bundle).manifest["memory"]
    assert 4 * numbers <= memory["weights"] < 4 * numbers + 500  # padding
    assert memory["weights"] + memory["graph"] == (pump_bundle / "program.pte").stat().st_size
    assert memory["by_method"]["forward_b8"]["inputs_outputs"] == 4 * 8 * channels * (window + 1)
    assert memory["inputs_outputs"] == memory["by_method"]["forward_b8"]["inputs_outputs"]
    assert None not in memory.values()
    assert memory["peak"] == sum(memory["at_peak"].values()) >= memory["peak_load"]


@pytest.mark.slow
def test_two_batch_sizes_share_the_weights(cli, fp32_bundle, tmp_path):
    options = ("--recipe", "fp32", "--batch", 1, "--batch", 8, "-q", "-o", tmp_path)
    assert cli("export", "stackvae-g", "--device", "linux-x86_64", *options).code == 0
    double = tmp_path / fp32_bundle.name
    program = Bundle.open(double).program
    assert [spec.inputs[0].shape[0] for spec in program.methods] == [1, 8]
    weights = [Bundle.open(bundle).manifest["memory"]["weights"] for bundle in (fp32_bundle, double)]
    sizes = [(bundle / "program.pte").stat().st_size for bundle in (fp32_bundle, double)]
    assert weights[1] < 1.05 * weights[0]
    assert sizes[1] - sizes[0] < 0.25 * weights[0]


@pytest.mark.slow
def test_two_exports_are_byte_identical(export, pump_checkpoint, tmp_path):
    """The second one in a process of its own, with another hash seed, folder, home and time zone."""
    assert export("--recipe", "int8", "-q", folder=tmp_path / "first").code == 0
    request = ("--recipe", "int8", "--device", "linux-x86_64", "-o", tmp_path / "second", "--checkpoint")
    subprocess.run(
        [sys.executable, "-c", "from edgekit.cli.main import main; main()", "export", "stackvae-g"]
        + [str(word) for word in (*request, pump_checkpoint, "-q")],
        env={**os.environ, "PYTHONHASHSEED": "77", "HOME": str(tmp_path), "TZ": "Asia/Tokyo", "OMP_NUM_THREADS": "2"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        check=True,
    )
    first, second = contents(tmp_path / "first"), contents(tmp_path / "second")
    # Manifest, program, samples, list of parts, licences.
    assert len(first) == 5 + len(native_files(platform.machine()))
    assert first == second


def test_no_path_and_no_host_in_it(pump_bundle, pump_checkpoint):
    for name, content in contents(pump_bundle).items():
        for word in (str(pump_checkpoint.parent), str(pump_bundle.parent), os.path.dirname(torch.__file__)):
            assert word.encode() not in content, name
