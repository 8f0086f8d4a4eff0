"""Hostile files are refused with a sentence, in little time and memory; SECURITY.md says what of.

Bundles stand first: what Python refuses the C++ session refuses too. Other hostile files are refused in the tests of
who reads them: images in tests/runtime/test_images.py and tests/test_images.py, series and pickles behind .npy in
tests/runtime/test_series.py, tokenizers and features in tests/runtime/test_tokenizer.py and test_features_file.py,
spellings of a manifest in tests/test_manifest.py.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit import manifest
from edgekit.bundle import Bundle
from edgekit.errors import EdgekitError
from edgekit.models.rpcanet.checkpoint import load_checkpoint
from edgekit.models.sea_opt.huggingface import read_tensors
from edgekit.models.stackvae_g.data import load_entities
from edgekit_runtime import Session

KEPT = Path(__file__).parent / "kept_bundles" / f"schema-{manifest.SCHEMA}" / "bundle"
#: More than any of these files is worth.
MOST_MEMORY = 2 << 30


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(KEPT, tmp_path / "bundle"))


def change(bundle: Path, **fields: Any) -> None:
    """Other fields in a manifest whose own hash is in order."""
    (bundle / manifest.FILE_NAME).write_bytes(manifest.dump(manifest.load(bundle) | fields))


def refused(bundle: Path, words: str) -> None:
    """By Python and by the C++ session."""
    for opening in (Bundle.open, Session):
        with pytest.raises(EdgekitError, match=words) as caught:
            opening(bundle)
        assert str(caught.value).isprintable(), str(caught.value)


# Bundles


@pytest.mark.parametrize("name", ["../program.pte", "lib/../../x", "/etc/passwd", "lib//x", "./x", "a\\b", "lib/"])
def test_names_that_lead_out_of_the_bundle(bundle: Path, name: str):
    change(bundle, files={**manifest.load(bundle)["files"], name: {"sha256": "00" * 32, "bytes": 1}})
    refused(bundle, "does not lie inside the bundle: do not use it")


@pytest.mark.parametrize("name", [manifest.FILE_NAME, manifest.SIGNATURE_NAME])
def test_files_that_a_manifest_cannot_list(bundle: Path, name: str):
    change(bundle, files={**manifest.load(bundle)["files"], name: {"sha256": "00" * 32, "bytes": 1}})
    refused(bundle, "does not lie inside the bundle: do not use it")


@pytest.mark.parametrize("entry", [{"file": "../other.pte"}, {"file": "/etc/passwd"}, {"file": "unlisted.pte"}])
def test_a_program_outside_the_bundle(bundle: Path, entry: dict[str, str]):
    change(bundle, programs=[manifest.load(bundle)["programs"][0] | entry])
    with pytest.raises(EdgekitError, match="describes no program"):
        _ = Bundle.open(bundle).program
    with pytest.raises(EdgekitError, match="no valid field 'file'"):
        Session(bundle)


def test_a_file_that_is_a_link(bundle: Path, tmp_path: Path):
    (bundle / "program.pte").rename(tmp_path / "program.pte")
    (bundle / "program.pte").symlink_to(tmp_path / "program.pte")
    refused(bundle, r"program\.pte is missing: copy the bundle again")


def test_a_manifest_that_is_a_link(bundle: Path, tmp_path: Path):
    (bundle / manifest.FILE_NAME).rename(tmp_path / "manifest.json")
    (bundle / manifest.FILE_NAME).symlink_to(tmp_path / "manifest.json")
    refused(bundle, r"manifest\.json is a link: copy the bundle again")


def test_a_folder_that_is_a_link(bundle: Path, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    shutil.copy(bundle / "program.pte", tmp_path / "outside" / "more.bin")
    (bundle / "lib").symlink_to(tmp_path / "outside")
    entry = manifest.load(bundle)["files"]["program.pte"]
    change(bundle, files={**manifest.load(bundle)["files"], "lib/more.bin": entry})
    refused(bundle, "lib does not belong to the bundle: remove it")


@pytest.mark.parametrize("name", ["program.pte", "more.bin", manifest.FILE_NAME, manifest.SIGNATURE_NAME])
def test_a_pipe_that_nobody_writes_to(bundle: Path, name: str):
    (bundle / name).unlink(missing_ok=True)
    os.mkfifo(bundle / name)
    words = {"program.pte": "is missing", manifest.FILE_NAME: "is not a bundle"}.get(name, "does not belong")
    refused(bundle, words)


def test_a_device_file(bundle: Path):
    (bundle / "program.pte").unlink()
    try:
        os.mknod(bundle / "program.pte", 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("device files need root")
    refused(bundle, r"program\.pte is missing")


@pytest.mark.parametrize("name", ["\x1b[2Jgone", "line\nbreak", "bell\x07", "\u202etxt.exe", "back\x08\x08"])
def test_names_that_a_terminal_would_obey(bundle: Path, name: str):
    (bundle / name).touch()
    for opening in (Bundle.open, Session):
        with pytest.raises(EdgekitError, match="does not belong to the bundle: remove it") as caught:
            opening(bundle)
        assert not any(ord(letter) < 32 or ord(letter) == 127 for letter in str(caught.value))


def test_a_name_that_is_no_text(bundle: Path):
    (Path(os.fsdecode(os.fsencode(bundle) + b"/\xff\xfe"))).touch()
    for opening in (Bundle.open, Session):
        with pytest.raises(EdgekitError, match="does not belong to the bundle: remove it"):
            opening(bundle)


def limited(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs Python with little memory, and not for long."""
    begin = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({MOST_MEMORY}, {MOST_MEMORY}))\n"
    command = [sys.executable, "-c", begin + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


#: Opens a bundle by the C++ session alone: nothing of torch has to fit in the limit.
OPEN = """
import sys
from edgekit_runtime import EdgekitError, Session
try:
    Session(sys.argv[1])
except EdgekitError as error:
    print(error)
"""


def test_a_manifest_of_a_gigabyte(bundle: Path):
    os.truncate(bundle / manifest.FILE_NAME, 1 << 30)
    with pytest.raises(EdgekitError, match="is larger than 16 MiB: it is not a manifest"):
        Bundle.open(bundle)
    done = limited(OPEN, bundle)
    assert "is larger than 16777216 bytes" in done.stdout, done.stderr


@pytest.mark.parametrize("text", ["[" * (8 << 20), '{"schema": ' + "[" * (7 << 20) + "]" * (7 << 20) + "}"])
def test_a_manifest_that_is_deep(bundle: Path, text: str):
    (bundle / manifest.FILE_NAME).write_text(text, encoding="utf-8")
    done = limited(OPEN, bundle)
    assert "manifest.json is damaged: copy the bundle again" in done.stdout, done.stderr
    with pytest.raises(EdgekitError, match=r"manifest\.json is damaged"):
        Bundle.open(bundle)


@pytest.mark.parametrize("kind", ["inputs", "outputs"])
@pytest.mark.parametrize("shape", [[1 << 62, 1 << 62], [1 << 41], [0, 1 << 41], [-1, 6], [1] * 100, [2**64, 1], ["6"]])
def test_shapes_that_a_manifest_makes_up(bundle: Path, kind: str, shape: list[Any]):
    programs = manifest.load(bundle)["programs"]
    programs[0]["methods"][0][kind][0]["shape"] = shape
    change(bundle, programs=programs)
    with pytest.raises(EdgekitError, match="has no valid field 'shape'"):
        Session(bundle)


@pytest.mark.parametrize(("kind", "shape"), [("inputs", [1, 7]), ("inputs", [1, 5]), ("outputs", [1, 2]),
                                             ("outputs", [1]), ("outputs", [1 << 39])])  # fmt: skip
def test_shapes_that_are_not_the_programs(bundle: Path, kind: str, shape: list[int]):
    programs = manifest.load(bundle)["programs"]
    programs[0]["methods"][0][kind][0]["shape"] = shape
    change(bundle, programs=programs)
    session, given = Session(bundle), np.zeros(shape if kind == "inputs" else (1, 6), np.float32)
    with pytest.raises(EdgekitError, match=r"Expected shape|buffer size|no memory for what method"):
        session.run(given, method="forward_1x6")


def test_what_is_swapped_while_it_is_checked(bundle: Path, tmp_path: Path):
    """A signature holds for the bytes that were read: the session keeps them, and reads no manifest twice."""
    session = Session(bundle)
    kept = session.manifest
    (bundle / manifest.FILE_NAME).write_text("{}", encoding="utf-8")
    assert session.manifest == kept == manifest.load(KEPT)
    (answer,) = session.run(np.zeros((1, 6), np.float32))
    assert answer.shape == (1, 3)


# Checkpoints


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
        return (Path.touch, (self.file,))


def read_rpcanet(file: Path) -> object:
    return load_checkpoint(file)


def read_opt(file: Path) -> object:
    folder = file.parent / "opt"
    folder.mkdir(exist_ok=True)
    shutil.copy(file, folder / "pytorch_model.bin")
    return list(read_tensors(folder))


READERS: Mapping[str, Callable[[Path], object]] = {"rpcanet": read_rpcanet, "opt": read_opt}
NAME = "decos.0.sparse.epsilon"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", ["of torch", "bare"])
def test_a_pickle_that_runs_code(tmp_path: Path, reader: str, legacy: bool, kind: str):
    trap, file = {NAME: Trap(tmp_path / "sprung")}, tmp_path / "trap.pth"
    if kind == "bare":
        file.write_bytes(pickle.dumps(trap, protocol=2 if legacy else 5))
    else:
        torch.save(trap, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(EdgekitError, match="holds more than tensors"):
        READERS[reader](file)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("reader", READERS)
def test_a_checkpoint_that_unpacks_to_more(tmp_path: Path, reader: str):
    good, bomb = tmp_path / "good.pth", tmp_path / "bomb.pth"
    torch.save({NAME: torch.zeros(16 << 20)}, good)
    with zipfile.ZipFile(good) as stored, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for part in stored.infolist():
            packed.writestr(part.filename, stored.read(part))
    assert good.stat().st_size > 64 << 20 > 1000 * bomb.stat().st_size / 2
    with pytest.raises(EdgekitError, match=r"bomb\.pth is packed|pytorch_model\.bin is packed"):
        READERS[reader](bomb)


@pytest.mark.parametrize("reader", READERS)
def test_a_checkpoint_whose_one_number_is_a_million_millions(tmp_path: Path, reader: str):
    file = tmp_path / "wide.pth"
    torch.save({NAME: torch.zeros(1).expand(1 << 20, 1 << 20)}, file)
    assert file.stat().st_size < 10_000
    with pytest.raises(EdgekitError, match="of more numbers than the file holds: do not use it"):
        READERS[reader](file)


HEADERS = {
    "a header of 2^60 bytes": (1 << 60).to_bytes(8, "little") + b"{}",
    "a header of 2 GiB": (1 << 31).to_bytes(8, "little") + b"{" + b" " * 100,
    "a shape of 2^120": {"x": {"dtype": "F32", "shape": [1 << 60, 1 << 60], "data_offsets": [0, 4]}},
    "a shape beyond the file": {"x": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}},
    "offsets that overlap": {
        "x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "y": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    },
    "offsets turned round": {"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}},
}


@pytest.mark.parametrize("kind", HEADERS)
def test_safetensors_that_declare_what_they_do_not_hold(tmp_path: Path, kind: str):
    made, file = HEADERS[kind], tmp_path / "odd.safetensors"
    if isinstance(made, dict):
        header = json.dumps(made).encode()
        made = len(header).to_bytes(8, "little") + header + bytes(4)
    file.write_bytes(made)
    with pytest.raises(EdgekitError, match="cut short or not a safetensors file"):
        load_checkpoint(file)


# Series


def npy_header(shape: str) -> bytes:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (118 - len(head) - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head


@pytest.mark.parametrize("shape", ["(1152921504606846976, 38)", "(4611686018427387904,)", "(1000000000, 38)"])
def test_an_array_that_declares_what_it_does_not_hold(tmp_path: Path, shape: str):
    with zipfile.ZipFile(tmp_path / "wide.npz", "w") as archive:
        archive.writestr("train.npy", npy_header(shape) + bytes(64))
    with pytest.raises(EdgekitError, match="is not a numpy archive"):
        load_entities(tmp_path / "wide.npz")


def test_an_archive_that_unpacks_to_more(tmp_path: Path):
    """9 GiB of zeros, as a directory entry says; nothing is unpacked to find out."""
    file = tmp_path / "bomb.npz"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.npy", npy_header("(1000000, 38)") + bytes(1 << 20))
    raw = file.read_bytes()
    size = len(npy_header("()")) + (1 << 20)
    told = raw.replace(size.to_bytes(4, "little"), (0xFFFFFFF0).to_bytes(4, "little"))
    assert told != raw
    file.write_bytes(told)
    with pytest.raises(EdgekitError, match=r"unpacks to more than|is not a numpy archive"):
        load_entities(file)


def test_an_array_of_objects_is_not_unpickled(tmp_path: Path):
    objects = np.array([Trap(tmp_path / "sprung")], dtype=object)
    np.savez(tmp_path / "trap.npz", train=objects)
    with pytest.raises(EdgekitError, match="is not a numpy archive"):
        load_entities(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()
