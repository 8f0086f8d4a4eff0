"""`edgekit bundle verify-signature`: who signed a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import PATH, json_option


@click.command("verify-signature")
@click.argument("bundle", type=PATH)
@click.option("--key", type=PATH, required=True, metavar="FILE.pub", help="The public key, or several in one file.")
@json_option
def command(bundle: Path, key: Path, as_json: bool) -> None:
    """Check that BUNDLE was signed with a key of FILE.pub, and that every file is as it was then."""
    from edgekit.bundle import Bundle
    from edgekit.report import print_json
    from edgekit.signing import named_key

    opened = Bundle.open(bundle, public_key=key)
    name, files = named_key(opened.path), len(opened.manifest["files"])
    if as_json:
        print_json({"bundle": str(bundle), "key": name, "files": files})
        return
    print(f"{bundle}: signed with the key {name}; its manifest and {files} files are as they were signed.")
    print(f"Next: edgekit run {bundle} --require-signature {key} ...")
