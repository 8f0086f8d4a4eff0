"""Readings like those that the shipped StackVAE-G was trained on, with faults planted, to try a bundle with.

python examples/made_readings.py readings.csv [--rows 600] [--seed 7]
"""

from __future__ import annotations

import argparse

import pandas as pd

from edgekit.models.shipped import shipped_or
from edgekit.models.stackvae_g.checkpoint import load_checkpoint
from edgekit.models.stackvae_g.generator import generate_telemetry
from edgekit.models.stackvae_g.model import SHIPPED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", help="a .csv file: a row a reading, a column a channel")
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with shipped_or(None, "stackvae_g", SHIPPED) as path:
        checkpoint = load_checkpoint(path)
    made = generate_telemetry(checkpoint.statistics, options.rows, seed=options.seed, faults=options.rows // 200)
    # The generator works in the range that the model sees.
    readings = made.values * checkpoint.scaling.range + checkpoint.scaling.low
    pd.DataFrame(readings, columns=list(checkpoint.channels)).to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
