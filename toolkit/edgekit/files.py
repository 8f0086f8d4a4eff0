"""Files that are whole or absent: atomic writes, hashes, and errors that say what to do."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


#: What this process has begun and not ended: files and folders that go with it.
_unfinished: set[Path] = set()


@contextmanager
def unfinished(path: Path, folder: bool = False) -> Iterator[Path]:
    """Yields an empty temporary file or folder beside `path`; at the end it is gone, unless it was renamed.

    What killed processes left of theirs for `path` is removed first. A lock on it says that it is in use, and so does
    its process' number where there are no locks.
    """
    with explained("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    handle = -1
    _unfinished.add(temporary)
    try:
        with explained("write", path):
            if folder:
                temporary.mkdir(0o700)
            handle = os.open(temporary, os.O_RDONLY if folder else os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield temporary
    finally:
        _remove(temporary)
        _unfinished.discard(temporary)
        if handle >= 0:
            os.close(handle)


def remove_unfinished() -> None:
    """Removes what this process has begun and not ended, when it is to end at once."""
    for path in list(_unfinished):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _remove_leftovers(path: Path) -> None:
    leftover = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.\w+\.partial")
    for left in path.parent.iterdir():
        match = leftover.fullmatch(left.name)
        # Our own number is that of a dead process too: in containers every process may be number 1.
        if match is not None and (int(match[1]) == os.getpid() or not _alive(int(match[1]))) and not _held(left):
            _remove(left)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _held(path: Path) -> bool:
    """Whether somebody has a lock on it: another thread, or a process of another container."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no locks on this file system
        return False
    finally:
        os.close(handle)
    return False


@contextmanager
def locked(path: Path, busy: str | None = None) -> Iterator[None]:
    """Keeps other processes from doing meanwhile what also takes the lock of `path`; the file at `path` is not touched.

    The lock is on `.NAME.lock` beside it, which is gone afterwards. It ends with its process, however that ends. On a
    file system without locks nobody is kept from anything.

    Args:
        path: of what is worked on; its folder is made, and goes again where nothing was written there.
        busy: the sentence where another has the lock; None to wait for it.

    Raises:
        EdgekitError: another has it, or nothing can be written there.
    """
    lock = path.with_name(f".{path.name}.lock")
    made = not path.parent.exists()
    with explained("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _take(lock, busy)
    _unfinished.add(lock)
    try:
        yield
    finally:
        # Before it is given back: who waits for it sees that its file is gone, and makes another.
        _remove(lock)
        _unfinished.discard(lock)
        os.close(handle)
        if made:  # and nothing came of the work
            with suppress(OSError):
                path.parent.rmdir()


def _take(lock: Path, busy: str | None) -> int:
    """An open file of the lock."""
    while True:
        handle = os.open(lock, os.O_RDONLY | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if busy is None else fcntl.LOCK_NB))
            if os.path.exists(lock) and os.path.samestat(os.fstat(handle), os.stat(lock)):
                return handle
        except BlockingIOError:
            os.close(handle)
            raise EdgekitError(busy or "") from None
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF, errno.ENOSYS):
                return handle
            os.close(handle)
            raise
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which takes its place in one step if the block succeeds."""
    with unfinished(path) as temporary, explained("write", path):
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Writes a whole UTF-8 text file or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
