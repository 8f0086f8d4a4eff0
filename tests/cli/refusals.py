"""What a refused command line looks like."""

from __future__ import annotations

from typing import Any


def refuse(result: Any, code: int, says: str) -> None:
    """One sentence on stderr that says so, the exit code, nothing else."""
    assert says in result.err
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("edgekit: ")
    assert result.err.count("\n") == 1
