"""Small RPCANets with weights that make every part count, and generated data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edgekit.models.rpcanet.config import RPCANetConfig
from edgekit.models.rpcanet.generator import generate_frames, write_dataset
from edgekit.models.rpcanet.module import Objects, RPCANet


@pytest.fixture
def build():
    """Makes an RPCANet in eval mode with random weights, normalisation statistics and step sizes."""

    def make(config: RPCANetConfig, seed: int = 0) -> RPCANet:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = RPCANet(config)
            for part in module.modules():
                if isinstance(part, nn.BatchNorm2d):
                    nn.init.uniform_(part.weight, 0.5, 1.5)
                    nn.init.normal_(part.bias, 0, 0.2)
                    part.running_mean.normal_(0, 0.3)
                    part.running_var.uniform_(0.5, 2)
                if isinstance(part, Objects):
                    nn.init.uniform_(part.epsilon, 0.05, 0.2)
        return module.eval().requires_grad_(False)

    return make


@pytest.fixture(scope="session")
def generated(tmp_path_factory) -> Path:
    """A data set in SIRST's layout: 10 training and 4 test frames of 64x48."""
    folder = tmp_path_factory.mktemp("generated") / "frames"
    frames = generate_frames(14, (64, 48), seed=3)
    write_dataset(folder, frames[:10], frames[10:])
    return folder
