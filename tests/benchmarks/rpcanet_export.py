"""What export's simplifications of RPCANet are worth: time per frame, file size, export time and memory.

    python tests/benchmarks/rpcanet_export.py [--variant s3] [--size 256x256] [--rounds 7]

The programs take turns on one frame, so that a busy machine disturbs all of them alike. Weights are random: they change
neither time nor size.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from edgekit.export import executorch
from edgekit.export.capture import capture
from edgekit.export.quantize import quantize
from edgekit.export.recipes import find_recipe
from edgekit.models.rpcanet.checkpoint import Checkpoint
from edgekit.models.rpcanet.config import find_config
from edgekit.models.rpcanet.model import RPCANetModel
from edgekit.models.rpcanet.module import RPCANet

PROGRAMS = ("naive fp32", "fp32", "int8")


def make(program: str, variant: str, size: tuple[int, int], path: Path) -> str:
    """Exports one program into a file; gives what was left to portable kernels."""
    torch.manual_seed(0)
    module = RPCANet(find_config(variant)).eval().requires_grad_(False)
    model = RPCANetModel(Checkpoint(module, variant, {}), sizes=[size])
    methods = model.methods()
    graphs = capture(model.reference if program == "naive fp32" else model.device_module, methods)
    recipe = find_recipe("int8" if program == "int8" else "fp32")
    lowered = executorch.lower(quantize(model, graphs, methods, recipe))
    path.write_bytes(lowered.data)
    (count,) = lowered.macs.values()
    return ", ".join(sorted(count.undelegated)) or "nothing that multiplies"


def frame_time(path: Path, size: tuple[int, int]) -> Callable[[], float]:
    """Runs a program on one frame; gives the seconds."""
    import executorch.kernels.quantized  # noqa: F401 (registers the kernels of int8)
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(path)
    (name,) = program.method_names
    method = program.load_method(name)
    frame = torch.from_numpy(np.random.default_rng(0).random((1, 1, *size), np.float32))

    def run() -> float:
        begin = time.perf_counter()
        method.execute([frame])
        return time.perf_counter() - begin

    run()
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="s3")
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    height, width = (int(side) for side in options.size.split("x"))
    if options.make:  # in a process of its own, whose peak memory is this export's
        begin = time.perf_counter()
        outside = make(options.make, options.variant, (height, width), options.path)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"export {time.perf_counter() - begin:5.1f} s, {peak:.2f} GB; outside the delegate: {outside}")
        return

    print(
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}; {options.variant} at {options.size}"
    )
    weights = 4 * sum(parameter.numel() for parameter in RPCANet(find_config(options.variant)).parameters())
    print(f"weights in fp32: {weights / 1e6:.2f} MB")
    with tempfile.TemporaryDirectory() as folder:
        runs = {}
        for program in PROGRAMS:
            path = Path(folder) / f"{program}.pte"
            arguments = ["--variant", options.variant, "--size", options.size, "--make", program, "--path", str(path)]
            child = subprocess.run(
                [sys.executable, __file__, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                check=True,
            )
            print(f"{program:10s}  {path.stat().st_size / 1e6:6.2f} MB  {child.stdout.strip()}")
            runs[program] = frame_time(path, (height, width))
        times = {program: [] for program in PROGRAMS}
        for _ in range(options.rounds):
            for program, run in runs.items():
                times[program].append(run())
    for program, seconds in times.items():
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"{program:10s}  median {np.median(seconds):.2f} s a frame ({spread}, {options.rounds} rounds)")
    for slow, fast in (("naive fp32", "fp32"), ("fp32", "int8")):
        ratios = np.array(times[slow]) / np.array(times[fast])
        print(f"{slow} / {fast}: {np.median(ratios):.2f} (paired, {ratios.min():.2f} to {ratios.max():.2f})")


if __name__ == "__main__":
    main()
