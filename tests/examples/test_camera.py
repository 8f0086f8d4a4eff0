"""The C++ camera loop on real frames: what Python finds, overlays, dropped frames, and ends of every kind."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgekit_runtime import Session
from edgekit_runtime.images import read_gray
from edgekit_runtime.segment import SegmentPipeline, draw_overlay

EXAMPLE = Path(__file__).parents[2] / "examples" / "camera"

pytestmark = pytest.mark.slow

Camera = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def program(built_example) -> Path:
    return built_example(EXAMPLE, {"OpenCV": "apt install libopencv-dev"}) / "camera"


@pytest.fixture(scope="module")
def camera(program) -> Camera:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(program), *map(str, arguments)]
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)

    return run


@pytest.fixture(scope="module")
def shipped_bundle(tmp_path_factory) -> Path:
    """RPCANet as it ships, s1, fp32, for frames of 128x128."""
    from edgekit.cli.main import run

    folder = tmp_path_factory.mktemp("s1")
    words = ("--device", "linux-x86_64", "--recipe", "fp32", "--size", "128x128", "--no-native", "-q", "-o")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EDGEKIT_DATA", raising=False)
        assert run(["export", "rpcanet", *words, str(folder)]) == 0
    (bundle,) = folder.iterdir()
    return bundle


@pytest.fixture(scope="module")
def frames(data_root, tmp_path_factory) -> Path:
    """The first six test images of SIRST, under names that are in the order of their numbers."""
    folder = tmp_path_factory.mktemp("frames")
    for name in (data_root / "sirst" / "test.txt").read_text().split()[:6]:
        shutil.copyfile(data_root / "sirst" / "images" / f"{name}.png", folder / f"{name}.png")
    return folder


def lines_of(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def counts(stderr: str) -> tuple[int, ...]:
    """Frames, dropped, unreadable, failed."""
    found = re.search(r"(\d+) frames, (\d+) dropped, (\d+) unreadable, (\d+) failed", stderr)
    assert found, stderr
    return tuple(map(int, found.groups()))


def check(objects: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    """Whole numbers and float32 as they are, means as far as they are written."""
    for found, other in zip(objects, wanted, strict=True):
        assert found["centroid"] == pytest.approx(other["centroid"], rel=1e-9)
        assert np.float32(found["peak"]) == np.float32(other["peak"])
        assert {**found, "centroid": 0, "peak": 0} == {**other, "centroid": 0, "peak": 0}


def test_a_folder_of_real_frames(camera, shipped_bundle, frames, tmp_path):
    done = camera(shipped_bundle, frames, "--overlay", tmp_path / "found")
    assert done.returncode == 0, done.stderr
    assert counts(done.stderr) == (6, 0, 0, 0)
    lines, pipeline, count = lines_of(done), SegmentPipeline(Session(shipped_bundle)), 0
    for number, (line, path) in enumerate(zip(lines, sorted(frames.iterdir()), strict=True)):
        image = read_gray(path)
        wanted = pipeline.segment(image)
        count += len(wanted.objects)
        assert (line["frame"], line["name"], line["dropped"]) == (number, path.name, 0)
        check(line["objects"], [found.to_dict() for found in wanted.objects])
        drawn = cv2.imread(str(tmp_path / "found" / f"{number:06}-{path.stem}.png"))[..., ::-1]
        np.testing.assert_array_equal(drawn, draw_overlay(image, wanted.mask, wanted.objects))
        assert (drawn.min(axis=2) != drawn.max(axis=2)).any() == (
            len(wanted.objects) > 0
        )  # colours, where it found some
        times = line["ms"]
        assert 0 < times["program"] < times["end_to_end"]
        assert times["queue"] < times["end_to_end"]
    assert count >= 6  # each has one at least, by SIRST's labels
    captured = [line["captured"] for line in lines]
    assert captured == sorted(captured)
    for name in ("decode", "queue", "program", "added", "end to end", "overlay"):
        assert re.search(rf"^{name} +[\d.]+ +[\d.]+ +[\d.]+$", done.stderr, re.MULTILINE), name


def test_threshold_and_fit(camera, local_bundle, frames):
    pipeline = SegmentPipeline(Session(local_bundle), threshold=0.5)
    done = camera(local_bundle, frames, "--threshold", 0.5, "--fit", "tile", "--queue", 1, "--threads", 1)
    assert done.returncode == 0, done.stderr
    for line, path in zip(lines_of(done), sorted(frames.iterdir()), strict=True):
        check(line["objects"], [found.to_dict() for found in pipeline.segment(read_gray(path), "tile").objects])


def test_damaged_images_are_said_and_passed_over(camera, local_bundle, frames, tmp_path):
    folder = Path(shutil.copytree(frames, tmp_path / "frames"))
    first, second, *_, last = sorted(folder.iterdir())
    second.write_bytes(second.read_bytes()[:500])
    last.write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    cv2.imwrite(str(folder / "0.bmp"), np.zeros((8, 8), np.uint8))
    done = camera(local_bundle, folder)
    assert done.returncode == 0
    assert counts(done.stderr) == (4, 0, 3, 0)
    said = done.stderr.splitlines()[:3]
    assert [sentence.split(":")[0] for sentence in said] == ["frame 0", "frame 2", "frame 6"]
    assert str(second) in said[1]
    assert [line["frame"] for line in lines_of(done)] == [1, 3, 4, 5]
    assert lines_of(done)[0]["name"] == first.name
    for path in (first, second, last):
        path.unlink()
    for path in folder.glob("*.png"):
        path.write_bytes(b"x")
    done = camera(local_bundle, folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("no frame was looked at: see above.\n")


@pytest.fixture(scope="module")
def video(frames, tmp_path_factory) -> Path:
    """Forty frames in colour, 64x48, as Motion JPEG."""
    path = tmp_path_factory.mktemp("video") / "frames.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    assert writer.isOpened()
    image = cv2.resize(cv2.imread(str(sorted(frames.iterdir())[0])), (64, 48))
    for number in range(40):
        writer.write(np.roll(image, number, axis=1))
    writer.release()
    return path


def test_a_video_waits_or_drops(camera, local_bundle, video):
    reader, pipeline = cv2.VideoCapture(str(video)), SegmentPipeline(Session(local_bundle))
    done = camera(local_bundle, video)
    assert done.returncode == 0, done.stderr
    assert counts(done.stderr) == (40, 0, 0, 0)
    for line in lines_of(done):
        blue, green, red = np.moveaxis(reader.read()[1].astype(np.uint32), 2, 0)
        luma = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
        wanted = pipeline.segment(luma.astype(np.float32) / np.float32(255))
        assert line["name"] == ""
        check(line["objects"], [found.to_dict() for found in wanted.objects])
    done = camera(local_bundle, video, "--drop", "oldest", "--queue", 1)
    looked_at, dropped, *rest = counts(done.stderr)
    assert (looked_at + dropped, rest) == (40, [0, 0])
    assert lines_of(done)[-1]["frame"] == 39


class Stream(http.server.BaseHTTPRequestHandler):
    """A network camera: Motion JPEG over HTTP, that breaks off."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for _ in range(self.server.count):  # type: ignore[attr-defined]
            jpeg: bytes = self.server.jpeg  # type: ignore[attr-defined]
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stream(frames) -> Iterator[str]:
    """The address of a network camera that breaks off after 30 frames."""
    image = cv2.resize(cv2.imread(str(sorted(frames.iterdir())[0])), (160, 120))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    server.count, server.jpeg = 30, cv2.imencode(".jpg", image)[1].tobytes()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/stream.mjpg"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_camera_that_is_lost(camera, local_bundle, stream):
    done = camera(local_bundle, stream)
    if "cannot be opened" in done.stderr:
        pytest.skip("this OpenCV reads no streams")
    assert done.returncode == 1
    looked_at, dropped, unreadable, failed = counts(done.stderr)
    assert looked_at > 0
    assert looked_at + dropped >= 25  # the reader may keep what it had not decoded when the stream broke off
    assert (unreadable, failed) == (9, 0)
    assert "gives no frames any more: check the camera and its cable." in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly(program, local_bundle, frames, tmp_path, number):
    """In the middle of a folder that would take much longer."""
    folder = tmp_path / "many"
    folder.mkdir()
    for copy in range(3000):
        os.symlink(sorted(frames.iterdir())[0], folder / f"{copy:04}.png")
    command = [str(program), str(local_bundle), str(folder), "--fit", "tile", "--overlay", str(tmp_path / "found")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        head = [process.stdout.readline() for _ in range(3)]
        process.send_signal(number)
        rest, err = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = [json.loads(line) for line in [*head, *rest.splitlines()]]
    looked_at, dropped, unreadable, failed = counts(err)
    assert [line["frame"] for line in lines] == list(range(looked_at))
    assert looked_at < 3000
    assert dropped > 0  # those that waited
    assert (unreadable, failed) == (0, 0)
    assert len(list((tmp_path / "found").glob("*.png"))) == looked_at


def test_a_reader_that_is_gone_ends_it(program, local_bundle, frames):
    answers, given = os.pipe()
    os.close(answers)
    command = [str(program), str(local_bundle), str(frames)]
    done = subprocess.run(command, stdout=given, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(given)
    assert done.returncode == 1
    assert done.stderr.startswith("the lines cannot be written: the reader of this program's output is gone")


def test_what_makes_no_sense_is_refused(camera, local_bundle, text_bundle, frames, tmp_path):
    for arguments, sentence in [
        ((local_bundle,), "a bundle and an input are needed: camera BUNDLE INPUT."),
        ((local_bundle, frames, "--queue", 0), "--queue 0: give a number of frames, 1 or more."),
        ((local_bundle, frames, "--drop", "all"), "--drop all: give oldest or never."),
        ((local_bundle, frames, "--threshold", "x"), "--threshold x: give a number."),
        (
            (local_bundle, frames, "--overlays", "x"),
            "unknown option --overlays: camera --help shows",
        ),
        ((local_bundle, tmp_path / "absent"), "give a folder, a video file, a camera's number or an address."),
        ((local_bundle, tmp_path), "has no images: give a folder with PNG, JPEG or BMP files."),
        ((local_bundle, __file__), "cannot be opened: give a folder of images, or a video that this OpenCV reads."),
        ((local_bundle, 99), "camera 99 cannot be opened: check that it is there and that nothing else uses it."),
        ((local_bundle, frames, "--fit", "x"), "unknown fit 'x'"),
        ((text_bundle, frames), "is a bundle for the task 'generate_text', not 'segment'."),
    ]:
        done = camera(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert sentence in done.stderr.splitlines()[-1]
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = camera(local_bundle, frames, "--overlay", blocked)
    assert done.returncode == 1
    assert len(lines_of(done)) == 6
    assert "6 overlays not written." in done.stderr
