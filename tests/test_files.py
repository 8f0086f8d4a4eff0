"""Files are whole or absent, and what the operating system refuses is said in one sentence."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import EdgekitError, UsageError
from edgekit.files import (
    check_writable,
    explained,
    locked,
    remove_unfinished,
    replacing,
    sha256_of,
    unfinished,
    write_text,
)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) + 5])
def test_hash_is_the_hash_of_all_bytes(size: int, tmp_path: Path):
    content = np.random.default_rng(size).bytes(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_file_appears_when_the_block_ends(tmp_path: Path):
    path = tmp_path / "new" / "folder" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent  # or the last step would be a copy between disks
    assert path.read_text() == "whole"
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(path.parent) == ["file.txt"]


def test_old_file_stays_until_the_block_ends(tmp_path: Path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_failed_block_changes_nothing(error: BaseException, tmp_path: Path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_kill_in_the_block_changes_nothing(tmp_path: Path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom edgekit.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2  # the leftover
    write_text(path, "new")
    assert os.listdir(tmp_path) == ["file.txt"]


def test_what_another_thread_has_begun_is_no_leftover(tmp_path: Path):
    path = tmp_path / "file.txt"
    with replacing(path) as first:
        first.write_text("first")
        write_text(path, "second")
        assert first.exists()
        assert path.read_text() == "second"
    assert path.read_text() == "first"


HOLDING = """
import sys, time
from pathlib import Path
from edgekit.files import locked
with locked(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_lock_ends_with_its_process(tmp_path: Path):
    path = tmp_path / "results"
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(EdgekitError, match=r"^somebody has it\.$"), locked(path, "somebody has it."):
            pass
        process.send_signal(signal.SIGKILL)
    assert os.listdir(tmp_path) == [".results.lock"]
    with locked(path, "somebody has it."):
        pass
    assert os.listdir(tmp_path) == []


def test_a_lock_is_waited_for(tmp_path: Path):
    path, turns = tmp_path / "results", []

    def take(name: str) -> None:
        for _ in range(20):
            with locked(path):
                turns.append(name)
                time.sleep(0.001)
                assert turns[-1] == name
                turns.append(name)

    threads = [threading.Thread(target=take, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert turns[::2] == turns[1::2]
    assert len(turns) == 120


def test_what_is_unfinished_goes_when_the_process_must_end(tmp_path: Path):
    with unfinished(tmp_path / "folder", folder=True) as folder, unfinished(tmp_path / "file"):
        (folder / "half").touch()
        remove_unfinished()
        assert os.listdir(tmp_path) == []


def test_a_folder_in_the_way_is_said(tmp_path: Path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(EdgekitError, match=r"cannot write .*taken: is a directory\."):
        write_text(tmp_path / "taken", "text")
    (tmp_path / "file").touch()
    with pytest.raises(EdgekitError, match=r"cannot write .*below"):
        write_text(tmp_path / "file" / "below", "text")
    assert sorted(os.listdir(tmp_path)) == ["file", "taken"]


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EDQUOT, "the disk is full; free some space"),
        (errno.EACCES, "no permission to write there"),
        (errno.EROFS, "no permission to write there"),
        (errno.ENOENT, "there is no such file or folder"),
        (errno.EIO, os.strerror(errno.EIO).lower()),
    ],
)
def test_errors_name_action_place_and_remedy(number: int, says: str):
    with pytest.raises(EdgekitError) as caught, explained("write", Path("some/place")):
        raise OSError(number, os.strerror(number), "other")
    assert str(caught.value).startswith(f"cannot write some/place: {says}")
    assert str(caught.value).endswith(".")
    assert caught.value.exit_code == 1
    assert isinstance(caught.value.__cause__, OSError)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="not a disk"), explained("write", Path("x")):
        raise RuntimeError("not a disk")


@pytest.mark.parametrize("writer", ["plain", "safetensors", "torch", "numpy"])
def test_full_disk(writer: str, small_disk: Path):
    """The libraries that write our files each say it in their own way."""
    array = np.zeros(1 << 20, np.float32)

    def write(path: Path) -> None:
        if writer == "plain":
            path.write_bytes(array.tobytes())
        elif writer == "safetensors":
            from safetensors.numpy import save_file

            save_file({"array": array}, path)
        elif writer == "torch":
            import torch

            torch.save({"array": torch.from_numpy(array)}, path)
        else:
            with path.open("wb") as file:
                np.savez(file, array=array)

    path = small_disk / "file"
    path.write_text("old")
    with pytest.raises(EdgekitError, match="the disk is full"), replacing(path) as temporary:
        write(temporary)
    assert path.read_text() == "old"
    assert os.listdir(small_disk) == ["file"]


def test_text_is_utf8(tmp_path: Path):
    write_text(tmp_path / "text", "größer\n")
    assert (tmp_path / "text").read_bytes() == "größer\n".encode()


def test_where_nothing_can_be_written_is_said_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    check_writable(tmp_path / "new.png")
    check_writable(tmp_path)
    with pytest.raises(UsageError, match=r"the folder .*absent does not exist; make it"):
        check_writable(tmp_path / "absent" / "new.png")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(UsageError, match="no permission to write there"):
        check_writable(tmp_path / "new.png")
