"""A convolution net of your own, for two image sizes: exported, verified, run.

python examples/own_module.py [--device NAME] [--recipe fp32|int8] [--output-dir DIR]
"""

from __future__ import annotations

import argparse

import torch
from torch import nn

import edgekit

SIZES = ((128, 128), (240, 320))


class ConvNet(nn.Module):
    """Three convolutions: images (1, 3, H, W) to edge maps (1, 1, H/2, W/2)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1, stride=2)
        self.last = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.second(torch.relu(self.first(image)))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="linux-x86_64")
    parser.add_argument("--recipe", default="int8")
    parser.add_argument("--output-dir", default="bundles")
    options = parser.parse_args()

    torch.manual_seed(0)
    module = ConvNet().eval()
    images = [torch.rand(1, 3, *size) for size in SIZES for _ in range(8)]
    bundle = edgekit.export_module(
        module,
        [(torch.rand(1, 3, *size),) for size in SIZES],
        device=options.device,
        recipe=options.recipe,
        calibration=[(image,) for image in images],
        name="convnet",
        output_dir=options.output_dir,
        force=True,
    )
    session = edgekit.Session(bundle)
    print(f"{bundle.path}: {bundle.size / 1000:.1f} kB")
    for method in session.methods:
        image = torch.rand(method.inputs[0].shape)
        with torch.no_grad():
            expected = module(image)
        (answer,) = session.run(image.numpy())  # the method is picked by the shape
        noise = torch.from_numpy(answer) - expected
        ratio = 10 * torch.log10(expected.square().mean() / noise.square().mean())
        print(f"{method.name}: {tuple(answer.shape)}, signal to noise {ratio:.1f} dB against eager fp32")


if __name__ == "__main__":
    main()
