"""A sweep's jobs on the workers of a Dask cluster (the extra `edgekit[cluster]`).

Workers need edgekit and a disk of their own: a bundle goes to and fro with its job. A job whose worker is lost is done
by another one, which is Dask's doing. Checkpoints and data are named by path, and must be there on every worker.
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgekit import __version__
from edgekit.bundle import Bundle, writing
from edgekit.devices.sweep import BUNDLES, Job, Outcome, Runner, perform
from edgekit.errors import EdgekitError, UsageError

#: Seconds in which a scheduler answers.
PATIENCE = 15
#: Of a bundle that a worker sends.
MAX_BYTES = 8 << 30


def cluster_runner(scheduler: str, folder: Path) -> Runner:
    """Does jobs on a cluster, and puts their bundles into `folder`.

    Args:
        scheduler: its address, such as "tcp://lab:8786".
        folder: of the sweep.

    Raises:
        UsageError: Dask is not installed, or that is no address.
        EdgekitError: the scheduler does not answer, has no worker, or a worker has another edgekit.
    """
    try:
        import distributed
    except ImportError as error:
        raise UsageError(
            "--scheduler needs distributed: pip install 'edgekit[cluster]' (from a checkout: pip install '.[cluster]')."
        ) from error
    if "://" not in scheduler:
        raise UsageError(f"--scheduler {scheduler}: write its address as Dask prints it, such as tcp://lab:8786.")
    try:
        client = distributed.Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        raise EdgekitError(
            f"no scheduler answers at {scheduler}: start one (`dask scheduler`), or mend the address."
        ) from error
    try:
        _check_workers(client.run(_version), scheduler)
    except BaseException:
        client.close()
        raise

    def run(jobs: Sequence[tuple[Job, dict[str, Any] | None, tuple[str, ...]]]) -> Iterator[tuple[Job, Outcome]]:
        data = os.environ.get("EDGEKIT_DATA")
        with client:
            futures = {}
            for job, known, targets in jobs:
                carried = None if known is None else _pack(folder / known["bundle"]["path"])
                # Not pure: the same job may be asked for again on purpose.
                future = client.submit(perform_away, job, known, targets, carried, data, pure=False)
                futures[future] = job
            lost = []
            try:
                for future in distributed.as_completed(list(futures)):
                    job = futures.pop(future)
                    try:
                        outcome, packed = future.result()
                    except distributed.KilledWorker:
                        lost.append(job.name)
                        continue
                    if packed is not None:
                        _unpack(packed, folder / outcome.record["bundle"]["path"])
                    yield job, outcome
            finally:
                client.cancel(list(futures))
        if lost:
            raise EdgekitError(
                f"{', '.join(lost)} ended one worker after the other: give them more memory; the others are done."
            )

    return run


def perform_away(
    job: Job, known: dict[str, Any] | None, targets: Sequence[str], carried: bytes | None, data: str | None
) -> tuple[Outcome, bytes | None]:
    """`perform` on a worker, in a temporary folder.

    Args:
        job, known, targets: as `perform` takes them.
        carried: the bundle that the record speaks of, packed; None if there is none yet.
        data: what EDGEKIT_DATA is where the sweep was asked for.

    Returns:
        The outcome, and the bundle if it is new, packed.
    """
    if data is not None:
        os.environ["EDGEKIT_DATA"] = data
    with tempfile.TemporaryDirectory(prefix="edgekit-sweep.") as name:
        folder = Path(name)
        if known is not None and carried is not None:
            _unpack(carried, folder / known["bundle"]["path"])
        outcome = perform(job, known, targets, folder)
        made = known is None and outcome.record["bundle"] is not None
        return outcome, _pack(folder / outcome.record["bundle"]["path"]) if made else None


def _version() -> str:
    return __version__


def _check_workers(versions: dict[str, str], scheduler: str) -> None:
    if not versions:
        raise EdgekitError(f"the scheduler at {scheduler} has no worker: start one (`dask worker {scheduler}`).")
    for worker, found in sorted(versions.items()):
        if found != __version__:
            raise EdgekitError(f"the worker {worker} has edgekit {found}, here it is {__version__}: install the same.")


def _pack(bundle: Path) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in sorted(bundle.rglob("*")):
            if path.is_file():
                archive.add(path, path.relative_to(bundle).as_posix(), recursive=False)
    return stream.getvalue()


def _unpack(packed: bytes, target: Path) -> None:
    """A packed bundle, written whole; what is no bundle is refused by its hashes."""
    if target.parent.name != BUNDLES or target.name in ("", ".", ".."):
        raise EdgekitError(f"a worker sent a bundle for {target}, which is no place for one: is it the same edgekit?")
    with writing(target, force=True) as folder, tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        if sum(member.size for member in archive) > MAX_BYTES:
            raise EdgekitError(f"{target.name}, as a worker sent it, is larger than {MAX_BYTES >> 30} GiB.")
        archive.extractall(folder, filter="data")
        Bundle.open(folder)
