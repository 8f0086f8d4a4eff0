"""Numbers and texts of files that anyone may have written, as the page takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: Longer texts are cut: a name, a command, a sentence.
MAX_TEXT = 2000


def figure(value: Any, digits: int | None = None) -> int | float | None:
    """A finite number, rounded to so many significant digits where asked; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    if digits is not None:
        value = float(f"{value:.{digits}g}")
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else float(value)


def figures(values: Mapping[str, Any], digits: int | None = None) -> dict[str, int | float]:
    """Those values that are finite numbers, by name."""
    found = {text(name): figure(value, digits) for name, value in values.items()}
    return {name: value for name, value in found.items() if value is not None}


def text(value: Any) -> str:
    """A text of one line: without characters that turn or hide what stands beside them, and not endless."""
    shown = "".join(character if character.isprintable() else " " for character in str(value))
    return shown if len(shown) <= MAX_TEXT else f"{shown[: MAX_TEXT - 1]}…"


def roofline(roofs: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The roofs of a machine: GFLOP/s by precision, GB/s, and where they come from."""
    if roofs is None:
        return None
    return {
        "gflops": figures(roofs.get("gflops") or {}, 4),
        "bandwidth": figure(roofs.get("bandwidth_gb_per_s"), 4),
        "source": text(roofs.get("source") or "unknown"),
    }
