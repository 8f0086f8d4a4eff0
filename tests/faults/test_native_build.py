"""The native files' build, killed in the middle: nothing half in the cache, and the next build removes what is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

#: In place of CMake and Ninja: slow to configure, build and install, which makes two files.
CMAKE = """#!/bin/sh
case "$1" in
  --build) sleep 0.3 ;;
  --install) shift; while [ "$1" != --prefix ]; do shift; done
    mkdir -p "$2/lib"; echo runner > "$2/edgekit-run"; sleep 0.3; echo library > "$2/lib/libedgekit_ops.so" ;;
  *) while [ "$1" != -B ]; do shift; done; mkdir -p "$2"; echo half > "$2/half"; sleep 0.3 ;;
esac
"""
BUILD = """
import sys
from pathlib import Path
from edgekit.export import native_files
native_files.cached = lambda architecture: Path(sys.argv[1])
native_files._gpu_code = lambda: b""
native_files.shutil.which = lambda name, path=None: sys.argv[2]
native_files.platform.machine = lambda: "another"
print("ready", flush=True)
print(sorted(native_files.native_files("aarch64")), flush=True)
"""


@pytest.mark.slow
def test_killed(tmp_path: Path) -> None:
    cmake, cache = tmp_path / "cmake", tmp_path / "cache" / "files"
    cmake.write_text(CMAKE)
    cmake.chmod(0o755)
    command = [sys.executable, "-c", BUILD, str(cache), str(cmake)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(random.uniform(0.1, 0.8))
        os.killpg(process.pid, signal.SIGKILL)
    assert not cache.exists()
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    files = "['edgekit-run', 'lib/libedgekit_ops.so']"
    assert [one.communicate()[0].splitlines()[-1] for one in both] == [files, files]
    assert os.listdir(cache.parent) == ["files"]
