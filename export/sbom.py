"""The list of a bundle's parts (SBOM) in CycloneDX 1.6: https://cyclonedx.org/docs/1.6/json.

It is written here and not by a library, which would stamp the time and a random number on it: the same bundle has the
same bytes. Tests hold it against the schema.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.export.components import Component

FILE_NAME = "sbom.cdx.json"
SPECIFICATION = "1.6"


def make_sbom(name: str, components: Sequence[Component], hashes: Mapping[str, str], tools: Mapping[str, str]) -> bytes:
    """The file.

    Args:
        name: of the bundle.
        components: that it consists of.
        hashes: SHA-256 in hexadecimal digits, by file.
        tools: versions of what made it, by name.
    """
    content: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "bundle", "name": name},
            "tools": {
                "components": [
                    {"type": "application", "name": tool, "version": version} for tool, version in sorted(tools.items())
                ]
            },
        },
        "components": [_component(one, one.name, hashes) for one in components],
        "dependencies": [{"ref": "bundle", "dependsOn": [one.name for one in components]}],
    }
    # What it says is what it is called.
    content["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True)).urn
    return (json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def _component(one: Component, reference: str, hashes: Mapping[str, str]) -> dict[str, Any]:
    inside = [_file(name, hashes[name]) for name in one.files]
    inside += [_component(part, f"{reference}/{part.name}", hashes) for part in one.parts]
    weights = one.license is None
    fields: dict[str, Any] = {
        "type": "machine-learning-model" if weights else "library",
        "bom-ref": reference,
        "name": one.name,
        "version": one.version,
        "purl": one.purl,
        "licenses": [{"expression": one.license}] if one.license is not None else None,
        "properties": [{"name": f"edgekit:{key}", "value": value} for key, value in sorted(one.origin.items())] or None,
        "components": inside or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _file(name: str, digest: str) -> dict[str, Any]:
    return {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}
