"""`edgekit doctor`: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import json_option

if TYPE_CHECKING:
    from edgekit.doctor import Finding


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Check what is installed, and say how to mend it."""
    from edgekit.doctor import examine
    from edgekit.errors import EdgekitError
    from edgekit.report import print_json, print_table

    findings = examine()
    bad = [finding for finding in findings if not finding.ok and not finding.only_for]
    if as_json:
        print_json({"checks": [finding.to_dict() for finding in findings], "ok": not bad})
    else:
        print_table(
            ("part", "state", "found", "mend it with"),
            [(f.part, _state(f), f.found, "" if f.ok else f.remedy) for f in findings],
        )
    if bad:
        raise EdgekitError(
            f"{len(bad)} of {len(findings)} parts are missing or do not fit: {', '.join(f.part for f in bad)}."
        )
    if not as_json:
        print("Next: edgekit export --device jetson")
    sys.stdout.flush()


def _state(finding: Finding) -> str:
    if finding.ok:
        return "ok"
    return f"only for {finding.only_for}" if finding.only_for else "MISSING"
