"""Too little memory, by a limit on the address space: the right answer or one sentence, and nothing half done."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.export.native_files import native_files

#: Below it the system's loader ends a program before its first line.
LEAST = 4_000_000

#: Runs a bundle with a little more memory each time, and after each time without the limit; prints what came.
IN_PYTHON = """
import resource, sys
import numpy as np
from edgekit_runtime import EdgekitError, Session

def limit(size):
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))

def answer():
    session = Session(sys.argv[1])
    (spec,) = session.methods[0].inputs
    return session.run(np.full(spec.shape, 0.5, spec.dtype), method=session.methods[0].name)[0].copy()

wanted = answer()
for more in range(0, 1 << 22, 1 << 15):
    now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    limit(now + more)
    try:
        found = answer()
    except EdgekitError as error:
        print(error)
        found = None
    except MemoryError:
        print("numpy: not enough memory")
        found = None
    finally:
        limit(resource.RLIM_INFINITY)
    if found is not None:
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(answer(), wanted)
print("done" if found is not None else "never enough")
"""


def check_sentence(sentence: str) -> None:
    assert "memory" in sentence, sentence
    assert sentence.endswith(".\n")
    assert sentence.count("\n") == 1
    assert "close something" in sentence


@pytest.fixture
def runner(tmp_path) -> Path:
    for name, path in native_files(platform.machine()).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, tmp_path / name)
    (tmp_path / "edgekit-run").chmod(0o755)
    return tmp_path / "edgekit-run"


def test_the_runner(runner, pump_bundle, tmp_path):
    if shutil.which("prlimit") is None:
        pytest.skip("needs prlimit: apt install util-linux")
    rows = np.random.default_rng(0).random((40, 5))
    np.savetxt(tmp_path / "rows.csv", rows, delimiter=",", fmt="%.6f")
    scores = tmp_path / "scores.csv"

    def run(size: int | None) -> subprocess.CompletedProcess[str]:
        scores.unlink(missing_ok=True)
        command = ["prlimit", f"--as={size}"] if size is not None else []
        command += [str(runner), str(pump_bundle), "--input", str(tmp_path / "rows.csv"), "--output", str(scores)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={})

    assert run(None).returncode == 0
    wanted, before = scores.read_bytes(), sorted(path.name for path in tmp_path.iterdir())

    def runs(size: int) -> bool:
        """Whether there is enough; checks what comes of it either way."""
        done = run(size)
        if done.returncode == 0:
            assert (done.stderr, scores.read_bytes()) == ("", wanted)
            return True
        assert (done.returncode, done.stdout) == (1, ""), (size, done)
        assert done.stderr.startswith("edgekit-run: error: ")
        check_sentence(done.stderr)
        assert sorted(path.name for path in tmp_path.iterdir()) == [name for name in before if name != scores.name]
        return False

    # Where it begins to be enough, and the steps below it, which fail in one place after the other.
    least, enough = LEAST, 256_000_000
    assert not runs(least)
    assert runs(enough)
    while enough - least > 16_384:
        middle = (least + enough) // 2
        least, enough = (least, middle) if runs(middle) else (middle, enough)
    for size in (*range(LEAST, least, 2_000_000), *range(least - 1_600_000, least, 16_384)):
        runs(size)


@pytest.mark.parametrize("bundle", ["pump_bundle", "local_bundle"])
def test_a_session_in_python(request, bundle):
    path = request.getfixturevalue(bundle)
    done = subprocess.run(
        [sys.executable, "-c", IN_PYTHON, path], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    *sentences, last = done.stdout.splitlines(keepends=True)
    assert last == "done\n"
    assert sentences
    for sentence in sentences:
        if sentence != "numpy: not enough memory\n":
            check_sentence(sentence)
