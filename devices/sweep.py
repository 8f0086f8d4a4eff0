"""A sweep: many exports, each measured on this machine, one process at a time, with a file of results for each.

What is in the folder already is not done again, so that a sweep that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgekit.bundle import Bundle
from edgekit.devices.bench import bench
from edgekit.errors import EdgekitError, UsageError
from edgekit.files import read_json_object, sha256_of, write_text

BUNDLES, RESULTS = "bundles", "results"
#: The command line, in a process of this Python.
EDGEKIT = (sys.executable, "-c", "from edgekit.cli.main import main; main()")


#: By format, the packages that write it beside those of every export.
_TOOLS: dict[str, tuple[str, ...]] = {
    "pte": (),
    "tflite": ("litert-torch", "ai-edge-quantizer", "ai-edge-litert"),
    "tflite-builtin": ("litert-torch", "ai-edge-quantizer", "ai-edge-litert"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}


@dataclass(frozen=True)
class Job:
    """One export to make and measure.

    Attributes:
        name: of its results; letters, digits and "-".
        model, recipe, kv: as in its row of the table; kv is None for a model without a KV cache.
        arguments: of `edgekit export`, without the folder.
        rank: of its recipe among the model's, the most exact first.
        files: that the result depends on.
        format: as in its row: "pte", "tflite", "tflite-builtin" or "onnx".
    """

    name: str
    model: str
    recipe: str
    kv: str | None
    arguments: tuple[str, ...]
    rank: int = 0
    files: tuple[Path, ...] = ()
    format: str = "pte"

    def shown(self) -> dict[str, Any]:
        """What a result says of it."""
        names = ("name", "model", "format", "recipe", "kv", "rank", "arguments")
        return {name: getattr(self, name) for name in names}

    def key(self) -> str:
        """Changes with everything that the result depends on, as far as it is known beforehand."""
        parts = {
            "arguments": self.arguments,
            "files": [sha256_of(path) if path.is_file() else str(path) for path in self.files],
            "data": os.environ.get("EDGEKIT_DATA", ""),
            "tools": [version(name) for name in ("edgekit", "torch", "executorch", "torchao", *_TOOLS[self.format])],
        }
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def sweep(
    jobs: Sequence[Job],
    folder: Path,
    runs: int,
    again: bool = False,
    on_job: Callable[[Job, bool], None] = lambda job, known: None,
) -> list[dict[str, Any]]:
    """Results of all jobs, those that the folder has already among them.

    Args:
        jobs: each of another name.
        folder: gets `bundles/` and `results/`.
        runs: calls that are timed; another number than before times the same bundles again.
        again: do everything anew.
        on_job: told of each job before it begins, and whether its result is there already.

    Returns:
        By job: `job`, `key`, `bundle` (the row of `edgekit export --json`; None if there is none), `bench` (what
        `edgekit.devices.bench` gives; None if it was not measured) and `error` (a sentence where one of them failed).
    """
    results = []
    for job in jobs:
        path = folder / RESULTS / f"{job.name}.json"
        key = job.key()
        known = None if again else _known(path, key, folder)
        measured = known is not None and (known["bundle"] is None or known["runs"] == runs)
        on_job(job, measured)
        result = _export(job, key, folder) if known is None else known
        if not measured:
            result = _measure(result, folder, runs) | {"job": job.shown()}
            write_text(path, json.dumps(result, indent=2, sort_keys=True) + "\n")
        results.append(result)
    return results


def _known(path: Path, key: str, folder: Path) -> dict[str, Any] | None:
    """A result of before; None where it is of something else, is damaged, or its bundle is gone."""
    if not path.is_file():
        return None
    try:
        result = read_json_object(path)
        if result["key"] != key or not isinstance(result["job"], dict) or not isinstance(result["runs"], int):
            return None
        if result["bundle"] is not None:
            Bundle.open(folder / BUNDLES / Path(result["bundle"]["path"]).name)
    except (EdgekitError, KeyError, TypeError):
        return None
    return result


def _export(job: Job, key: str, folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = {"job": job.shown(), "key": key, "bundle": None, "error": None}
    command = [*EDGEKIT, "export", *job.arguments, "-o", str(folder / BUNDLES), "--force", "--json", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == UsageError.exit_code:
        raise UsageError(_reason(done.stderr))
    if done.returncode != 0:
        return result | {"error": _reason(done.stderr) or f"its export was ended by signal {-done.returncode}"}
    (row,) = json.loads(done.stdout)["bundles"]
    return result | {"bundle": row | {"path": f"{BUNDLES}/{Path(row['path']).name}"}}


def _measure(result: dict[str, Any], folder: Path, runs: int) -> dict[str, Any]:
    result = result | {"runs": runs, "bench": None}
    if result["bundle"] is None:
        return result
    try:
        return result | {"bench": bench(Bundle.open(folder / result["bundle"]["path"], check_files=False), runs)}
    except EdgekitError as error:
        return result | {"error": f"not measured: {error}"}


def _reason(stderr: str) -> str:
    """The sentence that a failed command ended with."""
    lines = [line for line in stderr.splitlines() if line.startswith("edgekit: ")]
    return lines[-1].split(": ", 2)[-1] if lines else ""


def all_results(folder: Path, jobs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results of these jobs and of the others that the folder has, by model, the most exact recipe first."""
    mine = list(jobs)
    names = {result["job"]["name"] for result in mine}
    others = []
    for path in sorted((folder / RESULTS).glob("*.json")):
        if path.stem not in names:
            try:
                result = read_json_object(path)
                _ = result["job"]["rank"], result["bundle"], result["bench"], result["error"]
            except (EdgekitError, KeyError, TypeError):
                continue
            others.append(result)
    order = list(_TOOLS)
    return sorted(
        mine + others,
        key=lambda result: (
            result["job"]["model"],
            order.index(result["job"].get("format", "pte")),
            result["job"]["rank"],
        ),
    )
