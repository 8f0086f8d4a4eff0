"""Signatures of bundles: who made one, and that it is as it was made.

What is signed is the manifest, which holds the hash of every other file, by Ed25519 (RFC 8032) behind a line that no
other signature begins with. It lies beside the manifest as `manifest.sig`: JSON in one spelling, with the key's id (the
first half of its SHA-256) and the signature. The C++ session checks the same (`core/signature.h`).

Keys are PEM files: PKCS 8 for the private one, SubjectPublicKeyInfo for the public one. A file of public keys may hold
several, one after another; any of them will do, so that devices can be given the next key before it is used.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edgekit import manifest
from edgekit.bundle import Bundle
from edgekit.errors import EdgekitError, UsageError
from edgekit.files import explained, replacing

SCHEMA = 1
ALGORITHM = "ed25519"
DOMAIN = b"edgekit bundle manifest, signature 1\n"
MAX_SIGNATURE_BYTES = 4096
MAX_KEY_BYTES = 1 << 16
#: Names the passphrase of a private key.
PASSPHRASE_VARIABLE = "EDGEKIT_KEY_PASSPHRASE"

_BLOCK = re.compile(rb"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\r\n]*)-----END PUBLIC KEY-----")
#: What stands before the 32 bytes of a key in a SubjectPublicKeyInfo (RFC 8410).
_KEY_HEAD = bytes.fromhex("302a300506032b6570032100")
_PRIME = 2**255 - 19
#: The y of the points of order 1, 2, 4 and 8: a signature by one of them fits any message.
_SMALL_ORDER = {
    0,
    1,
    _PRIME - 1,
    int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
    int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
}


def make_keys(private: Path, passphrase: bytes | None = None) -> str:
    """Writes a new private key, readable by its owner alone, and beside it the public one, `NAME.pub`; gives its id.

    Raises:
        UsageError: one of the files exists; keys are never replaced.
        EdgekitError: they cannot be written.
    """
    public = Path(f"{private}.pub")
    for file in (private, public):
        if os.path.lexists(file):
            raise UsageError(f"{file} exists, and a key is never replaced: choose another name with -o.")
    key = Ed25519PrivateKey.generate()
    lock = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    shown = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with explained("write", private):
        _write_new(private, secret, 0o600)
        try:
            _write_new(public, shown, 0o644)
        except OSError:
            private.unlink()
            raise
    return key_id(key.public_key())


def key_id(key: Ed25519PublicKey) -> str:
    """What a signature calls a key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:32]


