"""Bundles of this schema and of the one before are read, and run as they did when they were made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgekit import manifest
from edgekit.bundle import Bundle
from edgekit.errors import EdgekitError
from edgekit_runtime import Session

KEPT = Path(__file__).parent / "kept_bundles"


def other_schema(folder: Path, schema: object) -> Path:
    """A copy of the newest kept bundle whose manifest says that it is of another schema, with its hash in order."""
    copy = Path(shutil.copytree(KEPT / f"schema-{manifest.SCHEMA}" / "bundle", folder / "bundle"))
    fields = manifest.load(copy) | {"schema": schema}
    (copy / manifest.FILE_NAME).write_bytes(manifest.dump(fields))
    return copy


def test_one_of_each_readable_schema_is_kept():
    assert manifest.READABLE_SCHEMAS == (manifest.SCHEMA - 1, manifest.SCHEMA)
    assert sorted(path.name for path in KEPT.glob("schema-*")) == [f"schema-{one}" for one in manifest.READABLE_SCHEMAS]


@pytest.mark.parametrize("schema", manifest.READABLE_SCHEMAS)
def test_a_kept_bundle_gives_the_answers_that_were_kept(schema: int):
    bundle = Bundle.open(KEPT / f"schema-{schema}" / "bundle")
    assert bundle.manifest["schema"] == schema
    session = Session(bundle)
    answers = json.loads((KEPT / f"schema-{schema}" / "answers.json").read_text(encoding="utf-8"))
    assert len(answers) == len(session.methods) == len(bundle.program.methods) == 2
    for one in answers:
        (output,) = session.run(np.array(one["input"], np.float32))
        np.testing.assert_allclose(output, np.array(one["output"], np.float32), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("schema", [0, manifest.SCHEMA + 1, -1, 2**63, True, "2", 1.5, None, [[]], {"1": 2}])
def test_other_schemas_are_refused_by_both(tmp_path: Path, schema: object):
    copy = other_schema(tmp_path, schema)
    for opening in (Bundle.open, Session):
        with pytest.raises(
            EdgekitError, match=r"manifest\.json has schema .* reads 1, 2: install the edgekit that made it"
        ):
            opening(copy)


@pytest.mark.parametrize(("needed", "fits"), [("0.0.9", True), ("0.1", True), ("99", False), ("0.99.1", False)])
def test_the_minimum_runtime_is_edgekits_own_too(tmp_path: Path, needed: str, fits: bool):
    copy = other_schema(tmp_path, manifest.SCHEMA)
    fields = manifest.load(copy)
    fields["minimum_runtime"]["edgekit"] = needed
    (copy / manifest.FILE_NAME).write_bytes(manifest.dump(fields))
    if fits:
        Session(copy)
        return
    with pytest.raises(
        EdgekitError, match=rf"needs edgekit-runtime {needed} or newer, this is \d.*: install a newer one"
    ):
        Session(copy)


def test_what_is_written_names_the_minimum_runtime():
    fields = manifest.load(KEPT / f"schema-{manifest.SCHEMA}" / "bundle")
    assert fields["minimum_runtime"]["edgekit"] == manifest.MINIMUM_RUNTIME
    assert "executorch" in fields["minimum_runtime"]
