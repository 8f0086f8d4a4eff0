"""A bundle of any size on an emulated arm64 device: how far its answers are from this machine's and from eager fp32.

    edgekit export rpcanet --device raspberry-pi-5 --recipe fp32
    python -m tests.benchmarks.emulated_device bundles/rpcanet-s1-raspberry-pi-5-fp32

Of each method the first of the samples that the bundle carries, with the program's outputs as they are; a method starts
from an empty state. The emulator makes about 0.13 GMAC/s: its time says nothing of a device's.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from edgekit import manifest
from edgekit.bundle import Bundle, seal
from edgekit.export.verify import Sample, load_samples
from edgekit_runtime import Session
from edgekit_runtime.tensors import Array, MethodSpec

from ..machines import EmulatedDevice, missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--method", help="only this one")
    parser.add_argument("--timeout", type=float, default=3600, metavar="SECONDS", help="of a method; default: 3600")
    arguments = parser.parse_args()
    if reason := missing():
        parser.error(reason)
    bundle = Bundle.open(arguments.bundle)
    samples = load_samples(bundle.path, bundle.program.methods)
    print(f"{arguments.bundle.name}, emulated on {platform.machine()}")
    with tempfile.TemporaryDirectory() as scratch:
        device, copy = EmulatedDevice(Path(scratch, "device")), as_tensors(bundle.path, Path(scratch, "bundle"))
        device.folder.mkdir()
        for method in bundle.program.methods:
            if arguments.method not in (None, method.name):
                continue
            sample = next(sample for sample in samples if sample.method == method.name)
            start = time.perf_counter()
            there = answers_of(device, copy, method, sample, Path(scratch, method.name), arguments.timeout)
            seconds = time.perf_counter() - start
            here = Session(bundle.path).run(*sample.inputs, method=method.name)
            print(f"{method.name}: {seconds:.0f} s")
            for spec, found, session, eager in zip(method.outputs, there, here, sample.outputs, strict=True):
                print(
                    f"  {spec.name}: values from {eager.min():.4g} to {eager.max():.4g}; largest difference from the "
                    f"session here {difference(found, session):.2g}, from eager fp32 {difference(found, eager):.2g}"
                )


def as_tensors(bundle: Path, copy: Path) -> Path:
    """A copy of a bundle whose runner gives the program's outputs as they are, whatever its task."""
    shutil.copytree(bundle, copy)
    fields = manifest.load(copy)
    fields["pipeline"] = {"name": "tensors"}
    seal(copy, fields)
    return copy


def answers_of(
    device: EmulatedDevice, bundle: Path, method: MethodSpec, sample: Sample, folder: Path, timeout: float
) -> list[Array]:
    """The outputs of one sample on the device; the sample's files and the answers' go to a folder."""
    folder.mkdir()
    inputs: list[object] = []
    for index, array in enumerate(sample.inputs):
        np.save(folder / f"{index}.npy", array)
        inputs += ["--input", folder / f"{index}.npy"]
    arguments = (*inputs, "--output", folder / "answers", "--method", method.name, "--json")
    done = device.run(bundle, *arguments, timeout=timeout)
    if done.returncode != 0:
        raise SystemExit(f"{method.name}: {done.stderr.strip()}")
    return [np.load(output["written"]) for output in json.loads(done.stdout)["outputs"]]


def difference(found: Array, wanted: Array) -> float:
    return float(np.abs(found.astype(np.float64) - wanted.astype(np.float64)).max())


if __name__ == "__main__":
    main()
