"""A sweep on a Dask cluster of several workers, one of which is killed while it works."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.bundle import Bundle

pytest.importorskip("distributed", reason="pip install 'edgekit[cluster]'")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three workers, each a process with one thread."""
    import distributed

    options: dict[str, Any] = {"n_workers": 3, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as made:  # type: ignore[no-untyped-call]
        yield made


def kill_a_busy_worker(address: str, killed: list[str]) -> None:
    """Waits until a worker works on a task, and kills that worker's process."""
    import distributed

    with distributed.Client(address) as client:
        pids = client.run(os.getpid)
        for _ in range(600):
            busy = [worker for worker, tasks in client.processing().items() if tasks]
            if busy:
                time.sleep(1.0)  # in the middle of its export
                os.kill(pids[busy[0]], signal.SIGKILL)
                killed.append(busy[0])
                return
            time.sleep(0.1)


@pytest.mark.slow
def test_a_killed_workers_job_is_done_by_another(
    cluster: Any, pump_checkpoint: Path, pump_data: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    recipes = ("--recipe", "fp32", "--recipe", "fp16", "--recipe", "int8")
    words = ("stackvae-g", "--checkpoint", pump_checkpoint, "--data", pump_data, "--runs", 3, *recipes)
    killed: list[str] = []
    killer = threading.Thread(target=kill_a_busy_worker, args=(cluster.scheduler_address, killed))
    killer.start()
    away = tmp_path / "away"
    done = cli("sweep", *words, "--device", "linux-x86_64", "-q", "-o", away, "--scheduler", cluster.scheduler_address)
    killer.join()
    assert killed
    assert done.code == 0, done.err
    records = [json.loads(path.read_text()) for path in (away / "jobs").iterdir()]
    assert sorted(record["job"]["recipe"] for record in records) == ["fp16", "fp32", "int8"]
    assert [(record["error"], record["failures"]) for record in records] == [(None, {})] * 3
    results = [json.loads(line) for line in (away / "results.jsonl").read_text().splitlines()]
    assert sorted(result["bundle"]["recipe"] for result in results if result["measured"]) == ["fp16", "fp32", "int8"]
    # What came back is whole, and the same as an export here.
    bundles = {path.name: Bundle.open(path) for path in (away / "bundles").iterdir()}
    assert (
        cli(
            *("export", "stackvae-g", "--checkpoint", pump_checkpoint, "--data", pump_data, "--device", "linux-x86_64"),
            *("--recipe", "int8", "--allow-drop", "-o", tmp_path / "here"),
        ).code
        == 0
    )
    (here,) = (tmp_path / "here").iterdir()
    assert bundles[here.name].manifest == Bundle.open(here).manifest
    # The same command does nothing again, and needs no worker for that.
    lines = (away / "results.jsonl").read_bytes()
    again = cli("sweep", *words, "--device", "linux-x86_64", "-o", away, "--scheduler", cluster.scheduler_address)
    assert again.err.count("there already") == 3
    assert (away / "results.jsonl").read_bytes() == lines


@pytest.mark.parametrize(
    ("address", "code", "wanted"), [("lab:8786", 2, "such as tcp://"), ("tcp://127.0.0.1:9", 1, "no scheduler answers")]
)
def test_a_scheduler_that_is_not_there_is_said(
    address: str, code: int, wanted: str, tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.devices.cluster.PATIENCE", 1)
    words = ("stackvae-g", "--device", "linux-x86_64", "-q", "-o", tmp_path / "out")
    done = cli("sweep", *words, "--scheduler", address)
    assert done.code == code
    assert wanted in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_cluster_without_workers_is_said(tmp_path: Path, cli: Callable[..., Any]) -> None:
    import distributed

    with distributed.LocalCluster(n_workers=0, dashboard_address=None) as empty:  # type: ignore[no-untyped-call]
        done = cli(
            *("sweep", "stackvae-g", "--device", "linux-x86_64", "-q", "-o", tmp_path / "out"),
            *("--scheduler", empty.scheduler_address),
        )
    assert done.code == 1
    assert "has no worker" in done.err
