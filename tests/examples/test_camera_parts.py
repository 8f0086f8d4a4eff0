"""The camera's plain classes: queue, conversion, loop. Built without OpenCV, under the address sanitizer."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit_runtime.images import read_gray

NATIVE = Path(__file__).parent / "native"

pytestmark = pytest.mark.slow

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="module")
def parts(built_example) -> Run:
    program = built_example(NATIVE) / "camera_parts"

    def run(*arguments: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=120, check=False)

    return run


@pytest.mark.parametrize(
    ("case", "wanted"),
    [
        ("drop", b"dropped 6: 7 8 9 dropped 7\n"),
        ("wait", b"last 10000, dropped 0, most between is small\n"),
        ("abandon", b"dropped 2\n"),
        ("times", b"15001 20001 25000\n"),
    ],
)
def test_queue_and_times(parts, case, wanted):
    done = parts(case)
    assert (done.returncode, done.stdout, done.stderr) == (0, wanted, b"")


def gray(parts: Run, path: Path, pixels: bytes, encoding: str, *numbers: int) -> np.ndarray | str:
    path.write_bytes(pixels)
    done = parts("gray", encoding, *numbers, path)
    if done.returncode != 0:
        assert done.stdout == b""
        return done.stderr.decode().removesuffix("\n")
    return np.frombuffer(done.stdout, np.float32).reshape(numbers[:2])


def test_one_channel(parts, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 2**16, (19, 23), dtype=np.uint16)
    found = gray(parts, tmp_path / "a", (pixels >> 8).astype(np.uint8).tobytes(), "mono8", 19, 23, 23, 0)
    np.testing.assert_array_equal(found, (pixels >> 8).astype(np.float32) / np.float32(255))
    for big, order in enumerate("<>"):
        found = gray(parts, tmp_path / "a", pixels.astype(f"{order}u2").tobytes(), "mono16", 19, 23, 46, big)
        np.testing.assert_array_equal(found, pixels.astype(np.float32) / np.float32(65535))


def test_colours_are_those_of_a_file(parts, tmp_path):
    """Rows with something behind their pixels; the last one ends with its last pixel."""
    colours = np.random.default_rng(1).integers(0, 256, (20, 17, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "colours.png"), colours[..., ::-1])
    wanted = read_gray(tmp_path / "colours.png")
    padded = np.full((20, 60), 255, np.uint8)
    for encoding, pixels in (("rgb8", colours), ("bgr8", colours[..., ::-1])):
        padded[:, :51] = pixels.reshape(20, 51)
        found = gray(parts, tmp_path / "a", padded.tobytes()[:-9], encoding, 20, 17, 60, 0)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("encoding", "numbers", "size", "sentence"),
    [
        ("mono8", (20, 20, 19, 0), 400, "rows have 19 bytes, 20 are needed"),
        ("bgr8", (20, 20, 20, 0), 1200, "rows have 20 bytes, 60 are needed"),
        ("mono8", (21, 20, 20, 0), 400, "has 400 bytes, too few for 21 rows of 20"),
        ("mono16", (20, 20, 40, 1), 799, "has 799 bytes, too few for 20 rows of 40"),
        ("mono8", (20, 20, 20, 0), 0, "has 0 bytes, too few"),
        ("mono8", (20, 20, 2**64 - 1, 0), 400, "too few for 20 rows of 18446744073709551615"),
        ("mono8", (20, 20, 2**63, 0), 400, "too few for 20 rows"),  # two such rows come to 0 in 64 bits
        ("mono8", (2**32 - 1, 2**32 - 1, 2**32 - 1, 0), 400, "4294967295x4294967295 pixels is too large"),
        ("mono8", (15, 400, 400, 0), 6000, "400x15 pixels is too small: each side needs 16."),
        ("mono8", (0, 0, 0, 0), 0, "0x0 pixels is too small"),
    ],
)
def test_a_malformed_image_is_refused(parts, tmp_path, encoding, numbers, size, sentence):
    found = gray(parts, tmp_path / "a", bytes(size), encoding, *numbers)
    assert isinstance(found, str)
    assert sentence in found
    assert found.endswith(".")


def lines_and_report(done: subprocess.CompletedProcess[bytes]) -> tuple[list[dict], list[int], str]:
    assert done.returncode == 0, done.stderr
    *messages, report = done.stderr.decode().splitlines()
    assert report.startswith("report ")
    return [json.loads(line) for line in done.stdout.splitlines()], [*map(int, report.split()[1:])], "\n".join(messages)


def test_a_camera_that_is_faster_loses_its_oldest_frames(parts, local_bundle):
    lines, (frames, dropped, unreadable, given, lost, cut), messages = lines_and_report(
        parts("loop", local_bundle, 60, "oldest", 0)
    )
    assert (unreadable, given, lost, cut) == (1, 62, 1, 0)
    assert dropped > 0
    assert frames + dropped == 60
    assert messages.splitlines() == ["frame 60: made unreadable.", "frame 61: made lost."]
    numbers = [line["frame"] for line in lines]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 59  # the newest one is never dropped
    assert len(lines) == frames
    assert [line["dropped"] for line in lines] == sorted(line["dropped"] for line in lines)


def test_a_camera_that_waits_loses_none(parts, local_bundle):
    lines, (frames, dropped, *_), _ = lines_and_report(parts("loop", local_bundle, 12, "never", 0))
    assert [line["frame"] for line in lines] == list(range(12))
    assert (frames, dropped) == (12, 0)


@pytest.mark.parametrize("drop", ["oldest", "never"])
def test_an_endless_camera_is_stopped(parts, local_bundle, drop):
    lines, (frames, dropped, unreadable, given, lost, _), messages = lines_and_report(
        parts("loop", local_bundle, 0, drop, 5)
    )
    assert (unreadable, lost, messages) == (0, 0, "")
    assert len(lines) == frames
    assert frames + dropped == given  # every frame is accounted for


def test_names_of_files_in_json(parts, tmp_path):
    strange = b'a"b\\c\n\x01' + "\N{LATIN SMALL LETTER E WITH ACUTE}\U0001f4f7".encode()
    invalid = b"\xff\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82"
    for name in (b"", strange, invalid, b"plain" + invalid + strange):
        (tmp_path / "name").write_bytes(name)
        found = json.loads(parts("text", tmp_path / "name").stdout.decode())
        if name in (b"", strange):
            assert found == name.decode()
        else:
            valid = name.decode(errors="ignore")
            assert found.replace("\N{REPLACEMENT CHARACTER}", "") == valid
            assert found.count("\N{REPLACEMENT CHARACTER}") == len(invalid)
