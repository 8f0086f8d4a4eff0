"""The page: template, style, script and data in one file, under a policy that forbids every request."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgekit import __version__
from edgekit.files import write_text
from edgekit.html_report.content import content

#: In this order they are one script; each uses those before it.
SCRIPTS = (
    "text",
    "elements",
    "plot",
    "data",
    "filters",
    "bundle_table",
    "trade_offs",
    "memory_stacks",
    "timelines",
    "operators",
    "rooflines",
    "bundle_details",
    "heat_table",
    "feature_tree",
    "explanations",
    "sources",
    "start",
)


def write_report(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes results as one HTML file, whole or not at all. The same results give the same bytes.

    Args:
        results: as `devices.results.read_results` gives them; at least one.
        path: the file.

    Raises:
        EdgekitError: a result has a part that is not as its schema says, or the file cannot be written.
    """
    write_text(path, page(content(results)))


def page(data: Mapping[str, Any]) -> str:
    """The whole page around what `content` gives."""
    folder = files("edgekit.html_report")
    style = (folder / "page.css").read_text(encoding="utf-8")
    parts = [(folder / "script" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    script = '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"
    values = {
        "policy": (
            f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; img-src data:; "
            f"base-uri 'none'; form-action 'none'"
        ),
        "style": style,
        "script": script,
        "data": embedded_json(data),
        "version": __version__,
    }
    text = (folder / "page.html").read_text(encoding="utf-8")
    # One pass: a placeholder's words inside a value stay what they are.
    pieces = text.split("@@")
    return "".join(values[piece] if index % 2 else piece for index, piece in enumerate(pieces))


def embedded_json(data: Any) -> str:
    """JSON that can stand in a script element: no text of it ends the element or opens a comment."""
    plain = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _source(text: str) -> str:
    """What a policy names an inline script or style by: its SHA-256."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
