"""A sweep: many exports, each measured on its targets, with a record of each job and one file of results.

A job is two kinds of commands, an `edgekit export` and an `edgekit profile` for each target, in processes of their own:
here one after the other, or on the workers of a cluster (`edgekit.devices.cluster`). What is in the folder already is
not done again, so that a sweep that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from edgekit.bundle import Bundle
from edgekit.devices.results import FILE_NAME, append_results, check_result, read_results, target_name
from edgekit.errors import EdgekitError, UsageError
from edgekit.files import locked, read_json_object, sha256_of, write_text
from edgekit.processes import run_program

BUNDLES, JOBS = "bundles", "jobs"
#: The command line, in a process of this Python.
EDGEKIT = (sys.executable, "-c", "from edgekit.cli.start import start; start()")
#: The target on which nothing is run: a profile's estimate.
ESTIMATE = "estimate"

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
        name: of its record; letters, digits and "-".
        model, device, recipe, kv: as in its row of the table; kv is None for a model without a KV cache.
        arguments: of `edgekit export`, without the folder.
        rank: of its recipe among the model's, the most exact first.
        files: that the result depends on.
        format: as in its row: "pte", "tflite", "tflite-builtin" or "onnx".
        targets: what `edgekit profile --target` takes, and ESTIMATE.
        runs: calls that are timed.
    """

    name: str
    model: str
    device: str
    recipe: str
    kv: str | None
    arguments: tuple[str, ...]
    rank: int = 0
    files: tuple[Path, ...] = ()
    format: str = "pte"
    targets: tuple[str, ...] = ("local",)
    runs: int = 50

    def shown(self) -> dict[str, Any]:
        """What a record says of it."""
        names = ("name", "model", "device", "format", "recipe", "kv", "rank", "arguments")
        return {name: getattr(self, name) for name in names}

    def key(self) -> str:
        """Changes with everything that the bundle depends on, as far as it is known beforehand."""
        parts = {
            "arguments": self.arguments,
            "files": [sha256_of(path) if path.is_file() else str(path) for path in self.files],
            "data": os.environ.get("EDGEKIT_DATA", ""),
            "tools": [version(name) for name in ("edgekit", "torch", "executorch", "torchao", *_TOOLS[self.format])],
        }
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        record: `job`, `key`, `bundle` (the row of `edgekit export --json`; None if there is none), `error` (a sentence
            where the export failed) and `failures` (a sentence by target where measuring failed).
        results: that are new.
    """

    record: dict[str, Any]
    results: list[dict[str, Any]]


#: Does jobs, each with its record where the bundle is there and the targets that are left; gives outcomes as they come.
Runner = Callable[[Sequence[tuple[Job, "dict[str, Any] | None", tuple[str, ...]]]], Iterator[tuple[Job, Outcome]]]


def sweep(
    jobs: Sequence[Job],
    folder: Path,
    again: bool = False,
    on_job: Callable[[Job, str], None] = lambda job, what: None,
    runner: Runner | None = None,
) -> list[dict[str, Any]]:
    """The records of all jobs; `folder` then has their bundles and results.

    Args:
        jobs: each of another name.
        folder: gets `bundles/`, `jobs/` and `results.jsonl`.
        again: do everything anew.
        on_job: told of a job when it begins ("begins"), is done ("done"), or was done before ("known").
        runner: does the jobs that are left; default: here, one after the other.

    Raises:
        EdgekitError: another sweep is at work in the folder.
    """
    busy = f"another sweep is at work in {folder}: wait for its end, or choose another folder with -o."
    with locked(folder / JOBS, busy):
        return _sweep(jobs, folder, again, on_job, runner)


def _sweep(
    jobs: Sequence[Job], folder: Path, again: bool, on_job: Callable[[Job, str], None], runner: Runner | None
) -> list[dict[str, Any]]:
    records: dict[str, dict[str, Any]] = {}
    left = []
    measured = {} if again else _measured(folder)
    for job in jobs:
        known = None if again else _known(job, folder)
        targets = tuple(
            target for target in job.targets if known is None or not _is_there(job, known, target, measured)
        )
        if known is not None and (known["bundle"] is None or not targets):
            records[job.name] = known
            on_job(job, "known")
        else:
            left.append((job, known, targets))
    for job, outcome in (runner or _here(folder, on_job))(left):
        if outcome.results:
            append_results(folder / FILE_NAME, outcome.results)
        # After the results, which a record stands for.
        write_text(folder / JOBS / f"{job.name}.json", json.dumps(outcome.record, indent=2, sort_keys=True) + "\n")
        records[job.name] = outcome.record
        on_job(job, "done")
    return [records[job.name] for job in jobs]


def _here(folder: Path, on_job: Callable[[Job, str], None]) -> Runner:
    def run(jobs: Sequence[tuple[Job, dict[str, Any] | None, tuple[str, ...]]]) -> Iterator[tuple[Job, Outcome]]:
        for job, known, targets in jobs:
            on_job(job, "begins")
            yield job, perform(job, known, targets, folder)

    return run


def perform(job: Job, known: dict[str, Any] | None, targets: Sequence[str], folder: Path) -> Outcome:
    """Exports a job's bundle into `folder`, unless its record says that it is there, and measures it on targets.

    Raises:
        UsageError: the export was asked for what does not exist.
    """
    record = {**(_export(job, folder) if known is None else known), "job": job.shown()}
    if record["bundle"] is None:
        return Outcome(record, [])
    failures = {target: text for target, text in record["failures"].items() if target not in targets}
    results = []
    for target in targets:
        try:
            results.append(_profile(folder / record["bundle"]["path"], target, job))
        except EdgekitError as error:
            failures[target] = str(error)
    return Outcome(record | {"failures": failures}, results)


def _known(job: Job, folder: Path) -> dict[str, Any] | None:
    """A record of before; None where it is of something else, is damaged, or its bundle is gone."""
    path = folder / JOBS / f"{job.name}.json"
    if not path.is_file():
        return None
    try:
        record = read_json_object(path)
        if (
            record["key"] != job.key()
            or not isinstance(record["job"], dict)
            or not isinstance(record["failures"], dict)
        ):
            return None
        if record["bundle"] is not None:
            Bundle.open(folder / BUNDLES / Path(record["bundle"]["path"]).name)
    except (EdgekitError, KeyError, TypeError):
        return None
    return record


def _measured(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The folder's results by bundle and target; nothing where they are damaged, so that all is measured again."""
    file = folder / FILE_NAME
    if not file.is_file():
        return {}
    try:
        found = read_results([file])
    except EdgekitError:
        file.replace(file.with_suffix(".damaged"))
        return {}
    return {(result["bundle"]["name"], target_of(result)): result for result in found}