def load_private_key(file: Path, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """A private key.

    Raises:
        PassphraseError: it has a passphrase, and none or a wrong one was given.
        EdgekitError: it is none.
    """
    raw = _read_key(file)
    try:
        key = serialization.load_pem_private_key(raw, passphrase)
    except TypeError as error:  # a passphrase is missing, or one too many
        if passphrase is None:
            raise PassphraseError(f"{file} has a passphrase: set {PASSPHRASE_VARIABLE}.") from error
        return load_private_key(file)
    except (ValueError, UnsupportedAlgorithm) as error:
        if passphrase is not None and b"ENCRYPTED" in raw:
            raise PassphraseError(f"{file} has another passphrase: check {PASSPHRASE_VARIABLE}.") from error
        raise _no_key(file, "private key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(file, "private key")
    return key


def load_public_keys(file: Path) -> list[Ed25519PublicKey]:
    """The keys of a file, one at least.

    Raises:
        UsageError: there is no such file.
        EdgekitError: one of them is no Ed25519 key, or of a kind that fits any signature.
    """
    keys = []
    raw = _read_key(file)
    blocks = _BLOCK.findall(raw)
    if len(blocks) != raw.count(b"-----BEGIN PUBLIC KEY-----"):
        raise _no_key(file, "public key")
    for letters in blocks:
        try:
            found = base64.b64decode(letters.replace(b"\r", b"").replace(b"\n", b""), validate=True)
        except ValueError as error:
            raise _no_key(file, "public key") from error
        point = found[len(_KEY_HEAD) :]
        y = int.from_bytes(point, "little") & (2**255 - 1)
        if len(point) != 32 or found[: len(_KEY_HEAD)] != _KEY_HEAD or y >= _PRIME or y in _SMALL_ORDER:
            raise _no_key(file, "public key")
        keys.append(Ed25519PublicKey.from_public_bytes(point))
    if not keys:
        raise _no_key(file, "public key")
    return keys


def sign(bundle: Bundle, key: Ed25519PrivateKey, force: bool = False) -> str:
    """Signs a bundle whose files were checked; gives the key's id. The same key gives the same bytes.

    Raises:
        UsageError: it has another signature, which was not to be replaced.
        EdgekitError: the signature cannot be written.
    """
    name = key_id(key.public_key())
    text = _spell(name, key.sign(DOMAIN + manifest.read_raw(bundle.path)))
    file = bundle.path / manifest.SIGNATURE_NAME
    if bundle.is_signed and file.read_bytes() == text:
        return name
    if os.path.lexists(file) and not force:
        raise UsageError(f"{bundle.path} has another signature: replace it with --force.")
    with replacing(file) as temporary:
        temporary.write_bytes(text)
    return name


def check_signature(folder: Path, public_key: Path) -> str:
    """Checks that a bundle's manifest was signed with one of the keys in a file; gives that key's id.

    The manifest's hashes say nothing before its files are compared with them (`Bundle.check_files`).

    Raises:
        UsageError: there is no such file of keys.
        EdgekitError: there is no signature, or it is damaged, by another key, or of another manifest.
    """
    keys = {key_id(key): key for key in load_public_keys(public_key)}
    name, signature = _read(folder)
    if name not in keys:
        raise EdgekitError(
            f"{folder} is signed with the key {name!r}, which is not in {public_key}: do not use it, or give the key "
            "of who signed it."
        )
    try:
        keys[name].verify(signature, DOMAIN + manifest.read_raw(folder))
    except InvalidSignature as error:
        raise EdgekitError(
            f"{folder} has a signature that does not fit its manifest: do not use it, or copy the bundle again."
        ) from error
    return name


def named_key(folder: Path) -> str | None:
    """The id of the key that a bundle says it was signed with, unchecked; None where it is not signed.

    Raises:
        EdgekitError: the signature is damaged.
    """
    file = folder / manifest.SIGNATURE_NAME
    return _read(folder)[0] if os.path.lexists(file) else None


class PassphraseError(EdgekitError):
    """A private key's passphrase is missing or wrong."""


def _read(folder: Path) -> tuple[str, bytes]:
    """The key's id and the signature of `manifest.sig`."""
    file = folder / manifest.SIGNATURE_NAME
    if file.is_symlink() or not file.is_file():
        raise EdgekitError(
            f"{folder} is not signed, and a signature is required: take a bundle that `edgekit bundle sign` signed."
        )
    with file.open("rb") as opened:
        raw = opened.read(MAX_SIGNATURE_BYTES + 1)
    damaged = EdgekitError(f"{file} is damaged: copy the bundle again.")
    if len(raw) > MAX_SIGNATURE_BYTES:
        raise damaged
    try:
        fields = json.loads(raw)
        kind = fields["algorithm"], fields["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged from error
    if kind != (ALGORITHM, SCHEMA):
        raise EdgekitError(
            f"{file} is a signature of another kind than this edgekit checks (Ed25519, schema 1): sign the bundle anew."
        )
    try:
        name, signature = str(fields["key"]), base64.b64decode(fields["signature"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise damaged from error
    # One spelling alone is taken, so that a signature cannot be changed without being another one.
    if len(signature) != 64 or not re.fullmatch("[0-9a-f]{32}", name) or _spell(name, signature) != raw:
        raise damaged
    return name, signature


def _spell(name: str, signature: bytes) -> bytes:
    fields = {"schema": SCHEMA, "algorithm": ALGORITHM, "key": name, "signature": base64.b64encode(signature).decode()}
    return (json.dumps(fields, sort_keys=True, indent=2) + "\n").encode()


def _read_key(file: Path) -> bytes:
    if not file.is_file():
        raise UsageError(f"there is no key {file}: `edgekit bundle keygen` makes one.")
    with explained("read", file), file.open("rb") as opened:
        raw = opened.read(MAX_KEY_BYTES + 1)
    if len(raw) > MAX_KEY_BYTES:
        raise EdgekitError(f"{file} is larger than {MAX_KEY_BYTES} bytes: it is no key.")
    return raw


def _no_key(file: Path, kind: str) -> EdgekitError:
    return EdgekitError(f"{file} is no file of an Ed25519 {kind} (PEM): `edgekit bundle keygen` makes one.")


def _write_new(file: Path, content: bytes, mode: int) -> None:
    """Writes a file that must not exist, which nobody but its owner may read before it has its mode."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        file.chmod(mode)
    except OSError:
        file.unlink()
        raise
