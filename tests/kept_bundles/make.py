"""Makes a bundle that is kept: python tests/kept_bundles/make.py

It is of the schema that this edgekit writes, and lies in `schema-N/bundle`, with its inputs and answers beside it. Run
it when a schema is final, and never again for that schema: what is kept shows that later sessions read it. It carries
no native libraries, so that it is small and the same for all machines.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

import edgekit
from edgekit import manifest

FOLDER = Path(__file__).parent


class Kept(nn.Module):
    """Two linear layers: rows (N, 6) to (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.last = nn.Linear(8, 3)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.first(rows)))


def main() -> None:
    target = FOLDER / f"schema-{manifest.SCHEMA}"
    if target.exists():
        sys.exit(f"{target} is kept already: it stays as it was made.")
    torch.manual_seed(0)
    module = Kept().eval()
    inputs = [torch.randn(rows, 6) for rows in (1, 4)]
    with tempfile.TemporaryDirectory() as scratch:
        made = edgekit.export_module(
            module, [(one,) for one in inputs], device="linux-x86_64", recipe="fp32", name="kept", native=False,
            output_dir=scratch,
        )  # fmt: skip
        shutil.copytree(made.path, target / "bundle")
    with torch.no_grad():  # the eager module's answers: what any session is to give
        answers = [{"input": one.tolist(), "output": np.asarray(module(one)).tolist()} for one in inputs]
    (target / "answers.json").write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
