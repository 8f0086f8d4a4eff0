"""Builds edgekit, runs the tests that need a GPU, and times everything, on a machine with an NVIDIA GPU.

    python kernels/bench/gpu_check [--build pip|cmake|none] [--json FILE]

prints one Markdown table and a piece of TOML for a device profile. Contenders take turns in one run; times are by CUDA
events with a cold L2 cache. Exit codes: 0 all that is wanted is met, 1 there is no GPU, a build or a test fails, or
contenders do not agree, 3 something wanted is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .build import ROOT, WAYS, BuildError, build

NO_GPU, FAILED, MISSED = 1, 1, 3


def main(arguments: Sequence[str]) -> int:
    """The whole of it; gives the exit code."""
    options = _options(arguments)
    reason = missing_gpu()
    if reason is not None:
        _say(f"error: {reason}.")
        return NO_GPU
    with tempfile.TemporaryDirectory(prefix="gpu_check.", ignore_cleanup_errors=True) as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            added = build(options.build, folder, options.gpu_code, _say)
        except BuildError as error:
            _say(f"error: {error}")
            return FAILED
        environment = {**os.environ, **added}
        tests = {} if options.no_tests else run_tests(environment)
        # In a process of its own: this one began before the build.
        record = folder / "record.json"
        words = [sys.executable, "-c", _MEASURE, str(Path(__file__).resolve().parents[2]), str(record)]
        done = subprocess.run(words, env=environment, check=False)
        if done.returncode != 0:
            return FAILED
        found = json.loads(record.read_text())
    found["tests"] = tests
    print(report(found))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return verdict(found)


#: What measures: given the folder of the benchmarks' package, and where the record goes.
_MEASURE = """
import sys
sys.path.insert(0, sys.argv[1])
from bench.gpu_check.command import measure
sys.exit(measure(sys.argv[2]))
"""


def measure(path: str) -> int:
    """Everything that is timed, into a file; 1 and a sentence where that cannot be done."""
    from edgekit.errors import EdgekitError

    from .cases import Sizes
    from .meter import CudaMeter

    try:
        found = measured(CudaMeter(), Sizes(), _say)
    except EdgekitError as error:
        _say(f"error: {error}")
        return FAILED
    Path(path).write_text(json.dumps(found))
    return 0


def measured(meter: Any, sizes: Any, say: Callable[[str], None], switch: Any = None) -> dict[str, Any]:
    """The record: machine, figures and crossovers.

    Args:
        meter: see `meter.Meter`.
        sizes: see `cases.Sizes`.
        say: told what goes on.
        switch: see `crossovers.Switch`, which is made where there is none.
    """
    from dataclasses import asdict

    from .cases import figures
    from .crossovers import Switch, all_points, check_used, crossovers, toml

    machine = describe()
    rows = [figure.to_dict() for figure in figures(meter, sizes, say)]
    say("from which size on operators are faster on the GPU")
    switch = switch or Switch()
    points = all_points(sizes.doublings)
    check_used(points, switch)
    found = list(crossovers(points, switch.use))
    return {
        "machine": machine,
        "rounds": sizes.rounds,
        "bandwidth_gb_per_s": meter.bandwidth(),
        "figures": rows,
        "crossovers": [asdict(one) for one in found],
        "toml": toml(found, f"gpu_check on {machine['gpu']}, driver {machine['driver']}, CUDA {machine['cuda']}"),
    }


def report(record: Mapping[str, Any]) -> str:
    """What is printed."""
    from .figures import Figure, markdown

    machine = record["machine"]
    fields = Figure.__dataclass_fields__
    rows = [Figure(**{key: value for key, value in row.items() if key in fields}) for row in record["figures"]]
    lines = [
        f"{machine['gpu']} (compute capability {machine['capability']}), driver {machine['driver']}, CUDA "
        f"{machine['cuda']}, torch {machine['torch']}; memory {record['bandwidth_gb_per_s']:.0f} GB/s; rounds: "
        f"{record['rounds']}",
        "",
        markdown(rows),
        "",
    ]
    if record["tests"]:
        lines += [f"Tests that need a GPU: {record['tests']['summary']}", ""]
    lines += ["```toml", record["toml"], "```"]
    return "\n".join(lines)


def verdict(record: Mapping[str, Any]) -> int:
    """The exit code, said in a sentence where it is not 0."""
    if record["tests"] and record["tests"]["code"] != 0:
        _say("error: tests that need a GPU fail; see above.")
        return FAILED
    missed = [f"{row['what']} at {row['case']}" for row in record["figures"] if row["met"] is False]
    if missed:
        _say(f"missed: {'; '.join(_plain(missed))}.")
        return MISSED
    return 0


def run_tests(environment: Mapping[str, str]) -> dict[str, Any]:
    """The tests marked `gpu`: pytest's exit code and last line."""
    _say("running the tests that need a GPU")
    # Those files only: others ask for more than was built.
    files = [path for path in sorted(ROOT.glob("tests/**/test_*.py")) if "mark.gpu" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", *(str(path.relative_to(ROOT)) for path in files)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
    return {"code": done.returncode, "summary": lines[-1].strip("= ") if lines else "no output"}


def missing_gpu() -> str | None:
    """Why nothing can be measured here; None if it can."""
    try:
        import torch
    except ImportError:
        return "torch is not installed here: install a build of it for CUDA"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA: install a build of it for CUDA"
    if not torch.cuda.is_available():
        return "torch finds no NVIDIA GPU here: run this on a machine with one and its driver"
    return None


def describe() -> dict[str, str]:
    """The GPU and the software."""
    import torch

    if not torch.cuda.is_available():
        return {"gpu": "no GPU", "capability": "none", "driver": "none", "cuda": "none", "torch": torch.__version__}
    capability = ".".join(map(str, torch.cuda.get_device_capability(0)))
    cuda = torch.version.cuda or "none"
    return {
        "gpu": torch.cuda.get_device_name(0),
        "capability": capability,
        "driver": _driver(),
        "cuda": cuda,
        "torch": torch.__version__,
    }


def _driver() -> str:
    """ "580.95.05", as the kernel module says; "unknown" where it does not (Jetson)."""
    for path in (Path("/proc/driver/nvidia/version"), Path("/etc/nv_tegra_release")):
        if path.is_file():
            text = path.read_text(errors="replace")
            match = re.search(r"(\d+\.\d+(?:\.\d+)?)\s", text) or re.search(r"R\d+ \(release\), REVISION: [\d.]+", text)
            if match:
                return match[0].strip()
    return "unknown"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python kernels/bench/gpu_check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", choices=WAYS, default="pip", help="pip: install both packages from the checkout; "
                        "cmake: the operators only, without network; none: take what is installed")  # fmt: skip
    parser.add_argument(
        "--gpu-code", type=Path, metavar="FILE", help="a container of GPU code that was compiled elsewhere"
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where what is built and the log go, and stay")
    parser.add_argument("--no-tests", action="store_true", help="only time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    if options.json is not None and (options.json.is_dir() or not options.json.parent.is_dir()):
        parser.error(f"--json {options.json} cannot be written: give a file in a folder that exists.")
    if options.gpu_code is not None and not options.gpu_code.is_file():
        parser.error(f"--gpu-code {options.gpu_code} is no file.")
    return options


def _plain(words: Iterable[str]) -> list[str]:
    return [word.replace("`", "") for word in words]


def _say(line: str) -> None:
    print(f"gpu_check: {line}", file=sys.stderr, flush=True)
