"""What export's simplifications of RPCANet and edgekit's `conv2d` are worth: time per frame, file size and memory.

    python tests/benchmarks/rpcanet_export.py [--variant s3] [--size 256x256] [--rounds 7] [--programs fp32 int8]

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


#: Exported by torch.onnx from the simplified module; left out where onnxruntime or onnxscript is not installed.
ONNX = "ONNX Runtime fp32"


def random_model(variant: str, size: tuple[int, int]) -> RPCANetModel:
    """A model with random weights, the same in every process."""
    torch.manual_seed(0)
    module = RPCANet(find_config(variant)).eval().requires_grad_(False)
    return RPCANetModel(Checkpoint(module, variant, {}), sizes=[size])


def random_frame(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).random((1, 1, *size), np.float32)


def make(program: str, variant: str, size: tuple[int, int], path: Path) -> str:
    """Exports one program into a file; gives what was left to portable kernels."""
    model = random_model(variant, size)
    methods = model.methods()
    graphs = capture(model.reference if program == "naive fp32" else model.device_module, methods)
    recipe = find_recipe(program.split()[-1])
    if program in ("fp32", "int8"):
        graphs = choose_operators(graphs, recipe, load_profile("linux-x86_64"), model.keep_fp32)
    lowered = executorch.lower(quantize(model, graphs, methods, recipe))
    path.write_bytes(lowered.data)
    (count,) = lowered.macs.values()
    return ", ".join(sorted(count.undelegated)) or "nothing that multiplies"


def timed(run: Callable[[], np.ndarray], expected: np.ndarray, tolerance: float | None) -> Callable[[], float]:
    """Gives the seconds of a run; the first one, not timed, is compared with the eager model."""
    error = np.abs(run() - expected).max() / (expected.max() - expected.min())
    if tolerance is not None and error > tolerance:
        raise SystemExit(f"the answer is {error:.1e} of its range away from the eager model's")

    def seconds() -> float:
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin

    return seconds


def onnx_run(model: RPCANetModel, size: tuple[int, int], path: Path) -> Callable[[], np.ndarray] | None:
    """The simplified module in ONNX Runtime on one frame, on as many threads as torch uses."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 (torch.onnx needs it)
    except ImportError:
        return None
    frame = random_frame(size)
    torch.onnx.export(model.device_module, (torch.from_numpy(frame),), path, dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda: session.run(None, {given.name: frame})[0]


def program_run(path: Path, size: tuple[int, int]) -> Callable[[], np.ndarray]:
    """A program on one frame."""
    import executorch.kernels.quantized  # noqa: F401 (registers the kernels of int8)
    from executorch.runtime import Runtime

    from edgekit.kernels.native import load_executorch_binding

    runtime = Runtime.get()
    load_executorch_binding()
    program = runtime.load_program(path)
    (name,) = program.method_names
    method = program.load_method(name)
    frame = torch.from_numpy(random_frame(size))
    return lambda: method.execute([frame])[0].numpy()


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
    run = program_run(path, size)
    run()
    run()
    return peak_memory() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="s3")
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=PROGRAMS)
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
        model, runs = random_model(options.variant, (height, width)), {}
        with torch.no_grad():
            expected = model.reference(torch.from_numpy(random_frame((height, width)))).numpy()
        for program in options.programs:
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
            tolerance = 1e-4 if "fp32" in program else None
            runs[program] = timed(program_run(path, (height, width)), expected, tolerance)
        onnx = onnx_run(model, (height, width), Path(folder) / "model.onnx")
        if onnx is not None:
            runs[ONNX] = timed(onnx, expected, 1e-4)
        times = {program: [] for program in runs}
        for _ in range(options.rounds):
            for program, run in runs.items():
                times[program].append(run())
    for program, seconds in times.items():
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"{program:17s}  median {np.median(seconds):.2f} s a frame ({spread}, {options.rounds} rounds)")
    pairs = (
        ("naive fp32", "fp32"),
        (ONNX, "fp32"),
        ("XNNPACK fp32", "fp32"),
        ("XNNPACK fp32", "XNNPACK int8"),
        ("XNNPACK int8", "int8"),
        ("fp32", "int8"),
    )
    for slow, fast in pairs:
        if not {slow, fast} <= times.keys():
            continue
        ratios = np.array(times[slow]) / np.array(times[fast])
        print(f"{slow} / {fast}: {np.median(ratios):.2f} (paired, {ratios.min():.2f} to {ratios.max():.2f})")


if __name__ == "__main__":
    main()
