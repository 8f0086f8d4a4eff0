"""The Java binding on this machine's virtual machine, against the same session in Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import edgekit_runtime
from edgekit_runtime import Session
from edgekit_runtime.detect_anomalies import AnomalyPipeline
from edgekit_runtime.generate import Generation, TextGenerator
from edgekit_runtime.segment import SegmentPipeline

from ..machines import CHECKOUT, runtime_for_cmake, tool

CHECKS = Path(__file__).parent / "java" / "Checks.java"
BINDING = CHECKOUT / "kernels" / "bindings" / "java"
PROMPT = "the red cat"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The binding as its users build it, and the checks."""
    if shutil.which("javac") is None:
        pytest.skip("needs a Java development kit: apt install openjdk-17-jdk-headless")
    folder = tmp_path_factory.mktemp("java")
    configure = [tool("cmake"), "-S", BINDING, "-B", folder, f"-Dedgekit_DIR={runtime_for_cmake()}"]
    classes = ["javac", "-Xlint:all,-try", "-cp", folder / "edgekit.jar", "-d", folder / "checks", CHECKS]
    for command in (configure, [tool("cmake"), "--build", folder], classes):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning" not in done.stdout + done.stderr.replace("CMake", ""), done.stdout + done.stderr
    return folder


@pytest.fixture
def run(built: Path):
    def call(case: str, bundle: Path, *arguments: object) -> list[str]:
        places = os.pathsep.join([str(built / "edgekit.jar"), str(built / "checks")])
        # Every call into the virtual machine is checked; what it finds is a line "WARNING in native method".
        command = ["java", "-Xcheck:jni", f"-Djava.library.path={built}", "-cp", places, "Checks", case, bundle]
        done = subprocess.run([*map(str, [*command, *arguments])], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "WARNING" not in done.stdout, done.stdout
        return done.stdout.splitlines()

    return call


def raw(path: Path, values: np.ndarray) -> Path:
    path.write_bytes(np.ascontiguousarray(values, np.float32).tobytes())
    return path


def numbers(lines: list[str]) -> np.ndarray:
    return np.array([int(line) for line in lines], np.int32).view(np.float32)


def test_tensors(run, pump_bundle, tmp_path):
    session = Session(pump_bundle)
    (spec,) = session.methods[0].inputs
    given = np.random.default_rng(0).random(spec.shape, np.float32)
    first, manifest, method, same, *found = run("tensors", pump_bundle, raw(tmp_path / "input", given))
    assert first == f"{edgekit_runtime.__version__} detect_anomalies"
    assert method.startswith(f"{session.methods[0].name} [{spec.name} FLOAT32{list(spec.shape)}]")
    assert (manifest, same) == ("true", "true")
    np.testing.assert_array_equal(numbers(found), session.run(given)[0].ravel())


def test_text(run, text_bundle):
    went = Generation()
    pieces = TextGenerator(Session(text_bundle)).generate(PROMPT, max_tokens=12, went=went)
    text = "".join(pieces)
    about, tokens, found, again = run("text", text_bundle, PROMPT)
    assert about == f"true {went.reason} {went.prompt_tokens}"
    assert tokens == str(list(went.tokens))
    assert found == text.replace("\n", "\\n")
    assert len(again.split(",")) == 5


def test_images(run, plus_bundle, tmp_path):
    image = np.random.default_rng(1).random((40, 56), np.float32)
    image[10:14, 20:24] = 4.0
    wanted = SegmentPipeline(Session(plus_bundle)).segment(image)
    first, *lines, none = run("segment", plus_bundle, raw(tmp_path / "image", image), *image.shape)
    assert first == f"{len(wanted.objects)} {int(wanted.mask.sum())}"
    assert none == "0"
    assert len(lines) == len(wanted.objects)
    for line, one in zip(lines, wanted.objects, strict=True):
        found = line.split()
        assert [float(word) for word in found[:2]] == list(one.centroid)
        assert [int(word) for word in found[2:7]] == [*one.box, one.area]
        assert numbers([found[7]])[0] == np.float32(one.peak)


def test_sensors(run, pump_bundle, pump_data, tmp_path):
    with np.load(pump_data) as file:
        rows = file["test"][:80]
    pipeline = AnomalyPipeline(Session(pump_bundle))
    wanted = pipeline.detect(rows)
    first, *lines, reset = run("anomalies", pump_bundle, raw(tmp_path / "rows", rows))
    window = pipeline.detector.window
    assert first.startswith(f"{window} ")
    assert reset == "true"
    assert lines[: window - 1] == ["filling"] * (window - 1)
    scores = numbers([line.split()[0] for line in lines[window - 1 :]])
    np.testing.assert_allclose(scores, wanted.scores[window - 1 :], rtol=1e-6)
    assert [line.split()[1] == "true" for line in lines[window - 1 :]] == wanted.alarms[window - 1 :].tolist()
    worst = wanted.errors[window - 1 :].argmax(axis=1)
    assert [int(line.split()[2]) for line in lines[window - 1 :]] == worst.tolist()


def test_what_is_refused(run, pump_bundle):
    absent, *lines = run("buffers", pump_bundle)
    assert re.match(r"EdgekitException true there is no bundle", absent)
    says = [
        "IllegalArgumentException input '.*' is no direct buffer in native byte order: TensorSpec.allocate",
        "IllegalArgumentException input '.*' is no direct buffer in native byte order",
        "IllegalArgumentException input '.*' has no 16 bytes behind its end",
        r"IllegalArgumentException input '.*' has \d+ bytes, \d+ are needed",
        "IllegalArgumentException a tensor does not begin at a multiple of 16 bytes",
        "IllegalArgumentException output '.*' is a read-only buffer",
        "IllegalArgumentException method '.*' has 1 inputs and 1 outputs, 0 and 1 were given",
        "EdgekitException true input .*not finite|EdgekitException true .*infinity",
        r"IllegalArgumentException input '.*' has \d+ numbers, at most \d+ are taken",
        "EdgekitException true there is no method 'absent'",
        "EdgekitException true .*gr\u00fc\u00df\U0001f600",
        "EdgekitException true .*generate_text",
        "EdgekitException true .*state",
        "EdgekitException true a name has a 0 in it, at place 7",
        "EdgekitException true a name has a 0 in it",
        "EdgekitException true .*absent.pub",
    ]
    assert len(lines) == len(says)
    for line, pattern in zip(lines, says, strict=True):
        assert re.match(pattern, line), line


def test_what_is_closed(run, pump_bundle):
    closed = "IllegalStateException {} was closed: open another."
    stream, session, again, own, null = run("closed", pump_bundle)
    assert stream == closed.format("AnomalyStream")
    assert session == again == closed.format("Session")
    assert own == closed.format("AnomalyStream")
    assert null.startswith("NullPointerException")


def test_listeners(run, text_bundle):
    own, ended, closing, closing_session, cancelled, after = run("callbacks", text_bundle, PROMPT)
    assert own == "IllegalArgumentException the listener's own"
    assert ended == "cancelled"
    assert closing.startswith("IllegalStateException this session is in a call of this thread")
    assert closing_session == closing
    assert cancelled == "cancelled 3"
    assert after == "3"


def test_threads_take_turns(run, pump_bundle):
    assert run("threads", pump_bundle) == ["200"]


def test_memory_does_not_grow(run, pump_bundle):
    """20,000 rows and 200 sessions after as many: one lost row of errors each would be 4 MB with its Java array."""
    (grown,) = run("memory", pump_bundle, 20_000)
    assert int(grown) < 8 << 20