def _is_there(job: Job, record: dict[str, Any], target: str, measured: dict[tuple[str, str], dict[str, Any]]) -> bool:
    if record["bundle"] is None:
        return False
    result = measured.get((Path(record["bundle"]["path"]).name, target))
    if result is None:
        return False
    return target == ESTIMATE or result["settings"]["runs"] == job.runs


def target_of(result: dict[str, Any]) -> str:
    """What `--target` takes for the target of a result; ESTIMATE where nothing was run."""
    kind, address = result["target"]["kind"], result["target"].get("address")
    return ESTIMATE if kind == "none" else target_name(kind, address)


def _export(job: Job, folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = {"job": job.shown(), "key": job.key(), "bundle": None, "error": None, "failures": {}}
    done = _edgekit("export", *job.arguments, "-o", str(folder / BUNDLES), "--force", "--json", "-q")
    if done.returncode == UsageError.exit_code:
        raise UsageError(_reason(done))
    if done.returncode != 0:
        return record | {"error": _reason(done)}
    (row,) = json.loads(done.stdout)["bundles"]
    return record | {"bundle": row | {"path": f"{BUNDLES}/{Path(row['path']).name}"}}


def _profile(bundle: Path, target: str, job: Job) -> dict[str, Any]:
    where = ["--estimate"] if target == ESTIMATE else ["--target", target, "--runs", str(job.runs), "--operators"]
    done = _edgekit("profile", str(bundle), *where, "--json", "-q")
    if done.returncode != 0:
        raise EdgekitError(_reason(done))
    (result,) = json.loads(done.stdout)["results"]
    return check_result(result, f"what `edgekit profile` gave for {bundle.name}")


def _edgekit(*arguments: str) -> CompletedProcess[str]:
    return run_program([*EDGEKIT, *arguments])


def _reason(done: CompletedProcess[str]) -> str:
    """The sentence that a failed command ended with."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("edgekit: ")]
    if lines:
        return lines[-1].split(": ", 2)[-1]
    return f"its process was ended by signal {-done.returncode}" if done.returncode < 0 else "its process failed"


def all_records(folder: Path, records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """These records and the others that the folder has, by model and device, the most exact recipe first."""
    mine = list(records)
    names = {record["job"]["name"] for record in mine}
    others = []
    for path in sorted((folder / JOBS).glob("*.json")):
        if path.stem not in names:
            try:
                record = read_json_object(path)
                _ = (
                    record["job"]["rank"],
                    record["job"]["device"],
                    record["bundle"],
                    record["error"],
                    record["failures"],
                )
            except (EdgekitError, KeyError, TypeError):
                continue
            others.append(record)
    order = list(_TOOLS)
    return sorted(
        mine + others,
        key=lambda record: (
            record["job"]["model"],
            record["job"]["device"],
            order.index(record["job"]["format"]),
            record["job"]["rank"],
        ),
    )
