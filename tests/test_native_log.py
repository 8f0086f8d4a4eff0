"""What native code says on stderr is kept for our messages, and comes back to the terminal afterwards."""

from __future__ import annotations

import os
import sys

import pytest

from edgekit.native_log import captured_stderr


def test_both_ways_to_stderr_are_kept(capfd):
    with captured_stderr() as log:
        os.write(2, b"native: Error 1\n")
        print("python: missing kernel", file=sys.stderr)
        os.write(2, "schon größer\n".encode("latin-1"))
    assert "native: Error 1\n" in log.text
    assert "python: missing kernel\n" in log.text
    assert log.errors() == "native: Error 1; python: missing kernel"
    assert capfd.readouterr().err == ""


def test_afterwards_stderr_is_as_it_was(capfd):
    before = sys.stderr
    with pytest.raises(ValueError, match="out"), captured_stderr():
        raise ValueError("out")
    with captured_stderr(), captured_stderr() as inner:
        print("inner", file=sys.stderr)
    assert inner.text == "inner\n"
    assert sys.stderr is before
    print("python", file=sys.stderr, flush=True)
    os.write(2, b"native\n")
    assert capfd.readouterr().err == "python\nnative\n"


def test_no_handles_are_lost():
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count()
    for _ in range(20):
        with captured_stderr():
            pass
    assert count() == before


def test_the_last_errors_in_one_line():
    with captured_stderr() as log:
        for number in range(5):
            print(f"  Error {number} ", file=sys.stderr)
            print("all is well", file=sys.stderr)
    assert log.errors() == "Error 2; Error 3; Error 4"
    with captured_stderr() as quiet:
        pass
    assert quiet.errors() == ""
