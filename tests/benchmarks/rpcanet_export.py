"""What export's simplifications of RPCANet and edgekit's `conv2d` are worth: time per frame, file size and memory.

    python tests/benchmarks/rpcanet_export.py [--variant s3] [--size 256x256] [--rounds 7]

The programs take turns on one frame, so that a busy machine disturbs all of them alike. Weights are random: they change
neither time nor size.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from edgekit.devices.profile import load_profile
from edgekit.export import executorch
from edgekit.export.capture import capture
from edgekit.export.operators import choose_operators
from edgekit.export.quantize import quantize
from edgekit.export.recipes import find_recipe
from edgekit.models.rpcanet.checkpoint import Checkpoint
from edgekit.models.rpcanet.config import find_config
from edgekit.models.rpcanet.model import RPCANetModel
from edgekit.models.rpcanet.module import RPCANet

PROGRAMS = ("naive fp32", "XNNPACK fp32", "XNNPACK int8", "fp32", "int8")


def make(program: str, variant: str, size: tuple[int, int], path: Path) -> str:
    """Exports one program into a file; gives what was left to portable kernels."""
    torch.manual_seed(0)
    module = RPCANet(find_config(variant)).eval().requires_grad_(False)
    model = RPCANetModel(Checkpoint(module, variant, {}), sizes=[size])
    methods = model.methods()
    graphs = capture(model.reference if program == "naive fp32" else model.device_module, methods)
    recipe = find_recipe(program.split()[-1])
    if program in ("fp32", "int8"):
        graphs = choose_operators(graphs, recipe, load_profile("linux-x86_64"), model.keep_fp32)
    lowered = executorch.lower(quantize(model, graphs, methods, recipe))
    path.write_bytes(lowered.data)
    (count,) = lowered.macs.values()
    return ", ".join(sorted(count.undelegated)) or "nothing that multiplies"


def frame_time(path: Path, size: tuple[int, int]) -> Callable[[], float]:
    """Runs a program on one frame; gives the seconds."""
    import executorch.kernels.quantized  # noqa: F401 (registers the kernels of int8)
    from executorch.runtime import Runtime

    from edgekit.kernels.native import load_executorch_binding

    runtime = Runtime.get()
    load_executorch_binding()
    program = runtime.load_program(path)
    (name,) = program.method_names
    method = program.load_method(name)
    frame = torch.from_numpy(np.random.default_rng(0).random((1, 1, *size), np.float32))

    def run() -> float:
        begin = time.perf_counter()
        method.execute([frame])
        return time.perf_counter() - begin

    run()
    return run


def peak_memory() -> float:
    """This process's peak resident memory in MB; getrusage would give its parent's where that was larger."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def memory(path: Path, size: tuple[int, int]) -> float:
    """Megabytes by which this process's peak rises when it loads a program and runs two frames."""
    import executorch.kernels.quantized  # noqa: F401
    from executorch.runtime import Runtime

    Runtime.get()
    before = peak_memory()
    run = frame_time(path, size)
    run()
    return peak_memory() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="s3")
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    height, width = (int(side) for side in options.size.split("x"))
    if options.memory:  # likewise
        print(f"{memory(options.path, (height, width)):.0f}")
        return
    if options.make:  # in a process of its own, whose peak memory is this export's
        begin = time.perf_counter()
        outside = make(options.make, options.variant, (height, width), options.path)
        peak = peak_memory() / 1e3
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
            command = [sys.executable, __file__, "--variant", options.variant, "--size", options.size]
            command += ["--path", str(path)]
            said = []
            for part in (["--make", program], ["--memory"]):
                child = subprocess.run(
                    command + part, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
                )
                said.append(child.stdout.strip())
            size = path.stat().st_size / 1e6
            print(f"{program:12s}  {size:6.2f} MB, runs in {said[1]:>4} MB; {said[0]}", flush=True)
            runs[program] = frame_time(path, (height, width))
        times = {program: [] for program in PROGRAMS}
        for _ in range(options.rounds):
            for program, run in runs.items():
                times[program].append(run())
    for program, seconds in times.items():
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"{program:12s}  median {np.median(seconds):.2f} s a frame ({spread}, {options.rounds} rounds)")
    pairs = (("naive fp32", "fp32"), ("XNNPACK fp32", "fp32"), ("XNNPACK int8", "int8"), ("fp32", "int8"))
    for slow, fast in pairs:
        ratios = np.array(times[slow]) / np.array(times[fast])
        print(f"{slow} / {fast}: {np.median(ratios):.2f} (paired, {ratios.min():.2f} to {ratios.max():.2f})")


if __name__ == "__main__":
    main()
