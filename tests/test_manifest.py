"""The manifest: one canonical spelling, and nothing changed in it goes unnoticed."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgekit import manifest
from edgekit.errors import EdgekitError

CONTENT: dict[str, Any] = {
    "schema": manifest.SCHEMA,
    "minimum_runtime": {"executorch": "1.5"},
    "tools": {"torch": "2.13.0"},
    "model": {"name": "größe", "parameters": 151930},
    "device": "linux-x86_64",
    "recipe": "fp32",
    "seed": 0,
    "pipeline": {"name": "tensors", "clip": [-4.0, 5.0], "threshold": 1e-05},
    "programs": [],
    "memory": {"weights": 12345, "runtime": None},
    "accuracy": {"gate": {"passed": True}},
    "files": {"program.pte": {"sha256": "ab" * 32, "bytes": 54321}},
}
RAW = manifest.dump(CONTENT)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundle")


def load(place: Path, raw: bytes) -> dict[str, Any]:
    (place / manifest.FILE_NAME).write_bytes(raw)
    return manifest.load(place)


def refuse(place: Path, raw: bytes) -> str:
    with pytest.raises(EdgekitError) as caught:
        load(place, raw)
    assert manifest.FILE_NAME in str(caught.value)
    return str(caught.value)


def test_what_is_written_is_read(place):
    fields = load(place, RAW)
    assert {name: value for name, value in fields.items() if name != "sha256"} == CONTENT
    # The hash, by its definition in the module's docstring.
    spelled = json.dumps(CONTENT, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    assert fields["sha256"] == hashlib.sha256(spelled.encode()).hexdigest()


def test_same_content_same_bytes():
    turned = {name: CONTENT[name] for name in reversed(CONTENT)}
    assert manifest.dump(turned) == RAW
    assert manifest.dump(turned | {"sha256": "of another manifest"}) == RAW
    assert manifest.dump(turned | {"seed": 1}) != RAW


def at(text: bytes) -> int:
    return RAW.index(text)


@given(position=st.integers(0, len(RAW) - 1), flip=st.integers(1, 255))
@example(position=at(b"12345") + 1, flip=ord("2") ^ ord("e"))  # 1e345 reads as infinite
@example(position=at(b"54321") + 1, flip=ord("4") ^ ord("."))
@example(position=len(RAW) - 1, flip=ord("\n") ^ ord(" "))
@example(position=at(b'"schema"') + 10, flip=ord("1") ^ ord("3"))
def test_any_changed_byte_is_noticed(place, position: int, flip: int):
    refuse(place, RAW[:position] + bytes([RAW[position] ^ flip]) + RAW[position + 1 :])


@given(position=st.integers(0, len(RAW) - 1))
def test_any_lost_byte_and_any_cut_is_noticed(place, position: int):
    refuse(place, RAW[:position] + RAW[position + 1 :])
    refuse(place, RAW[:position])


OTHER_SPELLINGS = {
    "empty": b"",
    "a list": b"[]",
    "null": b"null",
    "cut": b"{",
    "nested without end": b"[" * 100_000,
    "no text": b"\xff\xfe\x00",
    "a line more": RAW + b"\n",
    "byte order mark": b"\xef\xbb\xbf" + RAW,
    "line ends": RAW.replace(b"\n", b"\r\n"),
    "utf-16": RAW.decode().encode("utf-16"),
    "one line": json.dumps(json.loads(RAW)).encode(),
    "a field twice": RAW.replace(b'"seed": 0', b'"seed": 1,\n  "seed": 0'),
    "NaN": RAW.replace(b'"seed": 0', b'"seed": NaN'),
    "Infinity": RAW.replace(b'"seed": 0', b'"seed": -Infinity'),
    "infinite by its exponent": RAW.replace(b'"seed": 0', b'"seed": 1e999'),
    "half a surrogate pair": RAW.replace(b'"fp32"', b'"\\ud800"'),
    "escaped letter": RAW.replace("ö".encode(), b"\\u00f6"),
}


@pytest.mark.parametrize("kind", OTHER_SPELLINGS)
def test_other_spellings_are_refused(place, kind: str):
    assert OTHER_SPELLINGS[kind] != RAW
    refuse(place, OTHER_SPELLINGS[kind])


def test_not_finite_numbers_are_never_written():
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="JSON"):
            manifest.dump(CONTENT | {"accuracy": {"max_abs": value}})


@pytest.mark.parametrize("schema", [manifest.SCHEMA + 1, 0, "1", None, 1.5])
def test_other_schemas_are_named(place, schema: object):
    says = refuse(place, manifest.dump(CONTENT | {"schema": schema}))
    assert f"schema {schema!r}" in says
    assert f"reads {manifest.SCHEMA - 1}, {manifest.SCHEMA}" in says


@pytest.mark.parametrize("name", sorted(set(manifest.FIELDS) - {"schema", "sha256"}))
def test_every_field_must_be_there_and_of_its_kind(place, name: str):
    without = {key: value for key, value in CONTENT.items() if key != name}
    assert repr(name) in refuse(place, manifest.dump(without))
    assert repr(name) in refuse(place, manifest.dump(without | {name: None}))


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/x", "a\\b", "..\\x", "C:\\x", "", ".", "..", "./a", "a//b", "a/", manifest.FILE_NAME],
)
def test_files_outside_the_bundle_are_refused(place, name: str):
    says = refuse(place, manifest.dump(CONTENT | {"files": {name: {"sha256": "", "bytes": 0}}}))
    assert repr(name) in says


@pytest.mark.parametrize("name", ["program.pte", "lib/ops.so", "a/b/c", "..a", "a..b", "größe.bin"])
def test_files_inside_the_bundle_are_taken(place, name: str):
    files = {name: {"sha256": "", "bytes": 0}}
    assert load(place, manifest.dump(CONTENT | {"files": files}))["files"] == files


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path):
    with pytest.raises(EdgekitError, match="not a bundle"):
        manifest.load(tmp_path)
    (tmp_path / manifest.FILE_NAME).mkdir()
    with pytest.raises(EdgekitError, match="not a bundle"):
        manifest.load(tmp_path)


def test_a_huge_file_is_not_read(place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(manifest, "MAX_MANIFEST_BYTES", len(RAW) - 1)
    assert "larger than" in refuse(place, RAW)


def test_a_damaged_manifest_is_still_a_bundles(tmp_path: Path):
    path = tmp_path / manifest.FILE_NAME
    assert not manifest.is_bundle(tmp_path)
    for raw in (RAW, RAW[:-2], RAW.replace(b"fp32", b"fp33")):
        path.write_bytes(raw)
        assert manifest.is_bundle(tmp_path)
    for raw in (b"", b'{"name": "a web page", "files": [], "device": "phone"}', b"\xff" * 99):
        path.write_bytes(raw)
        assert not manifest.is_bundle(tmp_path)
