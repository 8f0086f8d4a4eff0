"""The program `edgekit`: takes Ctrl-C, and only then loads what it needs."""

from __future__ import annotations

import sys

from edgekit.cli import interrupts


def start() -> None:
    """Runs the command line and exits, as `edgekit.cli.main.main`."""
    interrupts.catch()
    try:
        from edgekit.cli.main import main
    except BaseException:
        if not interrupts.interrupted():
            raise
        interrupts.say()
        sys.exit(interrupts.EXIT_CODE)
    main()
