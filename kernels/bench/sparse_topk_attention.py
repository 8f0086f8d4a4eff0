"""One decode step of sparse_topk_attention, and kv_append of one row, against dense attention.

    python kernels/bench/sparse_topk_attention.py [--threads 2] [--runs 40] [--json FILE]

Every run has new inputs. Before each timed call 128 MB are written by something else, so that the KV cache comes from
memory, as it does in a model whose other layers ran in between; then the same operator runs on a short cache, so that
code and threads are awake. The operators take turns; a ratio is of two neighbours in time, its median and quartiles are
over the runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import edgekit.kernels
from edgekit.kernels import ops, reference

HEADS, SIZE, BUDGET, CELLS = 12, 64, 64, 256
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "int8": torch.int8}

_other = np.zeros(32 * 2**20, dtype=np.float32)


def seconds(call: Callable[[], object], short: Callable[[], object]) -> float:
    """One call with a cold cache: numpy flushes it, for its thread leaves torch's and ExecuTorch's pools alone."""
    np.add(_other, 1, out=_other)
    for _ in range(3):
        short()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high


class Step:
    """The tensors of one layer's decode step with a full cache of `length` tokens."""

    def __init__(self, length: int) -> None:
        self.length = length
        k, v = (torch.randn(HEADS, length, SIZE) for _ in range(2))
        self.caches = {}
        for name, dtype in DTYPES.items():
            tensors = [torch.zeros(HEADS, length, SIZE, dtype=dtype) for _ in range(2)]
            tensors += [torch.zeros(HEADS, length) for _ in range(2)] if dtype == torch.int8 else []
            reference.kv_append(k, v, 0, *tensors)
            self.caches[name] = tensors
        self.by_token = [cache.transpose(0, 1).contiguous()[None] for cache in self.caches["fp32"]]
        self.renew()

    def renew(self) -> None:
        self.q, self.mean = (torch.randn(HEADS, 1, SIZE) * SIZE**-0.5 for _ in range(2))
        self.scores, self.gates = torch.randn(HEADS, 1, CELLS) * 2, torch.rand(HEADS, 1, 2)
        self.row = torch.randn(HEADS, 1, SIZE), torch.randn(HEADS, 1, SIZE)

    def sparse(self, name: str) -> Tensor:
        k, v, *scales = self.caches[name]
        return ops.sparse_topk_attention(
            self.q, k, v, self.scores, self.gates, self.mean, self.length - 1, BUDGET, *scales
        )

    def append(self, name: str) -> Tensor:
        k, v, *scales = self.caches[name]
        return ops.kv_append(*self.row, self.length - 1, k, v, *scales)

    def custom_sdpa(self) -> Tensor:
        k, v = self.by_token
        q = self.q.transpose(0, 1)[None]
        return torch.ops.llama.custom_sdpa(q, k, v, self.length - 1, None, 0.0, True, 1.0)

    def torch_sdpa(self) -> Tensor:
        k, v = self.caches["fp32"][:2]
        return functional.scaled_dot_product_attention(self.q[None], k[None], v[None], scale=1.0)

    def calls(self) -> dict[str, Callable[[], Tensor]]:
        return {
            "sparse fp32": lambda: self.sparse("fp32"),
            "custom_sdpa": self.custom_sdpa,
            "torch sdpa": self.torch_sdpa,
            "sparse fp16": lambda: self.sparse("fp16"),
            "sparse int8": lambda: self.sparse("int8"),
            "append fp32": lambda: self.append("fp32"),
            "append int8": lambda: self.append("int8"),
        }


def measure(length: int, runs: int) -> dict[str, list[float]]:
    step, short = Step(length), Step(128).calls()
    torch.testing.assert_close(step.custom_sdpa()[0].transpose(0, 1), step.torch_sdpa()[0], atol=1e-5, rtol=1e-4)
    times: dict[str, list[float]] = {name: [] for name in short}
    for run in range(runs + 3):
        for name, call in step.calls().items():
            step.renew()
            taken = seconds(call, short[name])
            if run >= 3:
                times[name].append(taken)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--isa", choices=edgekit.kernels.ISAS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401
    from executorch.extension.pybindings import portable_lib

    torch.set_num_threads(arguments.threads)
    portable_lib._unsafe_reset_threadpool(arguments.threads)
    edgekit.kernels.use_isa(arguments.isa)
    torch.manual_seed(0)
    print(f"{HEADS} heads x {SIZE}, k = {BUDGET}, K = {CELLS}, {arguments.threads} threads, {edgekit.kernels.isa()}")
    print("Medians of microseconds; ratios to sparse fp32: median (quartiles)")
    records = {length: measure(length, arguments.runs) for length in arguments.lengths}
    names = list(next(iter(records.values())))
    print("     L " + "".join(f"{name:>13}" for name in names) + "       custom_sdpa : sparse     torch sdpa : sparse")
    for length, times in records.items():
        line = f"{length:6} " + "".join(f"{statistics.median(times[name]) * 1e6:13.1f}" for name in names)
        for name in ("custom_sdpa", "torch sdpa"):
            low, middle, high = quartiles([a / b for a, b in zip(times[name], times["sparse fp32"], strict=True)])
            line += f"   {middle:6.1f} ({low:6.1f} - {high:6.1f})"
        print(line)
    first, last = (statistics.median(records[length]["sparse fp32"]) for length in (min(records), max(records)))
    print(f"sparse fp32 from L = {min(records)} to {max(records)}: {last / first:.2f}x")
    if arguments.json:
        arguments.json.write_text(json.dumps({"threads": arguments.threads, "seconds": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
