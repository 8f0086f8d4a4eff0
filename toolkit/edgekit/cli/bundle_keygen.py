"""`edgekit bundle keygen`: a pair of keys."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edgekit.cli.options import PATH, json_option


@click.command("keygen")
@click.option(
    "-o", "--output", type=PATH, required=True, metavar="NAME", help="The private key; NAME.pub is the public."
)
@click.option(
    "--passphrase",
    is_flag=True,
    help="Lock the private key with a passphrase: EDGEKIT_KEY_PASSPHRASE, or what you type.",
)
@json_option
def command(output: Path, passphrase: bool, as_json: bool) -> None:
    """Make a pair of Ed25519 keys: NAME signs bundles and stays with you, NAME.pub goes to the devices.

    Neither is ever replaced.
    """
    from edgekit.report import print_json
    from edgekit.signing import PASSPHRASE_VARIABLE, make_keys

    secret = None
    if passphrase:
        secret = os.environ.get(PASSPHRASE_VARIABLE) or click.prompt(
            "Passphrase", hide_input=True, confirmation_prompt=True, err=True
        )
    name = make_keys(output, secret.encode() if secret else None)
    if as_json:
        print_json({"private": str(output), "public": f"{output}.pub", "key": name})
        return
    print(f"Private key: {output}, for you alone. Public key: {output}.pub, for the devices. Id: {name}")
    print(f"Next: edgekit bundle sign BUNDLE --key {output}")
