"""A bundle is whole or absent, whatever happens while it is written, and no change in it goes unnoticed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit import bundle as bundle_module
from edgekit import manifest
from edgekit.bundle import Bundle, check_target, seal, writing
from edgekit.errors import EdgekitError, UsageError

METHOD = {
    "name": "forward",
    "inputs": [{"name": "x", "shape": [2, 3], "dtype": "float32", "units": "V", "dynamic": True}],
    "outputs": [{"name": "y", "shape": [], "dtype": "int64", "units": "", "dynamic": False}],
}
FIELDS: dict[str, Any] = {
    "minimum_runtime": {"executorch": "1.5"},
    "tools": {},
    "model": {"name": "m"},
    "device": "linux-x86_64",
    "recipe": "fp32",
    "seed": 0,
    "pipeline": {"name": "tensors"},
    "programs": [
        {"file": "program.pte", "format": "pte", "methods": [METHOD], "operators": ["a::b"], "delegates": ["D"]}
    ],
    "memory": {},
    "accuracy": {},
}
FILES = {"program.pte": b"program" * 1000, "lib/data.bin": b"\x00" * 10}


def fill(folder: Path, text: str = "new") -> None:
    for name, content in {**FILES, "version.txt": text.encode()}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    seal(folder, FIELDS)


def make(target: Path, text: str = "new", force: bool = False) -> None:
    with writing(target, force) as folder:
        fill(folder, text)


def version(target: Path) -> str:
    """What a whole bundle holds; raises if it is not whole."""
    return (Bundle.open(target).path / "version.txt").read_text()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    make(tmp_path / "parent" / "bundle", "old")
    return tmp_path / "parent" / "bundle"


# Reading


def test_what_was_written_is_read(bundle: Path):
    opened = Bundle.open(str(bundle))
    assert opened.name == "bundle"
    for name, content in FILES.items():
        entry = opened.manifest["files"][name]
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert opened.size == sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    program = opened.program
    assert (program.file, program.format, program.operators, program.delegates) == (
        "program.pte",
        "pte",
        ("a::b",),
        ("D",),
    )
    assert program.methods[0].to_dict() == METHOD
    assert {oct(path.stat().st_mode & 0o777) for path in bundle.rglob("*") if path.is_file()} == {"0o644"}
    assert bundle.stat().st_mode & 0o777 == 0o755


def remove(path: Path) -> None:
    path.unlink()


def change_first(path: Path) -> None:
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def change_last(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 0x80]))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def make_link(path: Path) -> None:
    moved = path.parents[2] / "elsewhere"
    path.rename(moved)
    path.symlink_to(moved)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", ["program.pte", "lib/data.bin"])
@pytest.mark.parametrize("damage", [remove, change_first, change_last, cut, grow, make_link, make_folder])
def test_damage_is_noticed(bundle: Path, name: str, damage):
    damage(bundle / name)
    with pytest.raises(EdgekitError, match="copy the bundle again") as caught:
        Bundle.open(bundle)
    assert str(bundle / name) in str(caught.value)
    assert caught.value.exit_code == 1
    Bundle.open(bundle, check_files=False)


@pytest.mark.parametrize("name", ["results.json", "lib/more.bin", "lib/manifest.json", ".hidden"])
@pytest.mark.parametrize("kind", ["file", "link to a file", "link to a folder", "link to nothing"])
def test_what_does_not_belong_is_noticed(bundle: Path, name: str, kind: str, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").touch()
    places = {"link to a file": "outside/file", "link to a folder": "outside", "link to nothing": "nothing"}
    if kind == "file":
        (bundle / name).touch()
    else:
        (bundle / name).symlink_to(tmp_path / places[kind])
    with pytest.raises(EdgekitError, match="does not belong to the bundle: remove it") as caught:
        Bundle.open(bundle)
    assert str(bundle / name) in str(caught.value)


def test_no_bundle_there(tmp_path: Path):
    with pytest.raises(UsageError, match="there is no bundle"):
        Bundle.open(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="there is no bundle"):
        Bundle.open(tmp_path / "file")
    with pytest.raises(EdgekitError, match="is not a bundle"):
        Bundle.open(tmp_path)


@pytest.mark.parametrize(
    "programs",
    [
        [],
        ["program.pte"],
        [{"file": "program.pte"}],
        [FIELDS["programs"][0] | {"methods": [{"name": "forward"}]}],
        [FIELDS["programs"][0] | {"file": "../program.pte"}],
        [FIELDS["programs"][0] | {"file": "not-listed.pte"}],
    ],
)
def test_a_manifest_without_a_usable_program(bundle: Path, programs: list[object]):
    seal(bundle, FIELDS | {"programs": programs})
    opened = Bundle.open(bundle)
    with pytest.raises(EdgekitError, match="describes no program"):
        _ = opened.program


# Writing


def test_bundle_appears_when_the_block_ends(tmp_path: Path):
    target = tmp_path / "new" / "bundle"
    with writing(target) as folder:
        fill(folder)
        assert folder.parent == target.parent
        assert not target.exists()
    assert version(target) == "new"
    assert os.listdir(target.parent) == ["bundle"]


def test_an_empty_folder_may_be_filled(tmp_path: Path):
    (tmp_path / "bundle").mkdir()
    make(tmp_path / "bundle")
    assert version(tmp_path / "bundle") == "new"
    assert os.listdir(tmp_path) == ["bundle"]


def test_sealing_again_gives_the_same_bytes(bundle: Path):
    before = (bundle / manifest.FILE_NAME).read_bytes()
    seal(bundle, FIELDS)
    assert (bundle / manifest.FILE_NAME).read_bytes() == before


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_in_the_block_leaves_nothing(force: bool, error: BaseException, bundle: Path):
    target = bundle if force else bundle.with_name("other")

    def fail() -> None:
        with writing(target, force) as folder:
            fill(folder)
            raise error

    with pytest.raises(type(error)):
        fail()
    assert os.listdir(bundle.parent) == ["bundle"]
    assert version(bundle) == "old"


def test_force_replaces_a_bundle(bundle: Path):
    with pytest.raises(UsageError, match=r"not empty: .*--force"):
        make(bundle)
    assert version(bundle) == "old"
    with writing(bundle, force=True) as folder:
        fill(folder)
        assert version(bundle) == "old"
    assert version(bundle) == "new"
    assert os.listdir(bundle.parent) == ["bundle"]


def test_force_replaces_a_damaged_bundle(bundle: Path):
    change_last(bundle / "program.pte")
    change_last(bundle / manifest.FILE_NAME)
    make(bundle, force=True)
    assert version(bundle) == "new"


def test_force_without_an_exchange_in_one_step(bundle: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bundle_module, "_exchange", lambda first, second: False)
    make(bundle, force=True)
    assert version(bundle) == "new"
    assert os.listdir(bundle.parent) == ["bundle"]


def test_the_old_bundle_comes_back_if_the_new_one_cannot_take_its_place(bundle: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bundle_module, "_exchange", lambda first, second: False)
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.suffix == ".partial" and not self.stem.endswith("old"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(EdgekitError, match="cannot write"):
        make(bundle, force=True)
    assert version(bundle) == "old"
    assert os.listdir(bundle.parent) == ["bundle"]


@pytest.mark.parametrize("name", ["photo.jpg", "manifest.json"])
@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_something_else_is_never_replaced(name: str, force: bool, tmp_path: Path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / name).write_text('{"name": "my web page"}')
    with pytest.raises(UsageError, match="not empty"):
        make(folder, force=force)
    assert (folder / name).read_text() == '{"name": "my web page"}'
    assert os.listdir(tmp_path) == ["mine"]


@pytest.mark.parametrize("force", [False, True])
def test_a_file_in_the_way(force: bool, tmp_path: Path):
    (tmp_path / "bundle").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        check_target(tmp_path / "bundle", force)
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(UsageError, match="is a file"):
        check_target(tmp_path / "link", force)


@pytest.mark.parametrize("force", [False, True])
def test_what_came_meanwhile_is_not_replaced(force: bool, tmp_path: Path):
    target = tmp_path / "bundle"

    def slow() -> None:
        with writing(target, force) as folder:
            fill(folder)
            target.mkdir()
            (target / "mine").touch()

    with pytest.raises(UsageError, match="not empty"):
        slow()
    assert os.listdir(tmp_path) == ["bundle"]
    assert os.listdir(target) == ["mine"]


def test_a_link_to_a_bundle_is_replaced_and_its_end_kept(bundle: Path, tmp_path: Path):
    link = tmp_path / "links" / "bundle"
    link.parent.mkdir()
    link.symlink_to(bundle)
    make(link, force=True)
    assert version(link) == "new"
    assert version(bundle) == "old"
    assert os.listdir(link.parent) == ["bundle"]


# Killed in the middle. The other process cannot import this file, so it tells its needs by arguments.

HALFWAY = """
import sys, time
from pathlib import Path
from edgekit.bundle import writing
with writing(Path(sys.argv[1]), force=sys.argv[2] == "True") as folder:
    (folder / "program.pte").write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""


