"""Measuring side by side: contenders take turns on fresh inputs, so that a busy machine disturbs all of them alike."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

#: The contender that all others are compared with.
OURS = "edgekit"


@dataclass(frozen=True)
class Row:
    """One contender on one case.

    Attributes:
        case: the operator's sizes.
        contender: what ran.
        milliseconds: the median of its rounds.
        ratio: its time by edgekit's, round by round: median, and the 10th and 90th percentile.
        rate: work per second at the median, in the unit that the case names; None where it says nothing.
    """

    case: str
    contender: str
    milliseconds: float
    ratio: tuple[float, float, float]
    rate: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(
    case: str,
    contenders: Mapping[str, Callable[..., object]],
    inputs: Callable[[int], Sequence[object]],
    work: Mapping[str, float] | None = None,
    rounds: int = 30,
) -> list[Row]:
    """Times contenders, one of which is `OURS`, on the same inputs.

    Args:
        case: what to call it.
        contenders: functions of the inputs.
        inputs: makes new inputs from a seed.
        work: what a contender does in one call, in units of 1e9 (bytes, operations).
        rounds: how often each runs; half a second each at least is allowed for by running short calls more often.
    """
    pool = [inputs(0)]
    size = sum(tensor.nbytes for tensor in pool[0] if isinstance(tensor, torch.Tensor))
    # Many of them, or a branch predictor knows small ones by heart.
    pool += [inputs(seed) for seed in range(1, max(4, min(100, (64 << 20) // max(size, 1))))]
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    once = max(_time(run, pool[:1]) for run in contenders.values())
    calls = max(1, min(200, int(0.005 / max(once, 1e-7))))
    order = list(contenders)
    for turn in range(rounds):
        batch = [pool[(turn + call) % len(pool)] for call in range(calls)]
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            seconds[name].append(_time(contenders[name], batch))
    rows = []
    for name, times in seconds.items():
        ratios = sorted(other / ours for other, ours in zip(times, seconds[OURS], strict=True))
        spread = (statistics.median(ratios), ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10])
        median = statistics.median(times)
        rate = work[name] / median if work and name in work else None
        rows.append(Row(case, name, 1e3 * median, spread, rate))
    return rows


def _time(run: Callable[..., object], batch: Sequence[Sequence[object]]) -> float:
    """Seconds per call."""
    start = time.perf_counter()
    for arguments in batch:
        run(*arguments)
    return (time.perf_counter() - start) / len(batch)


def machine() -> str:
    """CPU, cores and threads, in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{name or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
