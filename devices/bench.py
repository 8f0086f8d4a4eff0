"""A bundle timed and weighed on this machine, in a process of its own: its runner's `--bench`."""

from __future__ import annotations

import json
import platform
import signal
import subprocess
from pathlib import Path
from typing import Any

from edgekit.bundle import RUNNER, Bundle
from edgekit.errors import EdgekitError

#: Seconds after which a run hangs for sure.
LIMIT = 1800.0
#: ELF's e_machine (System V ABI, chapter 4).
_MACHINES = {62: "x86_64", 183: "aarch64"}


def bench(bundle: Bundle, runs: int) -> dict[str, Any]:
    """What the runner says of `runs` calls of the bundle's first method on zeros, at its largest shapes.

    Returns:
        `load_ms`, `first_ms`, `p50_ms`, `p90_ms`, `p99_ms`, `threads`, `peak_memory_bytes` (of the whole process) and
        `memory` (bytes by part).

    Raises:
        EdgekitError: the bundle has no runner or is another machine's, or the runner fails.
    """
    runner = bundle.path / RUNNER
    if not runner.is_file():
        raise EdgekitError(f"{bundle.name} carries no runner: export it without --no-native.")
    if _machine(runner) != platform.machine():
        raise EdgekitError(f"{bundle.name} is for {_machine(runner)}, this machine is {platform.machine()}.")
    return _json(bundle, [str(runner.absolute()), "--bench", str(runs), "--json"])


def _machine(program: Path) -> str:
    """The architecture that an ELF program is for."""
    with program.open("rb") as file:
        header = file.read(20)
    return _MACHINES.get(int.from_bytes(header[18:20], "little"), "another architecture")


def _json(bundle: Bundle, command: list[str]) -> dict[str, Any]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired as error:
        raise EdgekitError(
            f"{bundle.name} did not finish its runs in {LIMIT:.0f} s: give fewer with --runs."
        ) from error
    except OSError as error:
        raise EdgekitError(f"{bundle.name}'s runner does not start ({error}): export it again.") from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise EdgekitError(f"{bundle.name}'s runner was ended by {name}: free some memory, or export it smaller.")
    if done.returncode != 0:
        raise EdgekitError(done.stderr.strip().removeprefix("edgekit-run: ").removeprefix("error: "))
    found: dict[str, Any] = json.loads(done.stdout)
    return found
