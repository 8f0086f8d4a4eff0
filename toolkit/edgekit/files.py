"""Files that are whole or absent: atomic writes, hashes, and errors that say what to do."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, UsageError

_FULL_DISK = "the disk is full; free some space or choose another folder"
#: How safetensors and torch.save say it, neither of which raises an OSError.
_FULL_DISK_SIGNS = ("No space left on device", "PytorchStreamWriter failed writing", "inline_container.cc")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def shown_name(name: str) -> str:
    """A file's name for a sentence: control characters, which a terminal would obey, as Python writes them."""
    return name if name.isprintable() else repr(name)[1:-1]


def read_json_object(path: Path) -> dict[str, Any]:
    """The values of a JSON file.

    Raises:
        EdgekitError: it cannot be read, or is no JSON object; the message says where.
    """
    try:
        values = json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise EdgekitError(f"{path} is no JSON ({place}): mend it, or copy it again.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise EdgekitError(f"{path} cannot be read ({error}): copy it again.") from error
    if not isinstance(values, dict):
        raise EdgekitError(f"{path} holds no JSON object ({{...}}): copy it again.")
    return values


def read_text(path: Path, remedy: str) -> str:
    """A whole UTF-8 text file, without the mark (BOM) that some editors put first.

    Args:
        path: the file.
        remedy: what to do with a file that is not UTF-8.

    Raises:
        EdgekitError: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise EdgekitError(f"{path} is not UTF-8 text (byte {error.start}): {remedy}.") from error


@contextmanager
def explained(action: str, where: Path) -> Iterator[None]:
    """Turns an operating-system error into one sentence that names the action, the place and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = _FULL_DISK
        elif isinstance(error, PermissionError) or error.errno == errno.EROFS:
            remedy = "no permission to write there; choose another folder"
        elif isinstance(error, FileNotFoundError):
            remedy = "there is no such file or folder"
        else:
            remedy = (error.strerror or str(error)).lower()
        raise EdgekitError(f"cannot {action} {where}: {remedy}.") from error
    except Exception as error:
        if not any(sign in str(error) for sign in _FULL_DISK_SIGNS):
            raise
        raise EdgekitError(f"cannot {action} {where}: {_FULL_DISK}.") from error


def check_writable(path: Path) -> None:
    """For a file or folder that is to be written later, before any work is done.

    Raises:
        UsageError: the folder that it is to lie in does not exist, or cannot be written to.
    """
    folder = path.parent
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UsageError(f"cannot write {path}: the folder {folder} {what}; make it, or choose another.")
    if not os.access(path if path.is_dir() else folder, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write {path}: no permission to write there; choose another folder.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which takes its place in one step if the block succeeds."""
    with explained("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        os.close(handle)
    temporary = Path(name)
    try:
        with explained("write", path):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a whole UTF-8 text file or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
