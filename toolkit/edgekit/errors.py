"""What goes wrong, as one sentence each: what is wrong, where, what to do. The command line maps them to exit codes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from edgekit_runtime.errors import EdgekitError, UsageError

__all__ = ["EdgekitError", "GateError", "UsageError", "unknown_name"]


class GateError(EdgekitError):
    """Everything ran, but the result misses a promised bound (accuracy, later a memory budget)."""

    exit_code = 3


def unknown_name(kind: str, name: str, known: Iterable[str], listing: str | None = None) -> UsageError:
    """An error for a name that does not exist: the nearest known name, and all of them.

    Args:
        kind: what it is a name of.
        name: the unknown name.
        known: the names that exist.
        listing: the command that lists them; None if there is none, then the error does.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    listed = f"known: {', '.join(known)}."
    hint = f"did you mean {near[0]!r}?" if near else listed
    if listing is not None:
        return UsageError(f"unknown {kind} {name!r}: {hint} `{listing}` shows all.")
    return UsageError(f"unknown {kind} {name!r}: {hint}{f' ({listed[:-1]})' if near else ''}")
