"""The list of a bundle's parts and of licences: by the standard's own schema, complete, and the same every time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from edgekit import manifest
from edgekit.bundle import RUNNER
from edgekit.export.components import components_of
from edgekit.export.licenses import make_licenses
from edgekit.export.sbom import make_sbom

FIELDS: dict[str, Any] = {
    "tools": {"edgekit": "0.1.0", "torch": "2.13.0+cpu"},
    "model": {"name": "stackvae-g", "variant": "base", "checkpoint_sha256": "ab" * 32, "trained_on": "machine-2-1"},
    "programs": [{"file": "program.pte", "methods": [{"name": "forward"}]}],
}
FILES = [
    *("program.pte", "samples.safetensors", RUNNER, "lib/libedgekit_runtime.so", "lib/libedgekit_ops.so"),
    *("lib/libexecutorch.so", "lib/libexecutorch_backend_xnnpack.so", "lib/libLiteRt.so", "lib/libonnxruntime.so.1"),
]
HASHES = {name: f"{index:064x}" for index, name in enumerate(FILES)}


def sbom_of(fields: dict[str, Any], files: list[str]) -> bytes:
    return make_sbom("name", components_of(fields, files), HASHES, fields["tools"])


def files_in(component: dict[str, Any]) -> list[str]:
    inside = component.get("components", [])
    own = [component["name"]] if component["type"] == "file" else []
    return own + [name for one in inside for name in files_in(one)]


def check(raw: bytes) -> dict[str, Any]:
    """By CycloneDX's schema of that version, without a network."""
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(raw.decode())
    assert error is None, error
    values: dict[str, Any] = json.loads(raw)
    assert values["specVersion"] == "1.6"
    return values


@pytest.mark.parametrize("files", [FILES, FILES[:2]])
def test_it_fits_the_standards_schema(files: list[str]):
    values = check(sbom_of(FIELDS, files))
    assert "timestamp" not in values["metadata"]
    references = [one["bom-ref"] for one in values["components"]]
    assert values["dependencies"] == [{"ref": "bundle", "dependsOn": references}]


def test_the_validator_notices_what_is_wrong():
    values = json.loads(sbom_of(FIELDS, FILES)) | {"components": [{"type": "no type", "name": "x"}]}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(values)) is not None


def test_every_native_file_and_program_has_its_component():
    values = check(sbom_of(FIELDS, FILES))
    found = [name for one in values["components"] for name in files_in(one)]
    assert sorted(found) == sorted(set(FILES) - {"samples.safetensors"})
    by_name = {one["name"]: one for one in values["components"]}
    assert sorted(by_name) == ["ExecuTorch", "LiteRT", "ONNX Runtime", "edgekit-runtime", "stackvae-g"]
    assert by_name["ExecuTorch"]["licenses"] == [{"expression": "BSD-3-Clause"}]
    assert by_name["stackvae-g"]["type"] == "machine-learning-model"
    inside = {one["name"] for one in by_name["edgekit-runtime"]["components"]}
    assert {"Monocypher", "nlohmann/json", "stb_image"} <= inside


def test_the_same_content_has_the_same_bytes_and_number():
    first, second = sbom_of(FIELDS, FILES), sbom_of(FIELDS, FILES)
    assert first == second
    other = json.loads(sbom_of(FIELDS, FILES[:2]))
    assert other["serialNumber"] != json.loads(first)["serialNumber"]


def test_licences_name_every_part_and_have_the_texts():
    components = components_of(FIELDS, FILES)
    text = make_licenses(components).decode()
    for one in components:
        for part in (one, *one.parts):
            assert part.name in text
            assert part.license is None or f": {part.license}" in text
    # From the packages' own files: edgekit's, ExecuTorch's, LiteRT's, and what ONNX Runtime says of others.
    assert text.count("Apache License") >= 2
    assert "PyTorch Edge" in text or "ExecuTorch" in text
    assert "Redistributions of source code must retain" in text
    assert "ONNX Runtime: ThirdPartyNotices.txt" in text
    alone = make_licenses(components_of(FIELDS, FILES[:2])).decode()
    assert "trained on machine-2-1" in alone
    assert "Apache License" not in alone


def test_an_exported_bundle_has_both(pump_bundle: Path):
    fields = manifest.load(pump_bundle)
    values = check((pump_bundle / fields["sbom"]).read_bytes())
    assert values["metadata"]["component"]["name"].startswith("stackvae-g")
    (model,) = values["components"]
    (program,) = model["components"]
    assert program["hashes"] == [{"alg": "SHA-256", "content": fields["files"]["program.pte"]["sha256"]}]
    assert fields["licenses"] in fields["files"]
    assert (pump_bundle / fields["licenses"]).read_text(encoding="utf-8").startswith("Licences of what is in")
