"""Every model in `.pte` and `.tflite` by every recipe, run on an emulated arm64 device: how far from eager fp32.

    python -m tests.benchmarks.emulated_matrix -o DIR [--model NAME]... [--recipe R]...

In the checkout. Exports for raspberry-pi-5 (what DIR has already is not made again), then runs the first samples that
each bundle carries with its own runner under qemu, and on this machine where its architecture is the same. Shapes are
small enough for the emulator, which makes about 0.13 GMAC/s.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from edgekit.bundle import Bundle
from edgekit.export.formats import find_format, refused
from edgekit.export.recipes import find_recipe, taken_recipes
from edgekit.export.verify import compare, load_samples
from edgekit.models.zoo import find_model

from ..machines import EmulatedDevice, missing
from .emulated_device import answers_of, as_tensors

#: What of each model, within the emulator's limit.
MODELS = {"rpcanet": ("--size", "64x64"), "sea-opt": ("--set", "context=256", "--set", "chunk=16"), "stackvae-g": ()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output-dir", type=Path, required=True, metavar="DIR")
    parser.add_argument("--device", default="raspberry-pi-5")
    parser.add_argument("--model", action="append", choices=list(MODELS), help="repeatable; default: all")
    parser.add_argument("--recipe", action="append", help="repeatable; default: all")
    parser.add_argument("--timeout", type=float, default=1800, metavar="SECONDS", help="of a call; default: 1800")
    arguments = parser.parse_args()
    if reason := missing():
        parser.error(reason)
    print("| bundle | output | max error | of the range | SNR |\n| --- | --- | --: | --: | --: |", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        device = EmulatedDevice(Path(scratch, "device"))
        device.folder.mkdir()
        for name in arguments.model or MODELS:
            for format_name in ("pte", "tflite"):
                for recipe in taken_recipes(find_model(name).model_class()):
                    asked = arguments.recipe is None or recipe.name in arguments.recipe
                    if asked and refused(find_format(format_name), find_recipe(recipe.name)) is None:
                        words = (name, *MODELS[name], "--format", format_name, "--recipe", recipe.name)
                        _row(arguments, device, Path(scratch), words)


def _row(arguments: argparse.Namespace, device: EmulatedDevice, scratch: Path, words: tuple[str, ...]) -> None:
    name, form, recipe = words[0], words[words.index("--format") + 1], words[-1]
    folder = arguments.output_dir / f"{name}-{form}-{recipe}"
    if not folder.is_dir() or not list(folder.iterdir()):
        command = [sys.executable, "-c", "from edgekit.cli.main import main; main()", "export", *words]
        command += ["--device", arguments.device, "-o", str(folder), "-q", "--allow-drop"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"| {name} {form} {recipe} | {done.stderr.strip().splitlines()[-1]} | | | |", flush=True)
            return
    bundle = Bundle.open(next(folder.iterdir()))
    copy = as_tensors(bundle.path, scratch / bundle.name)
    samples = load_samples(bundle.path, bundle.program.methods)
    for method in bundle.program.methods:
        sample = next(sample for sample in samples if sample.method == method.name)
        if not method.inputs:
            continue  # it only forgets
        answers = answers_of(device, copy, method, sample, scratch / f"{bundle.name}.{method.name}", arguments.timeout)
        for error in compare([method], lambda *_, found=answers: found, [sample]):
            ratio = "exact" if error.snr_db is None else f"{error.snr_db:.1f} dB"
            cells = (
                bundle.name,
                f"{error.method}/{error.output}",
                f"{error.max_abs:.2g}",
                f"{error.relative:.1g}",
                ratio,
            )
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
