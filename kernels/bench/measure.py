"""Measuring side by side: contenders take turns on fresh inputs, so that a busy machine disturbs all of them alike."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from edgekit import kernels
from edgekit.native_log import captured_stderr

from .machine import beyond_cache

#: The contender that all others are compared with.
OURS = "edgekit"
#: Units of a rate; the machine has a peak in each.
READING, COMPUTING = "GB/s", "GFLOP/s"


@dataclass(frozen=True)
class Contender:
    """What takes part in a case.

    Attributes:
        run: a function of the case's inputs.
        work: bytes or operations of one call, whatever the unit counts; None where a rate says nothing.
        unit: `READING` or `COMPUTING`.
        isa: edgekit's instruction set while it runs; None for the best.
        awake: a short call of the same kind, which wakes code and threads after the cache has been emptied; contenders
            that have one are timed with a cold cache.
        answer: makes a tensor of what `run` gives, the same for all contenders of a case that have one, or the
            measurement is refused.
    """

    run: Callable[..., Any]
    work: float | None = None
    unit: str = READING
    isa: str | None = None
    awake: Callable[[], object] | None = None
    answer: Callable[[Any], Tensor] | None = None


@dataclass(frozen=True)
class Row:
    """One contender on one case.

    Attributes:
        case: the operator's sizes.
        contender: what ran.
        milliseconds: the median of its rounds.
        ratio: its time by edgekit's, round by round: the median.
        ratio_p10, ratio_p90: the 10th and 90th percentile of the same.
        rate: work per second at the median, in 1e9 of `unit`; None where it says nothing.
        unit: of the rate; None without one.
    """

    case: str
    contender: str
    milliseconds: float
    ratio: float
    ratio_p10: float
    ratio_p90: float
    rate: float | None
    unit: str | None


def compare(
    case: str, contenders: Mapping[str, Contender], inputs: Callable[[int], Sequence[object]], rounds: int
) -> list[Row]:
    """Times contenders, one of which is `OURS`, on the same inputs.

    Args:
        case: what to call it.
        contenders: by name.
        inputs: makes new inputs from a seed.
        rounds: how often each has its turn.

    Raises:
        AssertionError: contenders that should agree do not.
    """
    pool = [inputs(0)]
    size = sum(tensor.nbytes for tensor in pool[0] if isinstance(tensor, Tensor))
    # Many of them, or a branch predictor knows small ones by heart.
    pool += [inputs(seed) for seed in range(1, max(4, min(100, (64 << 20) // max(size, 1))))]
    with captured_stderr():  # one line for every call of llama::custom_sdpa
        seconds = _rounds(case, contenders, pool, rounds)
    return [_row(case, name, contenders[name], times, seconds[OURS]) for name, times in seconds.items()]


def by_isa(ours: Contender) -> dict[str, Contender]:
    """The operator in the best instruction set of this CPU, and in plain C++."""
    return {OURS: ours, f"{OURS} scalar": replace(ours, isa="scalar")}


def _rounds(
    case: str, contenders: Mapping[str, Contender], pool: Sequence[Sequence[object]], rounds: int
) -> dict[str, list[float]]:
    """Seconds per call of every contender in every round."""
    _agree(case, contenders, pool[0])
    calls = {name: _calls(contender, pool) for name, contender in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for turn in range(rounds):
        first = turn % len(order)
        for name in order[first:] + order[:first]:
            # Contenders of one speed have the same inputs in a turn; a quicker one goes on to further ones.
            start = turn * min(calls.values())
            batch = [pool[(start + call) % len(pool)] for call in range(calls[name])]
            seconds[name].append(_time(contenders[name], batch))
    return seconds


def _calls(contender: Contender, pool: Sequence[Sequence[object]]) -> int:
    """How many calls make a turn: one with a cold cache, else as many as take 5 ms."""
    if contender.awake is not None:
        return 1
    once = min(_time(contender, pool[:1]) for _ in range(3))
    return max(1, min(200, int(0.005 / max(once, 1e-7))))


def _agree(case: str, contenders: Mapping[str, Contender], arguments: Sequence[object]) -> None:
    """Calls every contender once, and compares their answers."""
    expected = None
    for name, contender in contenders.items():
        with _isa(contender.isa):
            found = contender.run(*arguments)
        if contender.answer is None:
            continue
        answer = contender.answer(found).float()
        if expected is None:
            expected = answer
        error = float((answer - expected).abs().max())
        if not error <= 1e-4 * float(expected.abs().max()):
            raise AssertionError(f"{case}: {name} is {error:.3g} off: it computes something else.")


def _time(contender: Contender, batch: Sequence[Sequence[object]]) -> float:
    """Seconds per call."""
    with _isa(contender.isa):
        if contender.awake is not None:
            _empty_cache()
            for _ in range(3):
                contender.awake()
        start = time.perf_counter()
        for arguments in batch:
            contender.run(*arguments)
        return (time.perf_counter() - start) / len(batch)


def _row(case: str, name: str, contender: Contender, times: Sequence[float], ours: Sequence[float]) -> Row:
    ratios = sorted(other / own for other, own in zip(times, ours, strict=True))
    median, tenth = statistics.median(times), len(ratios) // 10
    rate = None if contender.work is None else 1e-9 * contender.work / median
    unit = None if rate is None else contender.unit
    spread = statistics.median(ratios), ratios[tenth], ratios[-1 - tenth]
    return Row(case, name, 1e3 * median, *spread, rate, unit)


@contextmanager
def _isa(name: str | None) -> Iterator[None]:
    """An instruction set for a block; None changes nothing."""
    if name is None:
        yield
        return
    kernels.use_isa(name)
    try:
        yield
    finally:
        kernels.use_isa(None)


def _empty_cache() -> None:
    """Writes other memory. With numpy: its thread leaves torch's and ExecuTorch's pools alone."""
    other = _other_memory()
    np.add(other, 1, out=other)


@functools.cache
def _other_memory() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.zeros(beyond_cache() // 4, dtype=np.float32)
