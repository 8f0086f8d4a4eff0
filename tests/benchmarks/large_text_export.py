"""Export of a language model as large as a published OPT, random weights: time, peak memory, file, and that it runs.

    python tests/benchmarks/large_text_export.py [--variant 1.3b] [--recipe int4] [--kv int8] [--context 2048] [--dense]

Export and run have a process each, whose peaks of memory are told apart. Nothing is downloaded; 1.3b needs 20 GB.
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
from pathlib import Path

import torch

from edgekit.bundle import Bundle
from edgekit.devices.profile import load_profile
from edgekit.export.pipeline import export
from edgekit.export.recipes import choose_recipe
from edgekit.models.kv import KVS
from edgekit.models.sea_opt.checkpoint import Checkpoint
from edgekit.models.sea_opt.config import VARIANTS, sea_config
from edgekit.models.sea_opt.model import ExportSettings, SEAOPTModel
from edgekit.models.sea_opt.opt import OPT
from edgekit.tokenizer import Tokenizer
from edgekit_runtime import Session
from edgekit_runtime.generate import Generation, TextGenerator

PROMPT, TOKENS = "a language model of this size on a small machine", 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=VARIANTS, default="1.3b")
    parser.add_argument("--recipe", default="int4")
    parser.add_argument("--kv", choices=KVS, help="default: the recipe's")
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--dense", action="store_true", help="dense attention instead of SEA's")
    parser.add_argument("--bundle", type=Path, help="keep the bundle there, for edgekit-run")
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run(arguments.bundle)
    elif arguments.make:
        make(arguments)
    else:
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}; {arguments.variant}, "
            f"{'dense' if arguments.dense else 'SEA'}, {arguments.recipe}, T_max = {arguments.context}",
            flush=True,
        )
        with tempfile.TemporaryDirectory() as folder:
            bundle = arguments.bundle or Path(folder) / "bundle"
            command = [sys.executable, __file__, *sys.argv[1:], "--bundle", str(bundle)]
            subprocess.run([*command, "--make"], check=True)
            subprocess.run([*command, "--run"], check=True)


def make(arguments: argparse.Namespace) -> None:
    """Exports a model with random weights."""
    start = time.monotonic()
    torch.manual_seed(0)
    config = VARIANTS[arguments.variant]
    sea = None if arguments.dense else sea_config(config)
    module = OPT(config, sea).eval().requires_grad_(False)
    tokenizer = Tokenizer.train([PROMPT], 300)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    print(f"model: {parameters:,} parameters, {4e-9 * parameters:.2f} GB in fp32", flush=True)
    model = SEAOPTModel(Checkpoint(module, tokenizer, {}), ExportSettings(context=arguments.context))
    stages: list[str] = []

    def on_stage(stage: str) -> None:
        stages.append(stage)
        print(f"{time.monotonic() - start:7.1f} s: {stage}, peak {peak():.2f} GB", flush=True)

    recipe = choose_recipe(arguments.recipe, arguments.recipe, model, arguments.kv)
    bundle = export(model, load_profile("linux-x86_64"), recipe, arguments.bundle, on_stage=on_stage, allow_drop=True)
    print(
        f"{time.monotonic() - start:7.1f} s: done, peak {peak():.2f} GB; bundle {1e-9 * bundle.size:.2f} GB, weights "
        f"{1e-9 * bundle.manifest['memory']['weights']:.2f} GB",
        flush=True,
    )


def run(bundle: Path) -> None:
    """Generates some tokens."""
    start = time.monotonic()
    generator = TextGenerator(Session(Bundle.open(bundle)))
    went = Generation()
    for _ in generator.generate(PROMPT, TOKENS, went=went):
        pass
    print(
        f"runs: {went.prompt_tokens} tokens of prompt in {went.prompt_seconds:.2f} s (weights packed), then "
        f"{(went.generated_tokens - 1) / went.generated_seconds:.2f} tokens/s; {time.monotonic() - start:.1f} s "
        f"in all, peak {peak():.2f} GB"
    )


def peak() -> float:
    """The process's peak of resident memory in GB."""
    return 1024e-9 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
