"""Runners under a hard limit of memory: they run at the peak that was predicted, and end in order far below it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgekit.bundle import RUNNER

#: Shares of the predicted peak: with 5 % to spare it runs, with this much less it does not.
ROOM, SHORT = 1.05, 0.6


@dataclass(frozen=True)
class Limited:
    """A runner's calls under limits.

    Attributes:
        bundle: its name.
        predicted: bytes at the peak, as its manifest says.
        measured: bytes at the peak, as the runner says under the limit; None if it did not run.
        runs: whether it ran under ROOM of the prediction.
        said: its sentence, where it did not.
        short_code: its exit code under SHORT of it.
        short_said: what it said then.
    """

    bundle: str
    predicted: int
    measured: int | None
    runs: bool
    said: str
    short_code: int
    short_said: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def short_is_said(self) -> bool:
        """Whether it ended under SHORT with one sentence, not by a signal; or could do with that."""
        return self.short_code == 0 or (self.short_code == 1 and len(self.short_said.splitlines()) == 1)


def bench(bundle: Path, limit: int, threads: int) -> subprocess.CompletedProcess[str]:
    """Times the bundle's cases under a limit of its data, in bytes; every thread's stack is in that."""
    runner = [str(bundle / RUNNER), "--bench", "2", "--warmup", "1", "--threads", str(threads), "--json"]
    command = ["prlimit", f"--data={limit}", *runner]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def limited(folder: Path) -> Limited:
    """Runs a bundle that carries its runner under both limits."""
    memory = json.loads((folder / "manifest.json").read_text())["memory"]
    predicted, threads = int(memory["peak"]), int(memory["threads"])
    done, short = (bench(folder, int(share * predicted), threads) for share in (ROOM, SHORT))
    measured = int(json.loads(done.stdout)["peak_memory_bytes"]) if done.returncode == 0 else None
    return Limited(
        folder.name, predicted, measured, done.returncode == 0, done.stderr.strip(), short.returncode, short.stderr
    )
