"""What the GPU's kernels take: a table, from the machine code that the library of operators carries. No GPU is needed.

    python kernels/bench gpu-code [--json FILE] [LIBRARY]

Three figures of a kernel are those on 8.7 (Orin), 9.0 (H100, H200) and 11.0 (Thor). Occupancy is of blocks of the most
threads that the kernel takes, by threads and registers; shared memory is what such a block may ask for before there are
fewer of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.kernels.gpu_images import MACHINE_CODE, carried, unpack
from edgekit.kernels.gpu_resources import MULTIPROCESSORS, Kernel, Occupancy, kernels, occupancy
from edgekit.kernels.native import library_path

HEADER = ("kernel", "threads", "registers", "stack and spills, B", "code, kB", "occupancy, %", "shared memory, KiB")
Row = tuple[Kernel, Occupancy]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python kernels/bench gpu-code",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("library", type=Path, nargs="?", help="libedgekit_ops.so; the installed one by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    given = parser.parse_args(arguments)
    try:
        found = figures(given.library or library_path("ops"))
    except EdgekitError as error:
        raise SystemExit(str(error)) from error
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
    for name, row in found.items():
        print(_line(name, list(row.values())))
    if given.json is not None:
        rows = [
            {"kernel": name, "architecture": architecture, **asdict(kernel), "occupancy": asdict(fits)}
            for name, row in found.items()
            for architecture, (kernel, fits) in row.items()
        ]
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def figures(library: Path) -> dict[str, dict[str, Row]]:
    """By kernel and architecture.

    Raises:
        EdgekitError: the library carries no GPU code.
    """
    code = carried(library)
    if not code:
        raise EdgekitError(f"{library} was built without GPU code: build it without EDGEKIT_GPU_CODE=.")
    found: dict[str, dict[str, Row]] = {}
    for image in unpack(code):
        if image.kind == MACHINE_CODE:
            for kernel in kernels(image.data):
                fits = occupancy(kernel, MULTIPROCESSORS[image.architecture])
                found.setdefault(kernel.name, {})[image.architecture] = (kernel, fits)
    return found


def _line(name: str, row: Sequence[Row]) -> str:
    def each(figure: Callable[[Kernel, Occupancy], str]) -> str:
        return " / ".join(figure(*one) for one in row)

    cells = (
        f"`{name}`",
        str(row[0][0].threads),
        each(lambda kernel, _: str(kernel.registers)),
        each(lambda kernel, _: str(kernel.stack)),
        each(lambda kernel, _: f"{kernel.code / 1e3:.1f}"),
        each(lambda _, fits: f"{100 * fits.share:.0f}"),
        each(lambda _, fits: f"{fits.shared / 1024:.0f}"),
    )
    return f"| {' | '.join(cells)} |"
