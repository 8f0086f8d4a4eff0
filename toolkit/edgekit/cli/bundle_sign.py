"""`edgekit bundle sign`: a bundle's signature."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from edgekit.cli.options import PATH, force_option, json_option


@click.command("sign")
@click.argument("bundle", type=PATH)
@click.option("--key", type=PATH, required=True, metavar="FILE", help="The private key (`edgekit bundle keygen`).")
@force_option
@json_option
def command(bundle: Path, key: Path, force: bool, as_json: bool) -> None:
    """Check BUNDLE's files and sign its manifest, which holds their hashes.

    The signature lies beside it as manifest.sig. A bundle has one; --force replaces another key's. A locked key's
    passphrase is EDGEKIT_KEY_PASSPHRASE, or what you type.
    """
    from edgekit.bundle import Bundle
    from edgekit.report import print_json
    from edgekit.signing import PASSPHRASE_VARIABLE, PassphraseError, load_private_key, sign

    given = os.environ.get(PASSPHRASE_VARIABLE)
    try:
        private = load_private_key(key, given.encode() if given else None)
    except PassphraseError:
        if given or not sys.stdin.isatty():
            raise
        private = load_private_key(key, click.prompt("Passphrase", hide_input=True, err=True).encode())
    name = sign(Bundle.open(bundle), private, force)
    if as_json:
        print_json({"bundle": str(bundle), "key": name})
        return
    print(f"{bundle}: signed with the key {name}.")
    print(f"Next: edgekit bundle verify-signature {bundle} --key {key}.pub")
