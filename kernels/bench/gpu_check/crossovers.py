"""From which work on an operator is faster on the GPU, called as a session calls it: what a device profile is given.

The tensors lie in the program's memory. A call on the GPU ends with its wait, and copies, as the library does with
memory that it knows nothing of: in a session it can only be faster.
"""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from edgekit.errors import EdgekitError
from edgekit.kernels import native, ops
from edgekit.kernels.sea import SeaState, random_weights

#: How `edgekit_use_gpu` calls them (include/edgekit/gpu.h).
WHERE_IT_PAYS, NEVER, ALWAYS = 1, 2, 3
#: Heads, size, features, cells, budget and context of the layer that is taken, as large as one of OPT-125M.
HEADS, SIZE, FEATURES, CELLS, BUDGET, CONTEXT = 12, 64, 33, 256, 64, 2048
#: Rounds of each size.
ROUNDS = 9


@dataclass(frozen=True)
class Point:
    """An operator at one size.

    Attributes:
        work: in the operator's units (`edgekit.devices.gpu_work.UNITS`).
        run: calls it.
    """

    work: int
    run: Callable[[], object]


@dataclass(frozen=True)
class Crossover:
    """An operator over its sizes.

    Attributes:
        operator: its name.
        least_work: the least from which on it is faster at all larger sizes; None: it never is.
        work, cpu_ms, gpu_ms: what was measured.
    """

    operator: str
    least_work: int | None
    work: tuple[int, ...]
    cpu_ms: tuple[float, ...]
    gpu_ms: tuple[float, ...]


class Switch:
    """Where operators run in this process."""

    def __init__(self) -> None:
        self._library = native.operators()
        if not hasattr(self._library, "edgekit_use_gpu"):
            raise EdgekitError("the operator library knows nothing of GPUs: install edgekit again.")
        self._library.edgekit_gpu_operator.restype = ctypes.c_char_p
        names = iter(lambda: self._library.edgekit_gpu_operator(len(self._names)), None)
        self._names: list[str] = []
        for name in names:
            self._names.append(name.decode())

    def use(self, where: int) -> None:
        """`NEVER`, `ALWAYS` or `WHERE_IT_PAYS`."""
        self._library.edgekit_use_gpu(where)

    def calls(self, operator: str) -> int:
        """How often the operator ran on the GPU so far."""
        counts = (ctypes.c_int64 * (2 * len(self._names) + 3))()
        self._library.edgekit_gpu_count(counts)
        return int(counts[self._names.index(operator)])


def crossovers(
    points: Mapping[str, Sequence[Point]], use: Callable[[int], None], rounds: int = ROUNDS
) -> Iterator[Crossover]:
    """Times each operator on both sides, in turns.

    Args:
        points: by operator, the smallest first.
        use: sends operators to one side.
        rounds: of each.
    """
    for operator, several in points.items():
        cpu, gpu = [], []
        for point in several:
            here, there = _times(point.run, use, rounds)
            cpu.append(here)
            gpu.append(there)
        first = len(several)
        while first > 0 and gpu[first - 1] < cpu[first - 1]:
            first -= 1
        least = several[first].work if first < len(several) else None
        yield Crossover(operator, least, tuple(one.work for one in several), tuple(cpu), tuple(gpu))


def _times(run: Callable[[], object], use: Callable[[int], None], rounds: int) -> tuple[float, float]:
    """Milliseconds on the CPU and on the GPU."""
    found: dict[int, list[float]] = {NEVER: [], ALWAYS: []}
    try:
        for turn in range(rounds + 1):
            for where, times in found.items():
                use(where)
                start = time.perf_counter()
                run()
                if turn > 0:  # the first wakes code and threads
                    times.append(1e3 * (time.perf_counter() - start))
    finally:
        use(WHERE_IT_PAYS)
    return statistics.median(found[NEVER]), statistics.median(found[ALWAYS])


def all_points(largest: int = 10) -> dict[str, list[Point]]:
    """Each operator at sizes that double, `largest` times."""
    return {
        "sparse_topk": [_topk(2**power) for power in range(largest + 3)],
        "kv_append": [_append(2**power) for power in range(largest)],
        "sparse_topk_attention": [_attention(2**power) for power in range(largest)],
        "sea_estimate": [_estimate(2**power) for power in range(largest)],
        "csr_matmul": [_matmul(2**power) for power in range(largest)],
    }


def check_used(points: Mapping[str, Sequence[Point]], switch: Switch) -> None:
    """Runs each operator once on the GPU.

    Raises:
        EdgekitError: it stayed on the CPU.
    """
    switch.use(ALWAYS)
    try:
        for operator, several in points.items():
            before = switch.calls(operator)
            several[-1].run()
            if switch.calls(operator) == before:
                raise EdgekitError(
                    f"{operator} does not run on the GPU with EDGEKIT_GPU=1: its limits are not measured."
                )
    finally:
        switch.use(WHERE_IT_PAYS)


def toml(found: Sequence[Crossover], source: str) -> str:
    """What is put into a device profile."""
    lines = ["[gpu.least_work]", f"# Measured: {source}"]
    for one in found:
        if one.least_work is not None:
            lines.append(f"{one.operator} = {one.least_work}")
        else:
            lines.append(f"# {one.operator}: slower on the GPU at {one.work[-1]:,} too")
    return "\n".join(lines)


def _topk(rows: int) -> Point:
    x = torch.randn(rows, 1024)
    return Point(x.numel(), lambda: ops.sparse_topk(x, 32))


def _append(rows: int) -> Point:
    caches = [torch.zeros(HEADS, CONTEXT, SIZE) for _ in range(2)]
    k, v = (torch.randn(HEADS, rows, SIZE) for _ in range(2))
    return Point(k.numel(), lambda: ops.kv_append(k, v, 0, *caches))


def _attention(rows: int) -> Point:
    caches = [torch.randn(HEADS, CONTEXT, SIZE) for _ in range(2)]
    q, mean = (torch.randn(HEADS, rows, SIZE) for _ in range(2))
    scores, gates, start = torch.randn(HEADS, rows, CELLS), torch.rand(HEADS, rows, 2), CONTEXT - rows
    return Point(
        HEADS * rows * BUDGET * SIZE * 2,
        lambda: ops.sparse_topk_attention(q, *caches, scores, gates, mean, start, BUDGET),
    )


def _estimate(rows: int) -> Point:
    weights = random_weights(HEADS, SIZE, FEATURES, CELLS, CONTEXT)
    state = SeaState.zeros(HEADS, SIZE, FEATURES, len(weights.row_norm_weight))
    q, k, v = (torch.randn(HEADS, rows, SIZE) for _ in range(3))
    return Point(HEADS * rows, lambda: ops.sea_estimate(q, k, v, 0, weights, state))


def _matmul(columns: int) -> Point:
    generator = torch.Generator().manual_seed(0)
    rows, entries = 1024, 51
    crow = torch.arange(0, rows * entries + 1, entries)
    col = torch.stack(
        [torch.randperm(rows, generator=generator)[:entries].sort().values for _ in range(rows)]
    ).flatten()
    val, x = torch.randn(rows * entries), torch.randn(rows, columns)
    return Point(rows * entries * columns, lambda: ops.csr_matmul(crow, col, val, x))
