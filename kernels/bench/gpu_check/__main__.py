"""`python kernels/bench/gpu_check`; `--help` says what it does."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # Run as a folder, this file has no package: let its neighbours be found by the package of the benchmarks.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from bench.gpu_check.command import main

    sys.exit(main(sys.argv[1:]))
