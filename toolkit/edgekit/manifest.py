"""`manifest.json`: what a bundle is and holds, in a versioned schema and one canonical spelling.

The file's bytes are fixed by its content (sorted keys, two spaces, one newline), and its field `sha256` covers all
other fields, so that any changed byte is noticed. It holds no time, no path and nothing measured in seconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from edgekit.errors import EdgekitError

#: 2 names edgekit's own minimum version, and the files `sbom` and `licenses`.
SCHEMA = 2
#: Schemas that this version reads: its own and the one before.
READABLE_SCHEMAS = (1, 2)
#: The first edgekit-runtime that reads `SCHEMA`.
MINIMUM_RUNTIME = "0.1.0"
FILE_NAME = "manifest.json"
#: Beside it where a bundle was signed; never listed in it.
SIGNATURE_NAME = "manifest.sig"
MAX_MANIFEST_BYTES = 16 << 20

#: Top-level fields and their JSON types.
FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "schema": int,
    "sha256": str,
    "minimum_runtime": dict,  # {"edgekit": version, "executorch": version}
    "tools": dict,  # versions that made the bundle
    "model": dict,  # name, variant, parameters, checkpoint hash
    "device": str,
    "recipe": str,
    "seed": int,
    "pipeline": dict,  # {"name": task, ...settings of that task}
    "programs": list,  # file, format, methods, operators, delegates
    "memory": dict,  # bytes by part; export/memory.py says which
    "accuracy": dict,  # errors per output, task metric, gate
    "files": dict,  # path -> {"sha256", "bytes"}
}
#: Fields that name one of `files`, where they are there: what a bundle consists of, and under which licences.
NAMED_FILES = ("sbom", "licenses")


def dump(fields: Mapping[str, Any]) -> bytes:
    """The canonical bytes of a manifest; adds its own hash."""
    content = {name: value for name, value in fields.items() if name != "sha256"}
    return _spell(content | {"sha256": _digest(content)})


def load(folder: Path) -> dict[str, Any]:
    """Reads and checks a bundle's manifest.

    Raises:
        EdgekitError: no manifest, changed bytes, another schema, or a field of the wrong kind.
    """
    path = folder / FILE_NAME
    raw = read_raw(folder)
    try:
        fields = json.loads(raw)
        schema = fields["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EdgekitError(f"{path} is damaged: copy the bundle again.") from error
    if not isinstance(schema, int) or isinstance(schema, bool) or schema not in READABLE_SCHEMAS:
        raise EdgekitError(
            f"{path} has schema {_shown(schema)}, this edgekit reads {', '.join(map(str, READABLE_SCHEMAS))}: "
            f"install the edgekit that made it, or export the bundle again."
        )
    content = {name: value for name, value in fields.items() if name != "sha256"}
    try:
        unchanged = fields.get("sha256") == _digest(content) and _spell(fields) == raw
    except (ValueError, RecursionError):  # what JSON reads and does not write: NaN, 1e999, half a surrogate pair
        unchanged = False
    if not unchanged:
        raise EdgekitError(f"{path} was changed after export: copy the bundle again or export it anew.")
    for name, kind in FIELDS.items():
        if not isinstance(fields.get(name), kind):
            raise EdgekitError(f"{path} has no valid field {name!r}: export the bundle again.")
    for name in fields["files"]:
        _check_inside(name, path)
    for field in NAMED_FILES:
        if field in fields and (not isinstance(fields[field], str) or fields[field] not in fields["files"]):
            raise EdgekitError(f"{path} has no valid field {field!r}: export the bundle again.")
    return dict(fields)


def read_raw(folder: Path) -> bytes:
    """A manifest's bytes, which nothing was checked of but that they are a file of a manifest's size.

    Raises:
        EdgekitError: there is none, it is a link, or it is larger than a manifest.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise EdgekitError(f"{folder} is not a bundle: it has no {FILE_NAME}.")
    if path.is_symlink():
        raise EdgekitError(f"{path} is a link: copy the bundle again.")
    with path.open("rb") as file:
        raw = file.read(MAX_MANIFEST_BYTES + 1)
    if len(raw) > MAX_MANIFEST_BYTES:
        raise EdgekitError(f"{path} is larger than {MAX_MANIFEST_BYTES >> 20} MiB: it is not a manifest.")
    return raw


def is_bundle(folder: Path) -> bool:
    """Whether a folder's manifest is a bundle's, be it damaged; other programs have a `manifest.json` too."""
    path = folder / FILE_NAME
    if not path.is_file():
        return False
    with path.open("rb") as file:
        raw = file.read(MAX_MANIFEST_BYTES)
    return sum(f'"{name}"'.encode() in raw for name in FIELDS) > len(FIELDS) // 2


def _check_inside(name: str, origin: Path) -> None:
    pure = PurePosixPath(name)
    odd = pure.is_absolute() or not pure.parts or ".." in pure.parts or "\\" in name or str(pure) != name
    if odd or name in (FILE_NAME, SIGNATURE_NAME):
        raise EdgekitError(f"{origin} lists the file {name!r}, which does not lie inside the bundle: do not use it.")


def _shown(schema: object) -> str:
    """A schema for a sentence; what is no number or word may be of any length and depth."""
    return repr(schema)[:40] if schema is None or isinstance(schema, (bool, int, float, str)) else "of no kind"


def _spell(fields: Mapping[str, Any]) -> bytes:
    return (json.dumps(fields, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_spell(content)).hexdigest()