def kill_halfway(target: Path, force: bool) -> None:
    command = [sys.executable, "-c", HALFWAY, str(target), str(force)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)


def test_a_kill_leaves_no_bundle_and_the_next_export_sweeps(tmp_path: Path):
    target = tmp_path / "bundle"
    kill_halfway(target, force=False)
    assert not target.exists()
    assert len(os.listdir(tmp_path)) == 1  # the leftover
    make(target)
    assert version(target) == "new"
    assert os.listdir(tmp_path) == ["bundle"]


def test_a_kill_leaves_the_old_bundle_whole(bundle: Path):
    kill_halfway(bundle, force=True)
    assert version(bundle) == "old"
    make(bundle, force=True)
    assert version(bundle) == "new"
    assert os.listdir(bundle.parent) == ["bundle"]


def test_only_what_dead_exports_of_this_bundle_left_is_swept(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as alive:
        with subprocess.Popen([sys.executable, "-c", ""]) as dead:
            pass
        swept = [f".bundle.{dead.pid}.{end}.partial" for end in ("abc_1234", "abcd1234old")]
        swept.append(f".bundle.{os.getpid()}.abcd1234.partial")
        kept = [
            f".bundle.{alive.pid}.abcd1234.partial",
            f".bundle.v2.{dead.pid}.abcd1234.partial",
            f".bundle2.{dead.pid}.abcd1234.partial",
            ".bundle.notes.partial",
            "bundle.partial",
        ]
        for name in swept + kept:
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").touch()
        make(tmp_path / "bundle")
        assert sorted(os.listdir(tmp_path)) == sorted([*kept, "bundle"])
        alive.communicate(b"\n")


REPLACING = """
import shutil, sys
from pathlib import Path
from edgekit.bundle import writing
target, source = map(Path, sys.argv[1:])
print("ready", flush=True)
while True:
    with writing(target, force=True) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.011, 0.05, 0.13])
def test_killed_at_any_moment_one_bundle_is_whole(delay: float, bundle: Path, tmp_path: Path):
    make(tmp_path / "source", "new")
    command = [sys.executable, "-c", REPLACING, str(bundle), str(tmp_path / "source")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    assert version(bundle) in ("old", "new")
    make(bundle, "newest", force=True)
    assert version(bundle) == "newest"
    assert os.listdir(bundle.parent) == ["bundle"]


# A full disk


def test_a_full_disk_leaves_nothing(small_disk: Path):
    def overflow() -> None:
        with writing(small_disk / "bundle") as folder:
            fill(folder)
            (folder / "large").write_bytes(b"\x01" * (1 << 20))

    with pytest.raises(EdgekitError, match="the disk is full; free some space") as caught:
        overflow()
    assert str(small_disk / "bundle") in str(caught.value)
    assert os.listdir(small_disk) == []


def test_a_full_disk_loses_nothing(small_disk: Path):
    make(small_disk / "bundle", "old")

    def overflow() -> None:
        with writing(small_disk / "bundle", force=True) as folder:
            with contextlib.suppress(OSError):
                (small_disk / "filler").write_bytes(b"\x01" * (1 << 20))
            fill(folder)

    with pytest.raises(EdgekitError, match="the disk is full"):
        overflow()
    assert version(small_disk / "bundle") == "old"
    assert sorted(os.listdir(small_disk)) == ["bundle", "filler"]
