"""Signatures: what Python signs the C++ session takes, what either refuses the other refuses too."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

import edgekit_runtime
from edgekit import manifest
from edgekit.bundle import Bundle
from edgekit.errors import EdgekitError, UsageError
from edgekit.signing import check_signature, load_private_key, make_keys, sign
from edgekit_runtime import Session

KEPT = Path(__file__).parent / "kept_bundles" / f"schema-{manifest.SCHEMA}" / "bundle"
RUNNER = Path(next(iter(edgekit_runtime.__path__)), "bin", "edgekit-run")
#: The order of the group of Ed25519, and the curve's field and constant (RFC 8032, 5.1).
ORDER = 2**252 + 27742317777372353535851937790883648493
PRIME = 2**255 - 19
CURVE_D = -121665 * pow(121666, -1, PRIME) % PRIME


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_keys(tmp_path / "key")
    return tmp_path / "key"


@pytest.fixture
def signed(tmp_path: Path, key: Path) -> Path:
    copy = Path(shutil.copytree(KEPT, tmp_path / "bundle"))
    sign(Bundle.open(copy), load_private_key(key))
    return copy


def public(key: Path) -> Path:
    return Path(f"{key}.pub")


def refused(bundle: Path, key: Path, words: str, kind: type[EdgekitError] = EdgekitError) -> None:
    """Python and the C++ session both refuse it, with the same words, whether files are to be compared or not."""
    for opening in (
        lambda: Bundle.open(bundle, public_key=key),
        lambda: Bundle.open(bundle, check_files=False, public_key=key),
        lambda: Session(bundle, public_key=key),
        lambda: Session(bundle, check_files=False, public_key=key),
    ):
        with pytest.raises(kind, match=words):
            opening()


def rewrite(bundle: Path, **change: Any) -> None:
    """Other fields in the signature, in its own spelling."""
    file = bundle / manifest.SIGNATURE_NAME
    fields = json.loads(file.read_bytes()) | change
    file.write_text(json.dumps(fields, sort_keys=True, indent=2) + "\n", encoding="utf-8")


def signature_of(bundle: Path) -> bytes:
    return base64.b64decode(json.loads((bundle / manifest.SIGNATURE_NAME).read_bytes())["signature"])


def set_signature(bundle: Path, signature: bytes) -> None:
    rewrite(bundle, signature=base64.b64encode(signature).decode())


# Good ones


def test_a_signed_bundle_is_taken_by_both(signed: Path, key: Path):
    Bundle.open(signed, public_key=public(key))
    Session(signed, public_key=public(key))
    Session(signed)
    assert Bundle.open(signed).size == sum(file.stat().st_size for file in signed.iterdir())


def test_what_python_signs_cpp_verifies_at_any_length(tmp_path: Path, key: Path):
    """The hash takes blocks of 128 bytes, and pads the last one: every length of it, and a long one."""
    copy, private = Path(shutil.copytree(KEPT, tmp_path / "bundle")), load_private_key(key)
    fields = manifest.load(copy)
    for length in [*range(128), 100_000]:
        fields["model"]["name"] = "x" * length
        (copy / manifest.FILE_NAME).write_bytes(manifest.dump(fields))
        sign(Bundle.open(copy), private, force=True)
        Session(copy, public_key=public(key))


def test_the_signature_is_the_standards_own(signed: Path, key: Path):
    """By its definition: OpenSSL verifies the 64 bytes over the line and the manifest."""
    message = b"edgekit bundle manifest, signature 1\n" + (signed / manifest.FILE_NAME).read_bytes()
    (key.parent / "message").write_bytes(message)
    (key.parent / "signature").write_bytes(signature_of(signed))
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the command openssl: apt install openssl")
    arguments = ["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey", public(key)]
    files = ["-in", key.parent / "message", "-sigfile", key.parent / "signature"]
    done = subprocess.run([openssl, *arguments, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_openssl_signs_is_verified(tmp_path: Path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the command openssl: apt install openssl")
    private, copy = tmp_path / "other", Path(shutil.copytree(KEPT, tmp_path / "bundle"))
    (tmp_path / "message").write_bytes(
        b"edgekit bundle manifest, signature 1\n" + (copy / "manifest.json").read_bytes()
    )
    for arguments in (
        ["genpkey", "-algorithm", "ed25519", "-out", private],
        ["pkey", "-in", private, "-pubout", "-out", public(private)],
        ["pkeyutl", "-sign", "-rawin", "-inkey", private, "-in", tmp_path / "message", "-out", tmp_path / "signature"],
    ):
        subprocess.run([openssl, *arguments], check=True, capture_output=True)
    raw = serialization.load_pem_public_key(public(private).read_bytes())
    assert isinstance(raw, Ed25519PublicKey)
    (copy / manifest.SIGNATURE_NAME).write_text("{}", encoding="utf-8")
    name = hashlib.sha256(raw.public_bytes_raw()).hexdigest()[:32]
    rewrite(copy, algorithm="ed25519", key=name, schema=1)
    set_signature(copy, (tmp_path / "signature").read_bytes())
    Bundle.open(copy, public_key=public(private))
    Session(copy, public_key=public(private))


def test_the_same_bundle_and_key_give_the_same_signature(signed: Path, key: Path, tmp_path: Path):
    again = Path(shutil.copytree(KEPT, tmp_path / "again"))
    sign(Bundle.open(again), load_private_key(key))
    sign(Bundle.open(again), load_private_key(key))
    first, second = ((one / manifest.SIGNATURE_NAME).read_bytes() for one in (signed, again))
    assert first == second
    assert stat.S_IMODE((signed / manifest.SIGNATURE_NAME).stat().st_mode) == 0o644
    assert sorted(os.listdir(signed)) == sorted([*os.listdir(KEPT), manifest.SIGNATURE_NAME])


def test_another_keys_signature_is_replaced_on_request(signed: Path, key: Path, tmp_path: Path):
    make_keys(tmp_path / "next")
    following = load_private_key(tmp_path / "next")
    with pytest.raises(UsageError, match="has another signature: replace it with --force"):
        sign(Bundle.open(signed), following)
    Session(signed, public_key=public(key))
    sign(Bundle.open(signed), following, force=True)
    Session(signed, public_key=public(tmp_path / "next"))
    refused(signed, public(key), "is signed with the key '[0-9a-f]{32}', which is not in")


def test_one_of_several_keys_will_do(signed: Path, key: Path, tmp_path: Path):
    make_keys(tmp_path / "next")
    several = tmp_path / "several.pub"
    several.write_bytes(b"of 2026:\n" + public(tmp_path / "next").read_bytes() + public(key).read_bytes())
    Bundle.open(signed, public_key=several)
    Session(signed, public_key=several)


def test_exporting_again_removes_the_signature(signed: Path):
    from edgekit.bundle import seal

    seal(signed, manifest.load(signed) | {"seed": 1})
    assert not (signed / manifest.SIGNATURE_NAME).exists()
    Bundle.open(signed)


# Bad ones


def test_a_bundle_without_signature_is_refused(tmp_path: Path, key: Path):
    copy = Path(shutil.copytree(KEPT, tmp_path / "bundle"))
    refused(copy, public(key), "is not signed, and a signature is required: take a bundle that")
    (tmp_path / "elsewhere").write_text("{}", encoding="utf-8")
    (copy / manifest.SIGNATURE_NAME).symlink_to(tmp_path / "elsewhere")
    refused(copy, public(key), "is not signed")
    with pytest.raises(EdgekitError, match=r"manifest\.sig does not belong to the bundle"):
        Bundle.open(copy)
    with pytest.raises(EdgekitError, match=r"manifest\.sig does not belong to the bundle"):
        Session(copy)


def test_another_key_is_refused(signed: Path, tmp_path: Path):
    make_keys(tmp_path / "other")
    refused(signed, public(tmp_path / "other"), "is signed with the key '[0-9a-f]{32}', which is not in .*other.pub")


def test_a_key_that_only_calls_itself_the_right_one_is_refused(signed: Path, key: Path, tmp_path: Path):
    name = json.loads((signed / manifest.SIGNATURE_NAME).read_bytes())["key"]
    make_keys(tmp_path / "other")
    sign(Bundle.open(signed), load_private_key(tmp_path / "other"), force=True)
    rewrite(signed, key=name)
    refused(signed, public(key), "has a signature that does not fit its manifest: do not use it")


def test_a_changed_manifest_is_refused_with_its_own_hash_in_order(signed: Path, key: Path):
    fields = manifest.load(signed) | {"seed": 7}
    (signed / manifest.FILE_NAME).write_bytes(manifest.dump(fields))
    Session(signed)
    refused(signed, public(key), "has a signature that does not fit its manifest")


def test_a_changed_file_is_refused_even_where_files_were_not_to_be_compared(signed: Path, key: Path):
    program = signed / "program.pte"
    content = bytearray(program.read_bytes())
    content[-1] ^= 1
    program.write_bytes(content)
    refused(signed, public(key), r"program\.pte was changed after export")


def test_any_wrong_bit_of_a_signature_is_refused(signed: Path, key: Path):
    good, text = signature_of(signed), (signed / manifest.SIGNATURE_NAME).read_bytes()
    for bit in range(0, 512, 7):  # all bits of bytes in turn, and bytes of both halves
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        set_signature(signed, bytes(bad))
        for opening in (lambda: check_signature(signed, public(key)), lambda: Session(signed, public_key=public(key))):
            with pytest.raises(EdgekitError, match="does not fit its manifest"):
                opening()
    (signed / manifest.SIGNATURE_NAME).write_bytes(text)
    Session(signed, public_key=public(key))


def test_any_changed_byte_of_the_file_is_refused(signed: Path, key: Path):
    file = signed / manifest.SIGNATURE_NAME
    good = file.read_bytes()
    for at in range(0, len(good), 3):
        for bad in (good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], good[:at], good[:at] + good[at + 1 :]):
            file.write_bytes(bad)
            for opening in (
                lambda: check_signature(signed, public(key)),
                lambda: Session(signed, public_key=public(key)),
            ):
                with pytest.raises(EdgekitError, match=r"damaged|another kind|not fit|not in"):
                    opening()


OTHER_FILES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "another algorithm": lambda fields: fields | {"algorithm": "ed25519ph"},
    "no algorithm": lambda fields: fields | {"algorithm": None},
    "a later schema": lambda fields: fields | {"schema": 2},
    "a field more": lambda fields: fields | {"more": 1},
    "a signature cut": lambda fields: fields | {"signature": fields["signature"][:-4]},
    "a signature longer": lambda fields: fields | {"signature": "AAAA" + fields["signature"]},
    "no signature": lambda fields: fields | {"signature": ""},
    "a signature of another kind": lambda fields: fields | {"signature": 7},
    "a key of another kind": lambda fields: fields | {"key": ["x"]},
    "a key that is none": lambda fields: fields | {"key": "\u001b[31mred"},
    "base64 with spare bits": lambda fields: fields | {"signature": fields["signature"][:-3] + "B=="},
    "deep": lambda fields: fields | {"key": json.loads("[" * 500 + "]" * 500)},
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_other_files_are_refused(signed: Path, key: Path, kind: str):
    file = signed / manifest.SIGNATURE_NAME
    fields = OTHER_FILES[kind](json.loads(file.read_bytes()))
    file.write_text(json.dumps(fields, sort_keys=True, indent=2) + "\n", encoding="utf-8")
    for opening in (lambda: check_signature(signed, public(key)), lambda: Session(signed, public_key=public(key))):
        with pytest.raises(EdgekitError, match=r"damaged|another kind|larger|not in") as caught:
            opening()
        assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"[" * 4000, b" " * 5000, b"\xff\xfe"])
def test_what_is_no_signature_is_refused(signed: Path, key: Path, content: bytes):
    (signed / manifest.SIGNATURE_NAME).write_bytes(content)
    refused(signed, public(key), "damaged|larger")


def test_a_signature_above_the_order_is_refused(signed: Path, key: Path):
    """S + order fits the same equation: whoever takes it takes two signatures for one."""
    good = signature_of(signed)
    above = int.from_bytes(good[32:], "little") + ORDER
    assert above < 2**256
    set_signature(signed, good[:32] + above.to_bytes(32, "little"))
    refused(signed, public(key), "does not fit its manifest")


def small_order_points() -> list[bytes]:
    """All spellings of the points of order 1, 2, 4 and 8, by the curve's equation: adding each to itself three times
    gives the neutral point."""

    def x_of(y: int) -> int | None:
        square = (y * y - 1) * pow(CURVE_D * y * y + 1, -1, PRIME) % PRIME
        root = pow(square, (PRIME + 3) // 8, PRIME)
        for one in (root, root * pow(2, (PRIME - 1) // 4, PRIME) % PRIME):
            if one * one % PRIME == square:
                return one
        return None

    def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        product = CURVE_D * a[0] * b[0] * a[1] * b[1] % PRIME
        x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + product, -1, PRIME)
        return x % PRIME, (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, PRIME) % PRIME

    points: set[tuple[int, int]] = set()
    start = 2
    while len(points) < 8:  # order * point has an order that divides 8
        start += 1
        x = x_of(start)
        if x is None:
            continue
        base, found, factor = (x, start), (0, 1), ORDER
        while factor:
            found = add(found, base) if factor & 1 else found
            base, factor = add(base, base), factor >> 1
        one = found
        for _ in range(8):
            points.add(one)
            one = add(one, found)
    spelled = {(y + more * PRIME) | sign << 255 for _, y in points for more in (0, 1) for sign in (0, 1)
               if y + more * PRIME < 2**255}  # fmt: skip
    return [number.to_bytes(32, "little") for number in sorted(spelled)]


def pem_of(point: bytes) -> bytes:
    letters = base64.b64encode(bytes.fromhex("302a300506032b6570032100") + point).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{letters}\n-----END PUBLIC KEY-----\n".encode()


def test_keys_that_fit_any_message_are_refused(signed: Path, tmp_path: Path):
    """With a key of small order, R = key and S = 0 fits one message in eight, whoever made it."""
    points = small_order_points()
    assert len(points) == 14  # 5 values of y with both signs, and two values that have a second spelling
    for point in points:
        (tmp_path / "weak.pub").write_bytes(pem_of(point))
        rewrite(signed, key=hashlib.sha256(point).hexdigest()[:32])
        set_signature(signed, point + bytes(32))
        refused(signed, tmp_path / "weak.pub", r"weak\.pub is no file of .*Ed25519 public key")


def ec_key() -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return generate_ec_key(SECP256R1()).public_key().public_bytes(serialization.Encoding.PEM, form)


POINT = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
OTHER_KEYS = {
    "empty": lambda: b"",
    "words": lambda: b"no key",
    "of another kind": ec_key,
    "cut": lambda: pem_of(POINT)[:40],
    "short": lambda: pem_of(POINT[:-1]),
    "long": lambda: pem_of(POINT + b"x"),
    "a second that is none": lambda: pem_of(POINT) + pem_of(POINT[:-1]),
    "a second that is cut": lambda: pem_of(POINT) + b"-----BEGIN PUBLIC KEY-----\n",
    "above the field": lambda: pem_of((2**255 - 19 + 3).to_bytes(32, "little")),
    "no base64": lambda: pem_of(POINT).replace(b"MCow", b"MC*w"),
}


@pytest.mark.parametrize("kind", OTHER_KEYS)
def test_files_that_are_no_keys_are_refused(signed: Path, tmp_path: Path, kind: str):
    (tmp_path / "odd.pub").write_bytes(OTHER_KEYS[kind]())
    refused(signed, tmp_path / "odd.pub", r"odd\.pub is no file of .*Ed25519 public key")


def test_a_private_key_is_no_public_one_and_the_reverse(signed: Path, key: Path):
    refused(signed, key, "is no file of .*Ed25519 public key")
    with pytest.raises(EdgekitError, match="is no file of an Ed25519 private key"):
        load_private_key(public(key))
    refused(signed, key.with_name("none.pub"), r"there is no .*key .*none\.pub", UsageError)


# What requires a signature


def test_the_environment_requires_one_of_every_session(signed: Path, key: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EDGEKIT_REQUIRE_SIGNATURE", str(public(key)))
    Session(signed)
    (signed / manifest.SIGNATURE_NAME).unlink()
    for check_files in (True, False):
        with pytest.raises(EdgekitError, match="is not signed, and a signature is required"):
            Session(signed, check_files=check_files)
    monkeypatch.setenv("EDGEKIT_REQUIRE_SIGNATURE", str(key.with_name("gone.pub")))
    with pytest.raises(UsageError, match=r"there is no public key .*gone\.pub"):
        Session(signed)
    monkeypatch.setenv("EDGEKIT_REQUIRE_SIGNATURE", "")
    Session(signed)


def test_the_environment_stands_beside_a_sessions_own_key(signed: Path, key: Path, tmp_path: Path, monkeypatch):
    make_keys(tmp_path / "other")
    monkeypatch.setenv("EDGEKIT_REQUIRE_SIGNATURE", str(public(tmp_path / "other")))
    with pytest.raises(EdgekitError, match=r"which is not in .*other\.pub"):
        Session(signed, public_key=public(key))


def run_runner(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(RUNNER), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_the_runner_requires_one(signed: Path, key: Path, tmp_path: Path):
    needed = ("--require-signature", public(key))
    assert run_runner(signed, "--bench", 1, *needed).returncode == 0
    make_keys(tmp_path / "other")
    other = run_runner(signed, "--bench", 1, "--require-signature", public(tmp_path / "other"))
    assert (other.returncode, other.stdout) == (1, "")
    assert "edgekit-run: error:" in other.stderr
    assert "which is not in" in other.stderr
    absent = run_runner(signed, "--bench", 1, "--require-signature", tmp_path / "absent.pub")
    assert absent.returncode == 2
    (signed / manifest.SIGNATURE_NAME).unlink()
    assert run_runner(signed, "--bench", 1, EDGEKIT_REQUIRE_SIGNATURE=str(public(key))).returncode == 1
    assert run_runner(signed, "--bench", 1).returncode == 0


# The command line


def test_from_key_to_checked_bundle(cli, tmp_path: Path):
    copy, key = Path(shutil.copytree(KEPT, tmp_path / "bundle")), tmp_path / "keys" / "release"
    made = cli("bundle", "keygen", "-o", key)
    assert made.code == 0, made.err
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "PRIVATE" in key.read_text(encoding="utf-8")
    assert "PRIVATE" not in public(key).read_text(encoding="utf-8")
    name = json.loads(cli("bundle", "sign", copy, "--key", key, "--json").out)["key"]
    assert name in made.out
    shown = cli("bundle", "verify-signature", copy, "--key", public(key))
    assert shown.code == 0
    assert f"signed with the key {name}; its manifest and" in shown.out
    found = json.loads(cli("bundle", "verify-signature", copy, "--key", public(key), "--json").out)
    assert found == {"bundle": str(copy), "key": name, "files": len(os.listdir(KEPT)) - 1}
    inspected = cli("inspect", copy)
    assert f"Signature: by the key {name}; `edgekit bundle verify-signature" in inspected.out
    assert "Parts: sbom.cdx.json (CycloneDX); licences: LICENSES.txt" in inspected.out
    assert "Signature: none" in cli("inspect", KEPT).out
    assert cli("verify", copy, "--require-signature", public(key)).code == 0
    unsigned = cli("verify", KEPT, "--require-signature", public(key))
    assert (unsigned.code, unsigned.out) == (1, "")
    assert "is not signed, and a signature is required" in unsigned.err
    asked = cli("run", KEPT, "--input", tmp_path / "x.npy", "--require-signature", public(key))
    assert asked.code == 1
    assert "is not signed" in asked.err


def test_keys_are_never_replaced(cli, key: Path):
    before = key.read_bytes(), public(key).read_bytes()
    again = cli("bundle", "keygen", "-o", key)
    assert again.code == 2
    assert "a key is never replaced" in again.err
    key.unlink()
    assert cli("bundle", "keygen", "-o", key).code == 2
    assert not key.exists()
    assert public(key).read_bytes() == before[1]


def test_a_damaged_bundle_is_not_signed(cli, tmp_path: Path, key: Path):
    copy = Path(shutil.copytree(KEPT, tmp_path / "bundle"))
    with (copy / "program.pte").open("ab") as file:
        file.write(b"x")
    done = cli("bundle", "sign", copy, "--key", key)
    assert (done.code, done.out) == (1, "")
    assert not (copy / manifest.SIGNATURE_NAME).exists()


def test_a_passphrase_locks_the_key(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    key, copy = tmp_path / "locked", Path(shutil.copytree(KEPT, tmp_path / "bundle"))
    monkeypatch.setenv("EDGEKIT_KEY_PASSPHRASE", "correct horse")
    assert cli("bundle", "keygen", "-o", key, "--passphrase").code == 0
    assert b"ENCRYPTED" in key.read_bytes()
    assert cli("bundle", "sign", copy, "--key", key).code == 0
    monkeypatch.setenv("EDGEKIT_KEY_PASSPHRASE", "wrong")
    wrong = cli("bundle", "sign", copy, "--key", key)
    assert wrong.code == 1
    assert "has another passphrase: check EDGEKIT_KEY_PASSPHRASE" in wrong.err
    assert "wrong" not in wrong.err
    monkeypatch.delenv("EDGEKIT_KEY_PASSPHRASE")
    none = cli("bundle", "sign", copy, "--key", key)
    assert none.code == 1
    assert "has a passphrase: set EDGEKIT_KEY_PASSPHRASE" in none.err
    open_key = tmp_path / "open"
    assert cli("bundle", "keygen", "-o", open_key).code == 0
    monkeypatch.setenv("EDGEKIT_KEY_PASSPHRASE", "for another key")
    assert cli("bundle", "sign", copy, "--key", open_key, "--force").code == 0
