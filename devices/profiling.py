"""A bundle profiled on a target: its own runner timed there, beside what the device says of itself, as a result."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgekit.bundle import Bundle
from edgekit.devices.power import power
from edgekit.devices.results import new_result
from edgekit.devices.targets.target import LostConnection, Target, read_json
from edgekit.errors import EdgekitError

#: Seconds after which a run hangs for sure, and after which a busy board is given up.
LIMIT = 1800.0
#: Of power: seconds at rest and seconds of calls, and milliseconds between tegrastats' lines.
REST, WORK, INTERVAL = 3.0, 5.0, 100
#: Calls of a run that measures power, at most.
MOST_RUNS = 1_000_000


@dataclass(frozen=True)
class Settings:
    """How a bundle is timed.

    Attributes:
        runs: calls of each case that are timed.
        warmup: calls before them.
        threads: that operators share; None for what the runtime chooses.
        cpu_mask: of the cores that may be used, in hexadecimal: "f0" are cores 4 to 7; None for all.
        operators: also how long each operator takes, in a run of its own.
        keep: leave the bundle on the device.
        timeout: seconds that its runs may take.
    """

    runs: int = 50
    warmup: int = 5
    threads: int | None = None
    cpu_mask: str | None = None
    operators: bool = False
    keep: bool = False
    timeout: float = LIMIT

    def arguments(self) -> list[str]:
        """Of the runner."""
        words = ["--bench", str(self.runs), "--warmup", str(self.warmup), *self.cores()]
        return [*words, *(["--operators"] if self.operators else []), "--json"]

    def cores(self) -> list[str]:
        """Of the runner: on what it runs."""
        words = [] if self.threads is None else ["--threads", str(self.threads)]
        return words + ([] if self.cpu_mask is None else ["--cpu-mask", self.cpu_mask])

    def command(self, bundle: Bundle, target: Target) -> str:
        """The command line that measures the same again."""
        standard = Settings()
        words = ["edgekit", "profile", str(bundle.path)]
        words += [] if target.kind == "local" else ["--target", target.name]
        for option, value, usual in (
            ("--runs", self.runs, standard.runs),
            ("--warmup", self.warmup, standard.warmup),
            ("--threads", self.threads, None),
            ("--cpu-mask", self.cpu_mask, None),
        ):
            words += [] if value == usual else [option, str(value)]
        return shlex.join([*words, *(["--operators"] if self.operators else [])])


def profile(bundle: Bundle, target: Target, settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """Measures a bundle on a target.

    Args:
        bundle: one whose files were checked.
        target: entered and locked.
        settings: how.
        say: told what goes on.

    Returns:
        A result (`edgekit.devices.results`) with `machine`, `settings` and `measured`. With `settings.operators` the
        cases of `measured` still have the runner's own `operators`, for `edgekit.export.program_results`, and `peaks`
        is what the machine reaches at most.

    Raises:
        UsageError: the bundle cannot run there.
        EdgekitError: it did not; the sentence says why, and that the device is clean.
    """
    target.check(bundle)
    try:
        folder = target.put(bundle, settings.keep, say)
        say(f"{bundle.name}: {settings.runs} runs")
        measured = read_json(bundle, target.run(bundle, folder, settings.arguments(), settings.timeout).out)
        measured["power"] = None
        if settings.operators and not target.emulated:
            measured["peaks"] = _peaks(bundle, target, folder, settings, say)
        if target.facts.has_tegrastats and not target.emulated:
            say(f"{bundle.name}: power")
            measured["power"] = _power(bundle, target, folder, settings, measured)
    except LostConnection as error:
        raise EdgekitError(f"{error} while {bundle.name} was measured: {target.recover(say)}.") from error
    result = new_result(bundle, settings.command(bundle, target), target.describe())
    return result | {
        "machine": target.machine(bundle),
        "settings": {
            "runs": settings.runs,
            "warmup": settings.warmup,
            "threads": measured.get("threads"),
            "cpu_mask": settings.cpu_mask,
        },
        "measured": measured,
    }


def _peaks(
    bundle: Bundle, target: Target, folder: str, settings: Settings, say: Callable[[str], None]
) -> dict[str, Any] | None:
    """What the device reaches at most, by the bundle's runner; once a session."""
    if target.peaks is None:
        say("peaks of the machine")
        words = ["--peaks", "--json", *settings.cores()]
        target.peaks = read_json(bundle, target.run(bundle, folder, words, settings.timeout).out)
    return target.peaks


def _power(
    bundle: Bundle, target: Target, folder: str, settings: Settings, measured: dict[str, Any]
) -> dict[str, Any] | None:
    """Power at rest, and in a second run that is long enough for the sensors; of the case that takes longest."""
    case = max(measured["cases"], key=lambda one: one["p50_ms"])
    runs = min(max(settings.runs, math.ceil(1e3 * WORK / max(case["p50_ms"], 1e-3))), MOST_RUNS)
    arguments = Settings(runs, 1, settings.threads, settings.cpu_mask).arguments()
    if len(measured["cases"]) > 1:
        arguments += ["--method", case["method"]]
    lines = target.power_lines(INTERVAL)
    try:
        time.sleep(REST)
        ended = target.run(bundle, folder, arguments, settings.timeout + 2 * WORK)
    finally:
        lines.close()
    again = read_json(bundle, ended.out)
    # Calls are the last thing that the runner does, those of one case after those of another.
    until, since = ended.ended, ended.ended
    for found in reversed(again["cases"]):
        until, since = since, since - 1e-3 * sum(found["times_ms"])
        if found["name"] == case["name"]:
            break
    mean = sum(found["times_ms"]) / len(found["times_ms"])
    energy = power(lines.lines, (ended.began - REST, ended.began), (since, until), mean)
    return None if energy is None else energy | {"case": case["name"]}
