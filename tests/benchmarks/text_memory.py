"""Memory of a prompt's attention: one layer of OPT-125M's shape, 2048 tokens, in three programs.

    python tests/benchmarks/text_memory.py [--tokens 2048] [--chunk 128]

SEA takes the prompt in chunks; dense attention once as ExecuTorch's fused operator, in the same chunks, and once as it
is without it, products and a softmax over the whole prompt. Each program runs in a process of its own. Arena: what the
program plans for its tensors, state left out. Grown: by how much the process's peak of resident memory lies above what
it had before it loaded the program: packed weights, arena, state and operators' scratch (Linux only).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from edgekit.export import executorch
from edgekit.export.capture import capture
from edgekit.models.model import Method
from edgekit.models.sea_opt.config import OPTConfig, sea_config
from edgekit.models.sea_opt.opt import OPT
from edgekit.models.sea_opt.program import DeviceOPT, Extend
from edgekit_runtime.tensors import MethodSpec, TensorSpec

PROGRAMS = ("SEA", "dense, fused", "dense, not fused")
WORDS = 512


class Whole(nn.Module):
    """A whole prompt without a cache: logits after its last token."""

    def __init__(self, opt: OPT) -> None:
        super().__init__()
        self.opt = opt

    def forward(self, tokens: Tensor, position: Tensor, rows: Tensor) -> Tensor:
        decoder = self.opt.decoder
        hidden = decoder.embed(tokens[None])
        for layer in decoder.layers:
            hidden, _ = layer(hidden)
        return decoder.logits(decoder.last(hidden[0].index_select(0, rows)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--chunk", type=int, default=128)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        run(arguments.run, arguments.tokens, arguments.chunk)
        return
    with tempfile.TemporaryDirectory() as folder:
        for program in PROGRAMS:
            path = Path(folder) / "program.pte"
            chunk = arguments.tokens if program == "dense, not fused" else arguments.chunk
            arena, state = make(program, arguments.tokens, chunk, path)
            sizes = ["--tokens", str(arguments.tokens), "--chunk", str(chunk)]
            command = [sys.executable, __file__, *sizes, "--run", str(path)]
            grown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
            print(
                f"{program:17s} arena {1e-6 * arena:7.1f} MB, state {1e-6 * state:5.1f} MB; grown {grown} MB",
                flush=True,
            )


def make(program: str, tokens: int, chunk: int, path: Path) -> tuple[int, int]:
    """Exports a program; gives its arena and its state in bytes."""
    torch.manual_seed(0)
    config = OPTConfig(WORDS, 768, 3072, 1, 12, tokens, 768)
    opt = OPT(config, sea_config(config) if program == "SEA" else None).eval().requires_grad_(False)
    whole = program == "dense, not fused"
    module = Whole(opt) if whole else Extend(DeviceOPT(opt, tokens))
    inputs = (
        TensorSpec("tokens", (chunk,), "int64", dynamic=not whole),
        TensorSpec("position", (), "int64"),
        TensorSpec("rows", (1,), "int64"),
    )
    samples = torch.zeros(chunk, dtype=torch.int64), torch.tensor(0), torch.zeros(1, dtype=torch.int64)
    lowered = executorch.lower(capture(module, [Method(MethodSpec("extend", inputs, ()), samples)]))
    path.write_bytes(lowered.data)
    (plan,) = lowered.manager.executorch_program.execution_plan
    return sum(map(int, plan.non_const_buffer_sizes)) - lowered.state, lowered.state


def run(path: Path, tokens: int, chunk: int) -> None:
    """Runs a prompt; prints by how many MB the peak grew."""
    import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401
    from executorch.runtime import Runtime

    from edgekit.kernels.native import load_executorch_binding

    load_executorch_binding()
    runtime = Runtime.get()
    before = reset_peak()
    program = runtime.load_program(path)
    method = program.load_method("extend")
    for start in range(0, tokens, chunk):
        method.execute([torch.arange(chunk) % WORDS, torch.tensor(start), torch.tensor([chunk - 1])])
    print(f"{1e-6 * (peak() - before):.1f}")


def reset_peak() -> int:
    """Forgets the peak of resident memory so far; gives the memory now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    """The peak of resident memory in bytes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    main()
