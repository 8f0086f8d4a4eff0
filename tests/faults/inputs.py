"""Small inputs of the commands that are ended: data, checkpoints, a text, a bundle with its runner."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .commands import Commands

TEXT = "the red cat sees the old house, the tall dog likes a tree. the old dog sees a red house. " * 40
#: Shape of the pump's model, for `edgekit train`.
SIZES = [word for setting in ("window=16", "hidden=8", "latent=4") for word in ("--set", setting)]


def make(folder: Path, commands: Commands) -> Path:
    """Makes what is not there yet; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "pump.npz").exists():
        from edgekit.models.stackvae_g.generator import default_statistics, generate_telemetry

        rows = generate_telemetry(default_statistics(5, seed=3), 300, seed=1)
        np.savez(folder / "pump.npz", train=rows.values)
    (folder / "words.txt").write_text(TEXT)
    if not (folder / "pump.safetensors").exists():
        data = ("--data", folder / "pump.npz", "-o", folder / "pump.safetensors")
        commands.run(["train", "stackvae-g", *data, "--epochs", 30, "-q", *SIZES], learn=True)
    if not (folder / "native").exists():
        given = ("--checkpoint", folder / "pump.safetensors", "--recipe", "fp32", "-q", "-o", folder)
        commands.run(["export", "stackvae-g", "--device", "linux-x86_64", *given], learn=True)
        next(folder.glob("stackvae-g-*")).rename(folder / "native")
    if not (folder / "sea.safetensors").exists():
        _language_model(folder / "sea.safetensors")
    return folder


def _language_model(path: Path) -> None:
    """2 layers, 4 heads of 16, 300 tokens, random weights."""
    import torch

    from edgekit.models.sea_opt.checkpoint import Checkpoint, save_checkpoint
    from edgekit.models.sea_opt.config import OPTConfig, SEAConfig
    from edgekit.models.sea_opt.opt import OPT
    from edgekit.tokenizer import Tokenizer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sea = SEAConfig(cells=16, k_budget=8, features=5, positions=96)
        module = OPT(OPTConfig(300, 64, 80, 2, 4, 96, 64), sea).eval().requires_grad_(False)
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    save_checkpoint(Checkpoint(module, Tokenizer.train([TEXT], 300), {"data": "nothing"}), path)
