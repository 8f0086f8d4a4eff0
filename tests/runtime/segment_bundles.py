"""Writes bundles of two convolutions for the task `segment`, and their weights: `segment_bundles.py FOLDER`.

A program of its own: a process that exports holds ExecuTorch's Python libraries, a test that runs holds edgekit's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

import edgekit
from edgekit import manifest
from edgekit.bundle import seal


class TwoConvolutions(nn.Module):
    """A pixel of the logits depends on 2 around it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.relu(self.first(image))
        return self.second(hidden), hidden[:, 1:2].clone()


def main(folder: Path) -> None:
    torch.manual_seed(4)
    module = TwoConvolutions().eval().requires_grad_(False)
    np.savez(folder / "weights.npz", **{name: value.numpy() for name, value in module.state_dict().items()})
    for name, shapes in {
        "sizes": [(1, 1, 24, 32), (3, 1, 24, 32), (1, 1, 40, 36)],
        "threes": [(3, 1, 24, 32)],
    }.items():
        samples = [(torch.rand(shape),) for shape in shapes]
        bundle = edgekit.export_module(
            module, samples, device="linux-x86_64", recipe="fp32", output_dir=folder, name=name
        )
        bundle.path.rename(folder / name)
        fields = manifest.load(folder / name)
        fields["pipeline"] = {"name": "segment", "threshold": 0.0625, "halo": 2}
        seal(folder / name, fields)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
