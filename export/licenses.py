"""The licences of what is in a bundle, with their texts where an installed package has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.export.components import Component

FILE_NAME = "LICENSES.txt"
#: Files of a package that are its licence, or the licences of what is inside it.
_NAMES = ("LICENSE", "LICENSE.TXT", "NOTICE", "NOTICE.TXT", "THIRDPARTYNOTICES.TXT")
_RULE = "=" * 80


def make_licenses(components: Sequence[Component]) -> bytes:
    """The file: a table of all components, then the texts that there are.

    Raises:
        EdgekitError: a package whose files are carried is installed without its licence.
    """
    lines = ["Licences of what is in this bundle, as SPDX expressions; sbom.cdx.json lists the files of each.", ""]
    for one in components:
        lines += _entry(one)
        for part in one.parts:
            lines += [f"  contains {line}" for line in _entry(part)]
    for one in components:
        for title, text in _texts(one):
            lines += ["", _RULE, f"{one.name}: {title}", _RULE, "", *text.rstrip().splitlines()]
    return ("\n".join(lines) + "\n").encode()


def _entry(one: Component) -> list[str]:
    if one.license is None:
        origin = "".join(f", {name.replace('_', ' ')} {value}" for name, value in sorted(one.origin.items()))
        return [f"{one.name}: the model's weights{origin}. Their licence is up to who trained them and on what."]
    return [f"{one.name}{f' {one.version}' if one.version else ''}: {one.license}"]


def _texts(one: Component) -> Iterator[tuple[str, str]]:
    if one.package is None:
        return
    found = 0
    for file in sorted(metadata.files(one.package) or ()):
        # Licences of what only lies in the package's sources stand deeper.
        own = file.parent.name in ("licenses", one.package.replace("-", "_")) or file.parent.name.endswith(".dist-info")
        if own and file.name.upper() in _NAMES:
            found += 1
            yield file.name, Path(str(file.locate())).read_text(encoding="utf-8", errors="replace")
    if not found:
        raise EdgekitError(f"{one.package} is installed without its licence: install it again.")
