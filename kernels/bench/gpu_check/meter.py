"""Measuring on a GPU: times by CUDA events, memory, launches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

#: What takes its turn; it is told the round, so that it can take other inputs.
Run = Callable[[int], object]
#: Calls before those that count.
WARM_UP = 3


class Meter(Protocol):
    """What measures; tests bring one without a GPU.

    Attributes:
        device: where the tensors are.
    """

    device: torch.device

    def times(self, contenders: Mapping[str, Run], rounds: int) -> dict[str, list[float]]:
        """Milliseconds of a call, by contender and round; they take turns, each with a cold L2 cache."""

    def extra_bytes(self, run: Callable[[], Tensor]) -> int:
        """The most memory that a call takes beside what it is given and what it returns."""

    def kernels(self, run: Callable[[], object]) -> list[str] | None:
        """Names of the kernels that a call launches; None where that cannot be known."""

    def bandwidth(self) -> float:
        """GB/s of the GPU's memory: the best that is known of it, so that a share of it says the least."""


class CudaMeter:
    """A GPU, by torch; the first where none is named."""

    #: Bytes that are written between calls: more than any L2 cache, and time enough for the host to go ahead, so that
    #: what is measured is the GPU's.
    FLUSH = 256 << 20
    #: Bytes that the bandwidth is measured on.
    LARGE = 1 << 30

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cuda", 0)
        self._other = torch.empty(self.FLUSH, dtype=torch.uint8, device=self.device)

    def times(self, contenders: Mapping[str, Run], rounds: int) -> dict[str, list[float]]:
        for run in contenders.values():
            for turn in range(WARM_UP):
                run(turn)
        torch.cuda.synchronize()
        order, events = list(contenders), []
        for turn in range(rounds):
            first = turn % len(order)
            for name in order[first:] + order[:first]:
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                self._other.zero_()
                begin.record()
                contenders[name](turn)
                end.record()
                events.append((name, begin, end))
            torch.cuda.synchronize()
        found: dict[str, list[float]] = {name: [] for name in order}
        for name, begin, end in events:
            found[name].append(begin.elapsed_time(end))
        return found

    def extra_bytes(self, run: Callable[[], Tensor]) -> int:
        """By torch's allocator, which counts every byte; and by the driver, for what does not come from there, looked
        at all the time while the call runs. What it keeps afterwards is its own, too."""
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        before, outside_before = torch.cuda.memory_allocated(), self._outside()
        torch.cuda.reset_peak_memory_stats()
        most, done = [outside_before], threading.Event()

        def watch() -> None:
            while not done.is_set():
                most[0] = max(most[0], self._outside())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            result = run()
            torch.cuda.synchronize()
        finally:
            done.set()
            watcher.join()
        most[0] = max(most[0], self._outside())
        inside = torch.cuda.max_memory_allocated() - before - result.numel() * result.element_size()
        return inside + most[0] - outside_before

    def kernels(self, run: Callable[[], object]) -> list[str] | None:
        run()
        torch.cuda.synchronize()
        activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profile:
            run()
            torch.cuda.synchronize()
        there = [event for event in profile.events() or [] if event.device_type == torch.autograd.DeviceType.CUDA]
        # Without CUPTI there is nothing at all.
        return [one.name for one in there if not one.name.startswith(("Memcpy", "Memset"))] if there else None

    def bandwidth(self) -> float:
        memory = torch.ones(self.LARGE // 4, device=self.device)
        copy = torch.empty_like(memory)
        size = memory.numel() * memory.element_size()
        found = self.times({"read": lambda turn: memory.sum(), "copy": lambda turn: copy.copy_(memory)}, 20)
        measured = max(size / min(found["read"]), 2 * size / min(found["copy"])) / 1e6
        return max(measured, self._theoretical())

    def _theoretical(self) -> float:
        """By clock and width, where torch says them; two transfers a clock."""
        properties = torch.cuda.get_device_properties(self.device)
        clock, width = (getattr(properties, name, 0) for name in ("memory_clock_rate", "memory_bus_width"))
        return float(2e3 * clock * width / 8 / 1e9)

    def _outside(self) -> int:
        """Bytes in use on the GPU that torch's allocator has not reserved; 0 where it has none of its own."""
        if getattr(torch.cuda.get_device_properties(self.device), "is_integrated", False):
            return 0
        free, total = torch.cuda.mem_get_info(self.device)
        return int(total - free - torch.cuda.memory_reserved(self.device))
