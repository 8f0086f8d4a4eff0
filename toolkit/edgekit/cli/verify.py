"""`edgekit verify`: a bundle's files and answers."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import PATH, json_option, verbosity_options


@click.command("verify")
@click.argument("bundle", type=PATH)
@json_option
@verbosity_options
def command(bundle: Path, as_json: bool, quiet: bool) -> None:
    """Check BUNDLE's hashes, run the samples that it carries, and compare with the eager fp32 model's answers."""
    from edgekit.bundle import Bundle
    from edgekit.errors import GateError

    opened = Bundle.open(bundle)

    from edgekit.export.accuracy import missed
    from edgekit.export.recipes import find_recipe
    from edgekit.export.verify import verify_bundle
    from edgekit.report import print_accuracy, print_json, print_table
    from edgekit_runtime import Session

    errors, failures = verify_bundle(Session(opened), find_recipe(str(opened.manifest["recipe"])))
    if as_json:
        outputs = [error.to_dict() for error in errors]
        found = {"outputs": outputs, "failures": failures, "passed": not failures, "files": "unchanged"}
        print_json(found | {"at_export": opened.manifest["accuracy"]})
    else:
        rows = [
            (
                error.method,
                error.output,
                f"{error.max_abs:.3g}",
                f"{100 * error.relative:.3g} %",
                "exact" if error.snr_db is None else f"{error.snr_db:.1f} dB",
            )
            for error in errors
        ]
        print_table(("method", "output", "max error", "of the range", "SNR"), rows, right=(2, 3, 4))
        print_accuracy(opened.manifest["accuracy"])
    if failures:
        raise GateError(f"on this machine {missed(bundle, failures)}.")
    if not as_json:
        print(f"{bundle}: files unchanged, answers within the gate of {opened.manifest['recipe']}.")
        print(f"Next: edgekit inspect {bundle}")
