"""`edgekit verify`: a bundle's files and answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import PATH, json_option, require_signature_option, verbosity_options

if TYPE_CHECKING:
    from edgekit.bundle import Bundle
    from edgekit.export.verify import OutputError


@click.command("verify")
@click.argument("bundles", type=PATH, nargs=-1, required=True, metavar="BUNDLE...")
@require_signature_option
@json_option
@verbosity_options
def command(bundles: tuple[Path, ...], public_key: Path | None, as_json: bool, quiet: bool) -> None:
    """Check BUNDLE's hashes, run the samples that it carries, and compare with the eager fp32 model's answers.

    Several bundles of one model, in other formats or recipes say, are compared with each other too.
    """
    from edgekit.bundle import Bundle
    from edgekit.errors import GateError

    paths = list(dict.fromkeys(bundles))
    names = [path.name for path in paths]
    # Bundles of one name in several folders are told apart by their paths.
    opened = {
        name if names.count(name) == 1 else str(path): Bundle.open(path, public_key=public_key)
        for path, name in zip(paths, names, strict=True)
    }

    from edgekit.export.accuracy import missed
    from edgekit.export.differences import differences
    from edgekit.export.recipes import find_recipe
    from edgekit.export.verify import verify_bundle
    from edgekit.report import print_differences, print_json
    from edgekit.sessions import open_session

    sessions = {name: open_session(bundle) for name, bundle in opened.items()}
    reports = []
    for path, (name, bundle) in zip(paths, opened.items(), strict=True):
        errors, failures = verify_bundle(sessions[name], find_recipe(str(bundle.manifest["recipe"])))
        reports.append((path, bundle, errors, failures))
    compared = differences(sessions) if len(sessions) > 1 else []
    if as_json:
        found = [
            {
                "outputs": [error.to_dict() for error in errors],
                "failures": failures,
                "passed": not failures,
                "files": "unchanged",
                "at_export": bundle.manifest["accuracy"],
            }
            for _, bundle, errors, failures in reports
        ]
        several = {"bundles": dict(zip(opened, found, strict=True))}
        several["differences"] = [one.to_dict() for one in compared]  # type: ignore[assignment]
        print_json(several if len(found) > 1 else found[0])
    else:
        for path, bundle, errors, failures in reports:
            _print_report(path, bundle, errors, not failures)
        if compared:
            print_differences([one.to_dict() for one in compared])
    failed = [f"on this machine {missed(path, failures)}" for path, _, _, failures in reports if failures]
    if failed:
        raise GateError(f"{'; '.join(failed)}.")
    if not as_json:
        print(f"Next: edgekit inspect {bundles[-1]}")


def _print_report(path: Path, bundle: Bundle, errors: Sequence[OutputError], passed: bool) -> None:
    from edgekit.report import print_accuracy, print_table

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
    print_accuracy(bundle.manifest["accuracy"])
    if passed:
        print(f"{path}: files unchanged, answers within the gate of {bundle.manifest['recipe']}.")
