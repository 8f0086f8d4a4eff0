"""`edgekit run` for a bundle of a user's own module: arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.bundle import Bundle
from edgekit.cli.run import RunRequest
from edgekit.errors import UsageError
from edgekit.files import replacing
from edgekit.report import print_json, print_table
from edgekit.sessions import open_session
from edgekit_runtime.series import read_npy


def run(bundle: Bundle, request: RunRequest) -> None:
    """One `.npy` per input; the method is picked by their shapes."""
    request.take("inputs", "output")
    request.need_inputs()
    inputs, output = request.inputs, request.output
    if output is not None and output.suffix != ".npz":
        raise UsageError(f"{output}: tensors are written as .npz.")
    for path in inputs:
        if not path.is_file() or path.suffix != ".npy":
            raise UsageError(f"{path} is not an .npy file: give one per input.")
    session = open_session(bundle)
    arrays = [read_npy(path) for path in inputs]
    names = [spec.name for spec in session.methods[0].outputs]
    answers = dict(zip(names, session.run(*arrays), strict=True))
    if output is not None:
        with replacing(output) as temporary, temporary.open("wb") as file:
            np.savez(file, **answers)  # type: ignore[arg-type]  # mypy fears an output named allow_pickle
    summary = [
        {
            "output": name,
            "shape": list(array.shape),
            "dtype": str(array.dtype),
            "min": _finite(array.min()),
            "mean": _finite(array.mean()),
            "max": _finite(array.max()),
        }
        for name, array in answers.items()
    ]
    if request.as_json:
        print_json({"outputs": summary, "written": str(output) if output else None})
        return
    print_table(
        ("output", "shape", "dtype", "min", "mean", "max"),
        [
            (
                name,
                "x".join(map(str, array.shape)),
                str(array.dtype),
                *(f"{float(value):.4g}" for value in (array.min(), array.mean(), array.max())),
            )
            for name, array in answers.items()
        ],
        right=(3, 4, 5),
    )
    print(f"Written: {output}" if output else "Next: add --output FILE.npz to keep the answers")


def _finite(value: Any) -> float | None:
    """A number for JSON, which has no NaN."""
    return float(value) if np.isfinite(value) else None
