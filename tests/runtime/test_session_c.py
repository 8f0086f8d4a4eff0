"""The C interface, by a C11 program that knows nothing else, against the same session in Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import edgekit_runtime
from edgekit.bundle import Bundle
from edgekit.signing import load_private_key, make_keys, sign
from edgekit_runtime import Session
from edgekit_runtime.detect_anomalies import AnomalyPipeline
from edgekit_runtime.generate import TextGenerator
from edgekit_runtime.segment import SegmentPipeline

SOURCE = Path(__file__).parent / "native" / "session_c.c"
PROMPT = "the red cat"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (gcc)")
    package = Path(edgekit_runtime.__path__[0])
    made = tmp_path_factory.mktemp("c") / "session_c"
    words = [
        compiler,
        "-std=c11",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        f"-I{package / 'include'}",
        SOURCE,
    ]
    words += ["-o", made, f"-L{package / 'lib'}", "-ledgekit_runtime", "-lm", f"-Wl,-rpath,{package / 'lib'}"]
    words += [f"-Wl,-rpath-link,{package / 'lib'}"]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def run(program: Path):
    def call(case: str, bundle: Path, argument: object) -> list[str]:
        done = subprocess.run(
            [str(program), case, str(bundle), str(argument)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        first, *lines = done.stdout.splitlines()
        assert first == f"{edgekit_runtime.__version__} {Session(bundle).manifest['pipeline']['name']} 1"
        return lines

    return call


def test_tensors(run, pump_bundle, tmp_path):
    session = Session(pump_bundle)
    method = session.methods[0]
    shape = method.inputs[0].shape
    given = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    given.tofile(tmp_path / "given")
    described, rows, *numbers = run("tensors", pump_bundle, tmp_path / "given")
    dynamic = int(method.inputs[0].dynamic)
    wanted = session.run(given, method=method.name)[0]
    assert described == (
        f"{method.name} {len(method.inputs)} {len(method.outputs)} {method.inputs[0].name} "
        f"{method.outputs[0].name} {len(shape)} 0 {dynamic}"
    )
    assert int(rows) == wanted.shape[0]
    np.testing.assert_array_equal(np.array(numbers, np.float32), wanted.ravel())


def test_text(run, text_bundle):
    generator = TextGenerator(Session(text_bundle))
    pieces = list(generator.generate(PROMPT, max_tokens=6))
    generator.start(PROMPT, max_tokens=6)
    went = generator.wait()
    lines = run("text", text_bundle, PROMPT)
    steps = [f"{token} {piece}" for token, piece in zip(went.tokens, pieces, strict=True)]
    assert lines[: len(steps)] == steps
    assert lines[len(steps)] == f"{went.prompt_tokens} {went.generated_tokens} {went.reason}|{went.text}"
    lines = lines[len(steps) + 1 :]
    assert lines[:3] == [*steps[:2], "2 cancelled"]
    assert lines[3 : 3 + len(steps)] == steps
    cancelled, twice, empty, none = lines[3 + len(steps) :]
    assert cancelled == "0 -1 cancelled"
    assert twice == "2 no text goes on: begin one."
    assert empty.startswith("2 ")
    assert none == "2 0 tokens to generate: give 1 or more."


def test_states(run, text_bundle):
    changed, fresh, dropped, restored, short = run("states", text_bundle, "-")
    assert (changed, fresh, restored) == ("1", "1", "1")
    assert dropped.startswith("2 ")
    assert short.startswith("2 ")


def test_segment(run, plus_bundle, tmp_path):
    session = Session(plus_bundle)
    pipeline = SegmentPipeline(session, 0.0)
    image = np.random.default_rng(1).uniform(0, 1, (48, 48)).astype(np.float32)
    image.tofile(tmp_path / "image")
    counts, *lines, unknown = run("segment", plus_bundle, tmp_path / "image")
    wanted = pipeline.segment(image)
    assert counts == f"{len(wanted.objects)} {int(wanted.mask.sum())}"
    for line, found in zip(lines, wanted.objects, strict=True):
        area, peak, row, column = line.split()
        assert (int(area), int(row), int(column)) == (found.area, *found.peak_at)
        assert float(peak) == pytest.approx(found.peak, rel=1e-5)
    assert unknown.startswith("2 ")


def test_anomalies(run, pump_bundle, tmp_path):
    pipeline = AnomalyPipeline(Session(pump_bundle))
    pipeline.use_threshold(0.5)
    channels, window = len(pipeline.detector.channels), pipeline.detector.window
    rows = np.random.default_rng(2).uniform(0, 1, (window + 20, channels)).astype(np.float32)
    rows.tofile(tmp_path / "rows")
    described, *lines, wide_rows, fewer, again, wide, threshold = run("anomalies", pump_bundle, tmp_path / "rows")
    assert described == f"{window} {channels} {pipeline.detector.channels[0]} none"
    wanted = pipeline.detect(rows)
    lines, together = lines[: len(rows)], lines[len(rows) :]
    assert together == lines
    assert wide_rows == "1 the rows have shape (2, 6), 5 channels are needed."
    assert fewer == "2 -1 rows: give 0 or more."
    assert lines[: window - 1] == ["filling"] * (window - 1)
    for row, line in enumerate(lines[window - 1 :], window - 1):
        score, alarm, worst, diagnosis = line.split()
        assert float(score) == pytest.approx(wanted.scores[row], rel=1e-4)
        assert int(alarm) == wanted.alarms[row]
        assert int(worst) == int(np.argmax(wanted.errors[row]))
        assert diagnosis in (("sensor", "systematic") if int(alarm) else ("-",))
    assert again == "filling"
    assert wide == "1 a row has shape (6,), 5 channels are needed."
    assert threshold[:2] in ("1 ", "2 ")


def test_a_signature_is_required(program, run, pump_bundle, copy_of, tmp_path, monkeypatch):
    make_keys(tmp_path / "key")
    copy = copy_of(pump_bundle)
    sign(Bundle.open(copy), load_private_key(tmp_path / "key"))
    monkeypatch.setenv("SESSION_C_PUBLIC_KEY", str(tmp_path / "key.pub"))
    assert run("refusals", copy, "-")
    done = subprocess.run([program, "refusals", pump_bundle, "-"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("1 ")
    assert "is not signed, and a signature is required" in done.stdout


def test_refusals(run, pump_bundle):
    absent, null, unknown, closed, empty, dtype, method, place, threads, text, last = run("refusals", pump_bundle, "-")
    assert absent.startswith("2 there is no bundle")
    assert null == "2 edgekit_session_open: an argument is NULL: give it."
    assert unknown.startswith("2 ")
    assert closed == "2 edgekit_session_run: an argument is NULL: give it."
    assert empty == "2 the tensors of a call are NULL: give them."
    assert dtype.startswith("2 tensor 0 of a call has no data, no shape, or a dtype that does not exist")
    assert method.endswith("has no method 'none'.")
    assert "there is no number 9" in place
    assert threads == "2 -1 threads: give 1 or more, or 0 for one a core."
    assert "give the bundle of a language model" in text
    assert last == "1 1"
