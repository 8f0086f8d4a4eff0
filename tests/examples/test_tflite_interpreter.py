"""The example that runs a language model's `.tflite` in the stock interpreter writes what a session writes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from edgekit_runtime import Session
from edgekit_runtime.generate import Generation, TextGenerator

pytest.importorskip("litert_torch", reason="needs pip install '.[tflite]'")

EXAMPLE = Path(__file__).parents[2] / "examples" / "tflite_interpreter.py"


@pytest.mark.slow
def test_it_writes_what_a_session_writes(cli, text_checkpoints, tmp_path) -> None:
    checkpoint = text_checkpoints / "sea.safetensors"
    words = ("--device", "linux-x86_64", "--format", "tflite", "--recipe", "fp32", "-o", tmp_path, "-q")
    assert cli("export", "sea-opt", "--checkpoint", checkpoint, *words).code == 0
    (bundle,) = tmp_path.iterdir()
    if not (bundle / "lib" / "libedgekit_litert.so").is_file():
        pytest.skip("the libraries that are built here are for a newer system than the profile's")
    spec = importlib.util.spec_from_file_location("tflite_interpreter", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    prompt = "the red cat"
    pieces = TextGenerator(Session(bundle)).generate(prompt, max_tokens=12, went=Generation())
    # A session holds back the bytes of a character that is not whole yet.
    assert example.generate(bundle, prompt, 12).rstrip("\ufffd") == prompt + "".join(pieces)
