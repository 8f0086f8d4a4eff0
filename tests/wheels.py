"""Wheels made again of what is installed: building them takes minutes."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path


def packed(distribution: str, files: Iterable[tuple[str, Path]], folder: Path) -> Path:
    """The wheel that an installed distribution came from.

    Args:
        distribution: its name in file names, "edgekit_runtime".
        files: of the package, by their paths in the wheel.
        folder: where it is written.
    """
    installed = metadata.distribution(distribution)
    about = {name: installed.read_text(name) or "" for name in ("METADATA", "WHEEL", "entry_points.txt")}
    tags = [line.removeprefix("Tag: ") for line in about["WHEEL"].splitlines() if line.startswith("Tag: ")]
    information = f"{distribution}-{installed.version}.dist-info"
    path = folder / f"{distribution}-{installed.version}-{tags[0]}.whl"
    record = ""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in [(name, file.read_bytes()) for name, file in files] + [
            (f"{information}/{name}", text.encode()) for name, text in about.items()
        ]:
            archive.writestr(name, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(data)}\n"
        archive.writestr(f"{information}/RECORD", record + f"{information}/RECORD,,\n")
    return path


def recorded(distribution: str) -> list[tuple[str, Path]]:
    """The package's files that pip installed, by their paths in the wheel; without what it wrote itself.

    Of an editable install these are not the package.
    """
    files = metadata.files(distribution) or []
    own = {"METADATA", "WHEEL", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "entry_points.txt"}
    kept = [
        file for file in files if file.name not in own and ".." not in file.parts and "__pycache__" not in file.parts
    ]
    return [(file.as_posix(), Path(str(file.locate()))) for file in kept]
