"""`edgekit bundle`: who made a bundle; each command is a file of its own."""

from __future__ import annotations

import click

from edgekit.cli.lazy import LazyGroup

#: Commands and what `--help` says of them; nothing is imported for that.
COMMANDS = {
    "keygen": "Make a pair of keys: one to sign with, one to check with.",
    "sign": "Sign a bundle with a private key.",
    "verify-signature": "Check who signed a bundle, and that it is as it was signed.",
}


@click.group("bundle", cls=LazyGroup, commands_by_name=COMMANDS, package="edgekit.cli.bundle_", called="edgekit bundle")
def command() -> None:
    """Sign bundles, so that devices take only those that you made."""
