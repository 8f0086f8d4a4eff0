"""What goes wrong, as one sentence each: what is wrong, where, what to do. Command lines take the exit codes."""

from __future__ import annotations


class EdgekitError(Exception):
    """Something failed that the user can mend; the message says how."""

    exit_code = 1


class UsageError(EdgekitError):
    """The request itself makes no sense: an unknown name, an impossible combination."""

    exit_code = 2
