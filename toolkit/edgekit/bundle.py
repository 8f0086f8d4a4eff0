"""A bundle: a folder with programs and `manifest.json`, whole or absent, checked before it is used."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit import manifest
from edgekit.errors import EdgekitError, UsageError
from edgekit.files import explained, sha256_of, shown_name, unfinished
from edgekit_runtime.tensors import MethodSpec

#: The program in a bundle that runs it without Python.
RUNNER = "edgekit-run"


@dataclass(frozen=True)
class Program:
    """One program of a bundle: file name, format, its methods, and what it asks of the runtime."""

    file: str
    format: str
    methods: tuple[MethodSpec, ...]
    operators: tuple[str, ...]
    delegates: tuple[str, ...]


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose manifest was read.

    Attributes:
        path: its folder.
        manifest: the manifest's fields (`edgekit.manifest.FIELDS`).
        public_key: the file of the keys that it had to be signed with; None if that was not asked.
    """

    path: Path
    manifest: Mapping[str, Any] = field(repr=False)
    public_key: Path | None = None

    @classmethod
    def open(cls, path: Path | str, check_files: bool = True, public_key: Path | None = None) -> Bundle:
        """Reads a bundle and compares every file with the manifest's hashes.

        With `public_key`, a file of keys, it must be signed with one of them, and files are compared in any case.

        Raises:
            UsageError: there is no such folder, or no such file of keys.
            EdgekitError: not a bundle, a changed, missing or unlisted file, another schema, or not signed.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise UsageError(f"there is no bundle {folder}: `edgekit export` makes one.")
        if public_key is not None:
            from edgekit.signing import check_signature

            check_signature(folder, public_key)
        bundle = cls(folder, manifest.load(folder), public_key)
        if check_files or public_key is not None:
            bundle.check_files()
        return bundle

    def __fspath__(self) -> str:
        return str(self.path)

    def check_files(self) -> None:
        listed = self.manifest["files"]
        present = {
            str(item.relative_to(self.path).as_posix())
            for item in self.path.rglob("*")
            if item.is_symlink() or not item.is_dir()
        } - {manifest.FILE_NAME}
        if self.is_signed:
            present -= {manifest.SIGNATURE_NAME}
        for name in sorted(present - set(listed)):
            raise EdgekitError(f"{self.path}/{shown_name(name)} does not belong to the bundle: remove it.")
        for name, entry in sorted(listed.items()):
            file = self.path / name
            shown = f"{self.path}/{shown_name(name)}"
            if file.is_symlink() or not file.is_file():
                raise EdgekitError(f"{shown} is missing: copy the bundle again.")
            if file.stat().st_size != entry["bytes"] or sha256_of(file) != entry["sha256"]:
                raise EdgekitError(f"{shown} was changed after export: copy the bundle again or export it anew.")

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def is_signed(self) -> bool:
        """Whether there is a signature beside the manifest; `edgekit.signing` says what it is worth."""
        file = self.path / manifest.SIGNATURE_NAME
        return file.is_file() and not file.is_symlink()

    @property
    def program(self) -> Program:
        """The bundle's program (the first, while there is one format)."""
        try:
            entry = self.manifest["programs"][0]
            if entry["file"] not in self.manifest["files"]:
                raise ValueError(entry["file"])
            return Program(
                file=str(entry["file"]),
                format=str(entry["format"]),
                methods=tuple(MethodSpec.from_dict(method) for method in entry["methods"]),
                operators=tuple(entry["operators"]),
                delegates=tuple(entry["delegates"]),
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise EdgekitError(f"{self.path / manifest.FILE_NAME} describes no program: export it again.") from error

    @property
    def size(self) -> int:
        """Bytes of all files, the manifest and its signature included."""
        listed: int = sum(entry["bytes"] for entry in self.manifest["files"].values())
        beside = [manifest.FILE_NAME, *([manifest.SIGNATURE_NAME] if self.is_signed else [])]
        return listed + sum((self.path / name).stat().st_size for name in beside)


def check_target(target: Path, force: bool) -> None:
    """Refuses a folder that holds something, unless it is a bundle that may be replaced.

    Raises:
        UsageError: the folder is not empty.
    """
    above = next((folder for folder in target.absolute().parents if os.path.lexists(folder)), None)
    if above is not None and not above.is_dir():
        raise UsageError(f"{above} is a file: choose another folder (-o, output_dir).")
    if above is not None and not os.access(above, os.W_OK | os.X_OK):
        raise EdgekitError(f"cannot write {target}: no permission to write there; choose another folder.")
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise UsageError(f"{target} is a file: choose another folder (-o, output_dir).")
    if not any(target.iterdir()):
        return
    if not force:
        raise UsageError(
            f"{target} is not empty: choose another folder (-o, output_dir), or replace it with --force (force=True)."
        )
    if not manifest.is_bundle(target):
        raise UsageError(
            f"{target} is not empty and not a bundle, --force will not replace it: choose another with -o."
        )


@contextmanager
def writing(target: Path, force: bool = False) -> Iterator[Path]:
    """Yields a temporary folder beside `target`, which takes its place in one step if the block succeeds.

    What an earlier, killed export left behind is removed first.
    """
    check_target(target, force)
    with unfinished(target, folder=True) as temporary, explained("write", target):
        temporary.chmod(0o755)
        yield temporary
        check_target(target, force)
        _take_place(temporary, target)


def seal(folder: Path, fields: Mapping[str, Any]) -> None:
    """Writes the manifest, with the hash and size of every file in the folder. What signed another one is removed."""
    (folder / manifest.SIGNATURE_NAME).unlink(missing_ok=True)
    files = {
        file.relative_to(folder).as_posix(): {"sha256": sha256_of(file), "bytes": file.stat().st_size}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != manifest.FILE_NAME
    }
    minimum = {"edgekit": manifest.MINIMUM_RUNTIME, **fields["minimum_runtime"]}
    written = {**fields, "schema": manifest.SCHEMA, "minimum_runtime": minimum, "files": files}
    (folder / manifest.FILE_NAME).write_bytes(manifest.dump(written))
    for file in folder.rglob("*"):
        if file.is_file():
            # The one program of a bundle may be run.
            file.chmod(0o755 if file.name == RUNNER else 0o644)
            with file.open("rb") as handle:
                os.fsync(handle.fileno())


def _take_place(temporary: Path, target: Path) -> None:
    """Renames `temporary` to `target`; an old bundle there is exchanged in one step, so that one is always whole."""
    if not os.path.lexists(target):
        temporary.rename(target)
        return
    if not any(target.iterdir()):
        target.rmdir()
        temporary.rename(target)
        return
    if not _exchange(temporary, target):
        aside = temporary.with_name(temporary.name.removesuffix(".partial") + "old.partial")
        target.rename(aside)
        try:
            temporary.rename(target)
        except OSError:
            aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Swaps two folders with Linux's renameat2(RENAME_EXCHANGE); False where that does not exist."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    current_folder, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if call(current_folder, os.fsencode(first), current_folder, os.fsencode(second), exchange) == 0:
        return True
    if ctypes.get_errno() in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(second))
