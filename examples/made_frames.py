"""Frames with small bright targets, like those that the shipped RPCANet++ was trained on, to try a bundle with.

python examples/made_frames.py FOLDER [--count 4] [--size 256x256] [--seed 7]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from edgekit.models.rpcanet.generator import generate_frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for frame-0.png and so on")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--size", default="256x256", help="height x width")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    height, width = map(int, options.size.split("x"))
    options.folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(generate_frames(options.count, (height, width), options.seed)):
        pixels = np.rint(np.clip(frame.image, 0, 1) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(options.folder / f"frame-{number}.png")


if __name__ == "__main__":
    main()
