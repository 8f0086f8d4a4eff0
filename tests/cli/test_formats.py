"""`--format` on the command line: one command for three bundles, which every other command takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekit.bundle import Bundle

pytest.importorskip("litert_torch", reason="needs pip install '.[tflite]'")
pytest.importorskip("onnxscript", reason="needs pip install '.[onnx]'")

NAME = "stackvae-g-linux-x86_64-fp32"
FORMATS = {"pte": NAME, "tflite": f"{NAME}-tflite", "onnx": f"{NAME}-onnx"}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """Bundles of three formats, and what the export said."""
    from edgekit.cli.main import run

    folder = tmp_path_factory.mktemp("three")
    words = [word for name in FORMATS for word in ("--format", name)]
    arguments = ["export", "stackvae-g", "--device", "linux-x86_64", "--recipe", "fp32", "--no-native", "-q", "--json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EDGEKIT_DATA", raising=False)
        said: list[str] = []
        patch.setattr("edgekit.report.print_json", lambda value: said.append(json.dumps(value)))
        assert run([*arguments, *words, "-o", str(folder)]) == 0
    return folder, json.loads(said[0])


@pytest.mark.slow
def test_one_command_makes_a_bundle_of_each(three) -> None:
    folder, said = three
    assert sorted(path.name for path in folder.iterdir()) == sorted(FORMATS.values())
    assert [row["format"] for row in said["bundles"]] == list(FORMATS)
    assert len(said["differences"]) == 6
    for name, bundle in FORMATS.items():
        (program,) = Bundle.open(folder / bundle).manifest["programs"]
        assert (program["format"], program["file"], program["processor"]) == (name, f"program.{name}", "cpu")


@pytest.mark.slow
def test_verify_compares_them(cli, three) -> None:
    folder, said = three
    paths = [folder / name for name in FORMATS.values()]
    result = cli("verify", *paths, "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert sorted(found["bundles"]) == sorted(FORMATS.values())
    assert found["differences"] == said["differences"]
    assert all(one["relative"] < 1e-4 for one in found["differences"])
    assert "of the range" in cli("verify", *paths).out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tflite", "onnx"])
def test_run_inspect_and_evaluate_take_it(cli, three, tmp_path, name) -> None:
    folder, _ = three
    rows = np.random.default_rng(0).random((120, 38)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    answers = []
    for form in ("pte", name):
        output = tmp_path / f"{form}.json"
        assert cli("run", folder / FORMATS[form], "--input", tmp_path / "rows.npy", "--output", output).code == 0
        answers.append([row["score"] for row in json.loads(output.read_text()) if row["score"] is not None])
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-4)
    said = cli("inspect", folder / FORMATS[name]).out
    assert ("FULLY_CONNECTED" if name == "tflite" else "MatMul") in said or "Gemm" in said
    assert "unknown" in said
    refused = cli("inspect", folder / FORMATS[name], "--memory")
    assert refused.code == 2
    assert "known of .pte alone" in refused.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--format", "onnx", "--memory-budget", "64MB"), "are for --format pte"),
        (("--format", "onnx", "--recipe", "int4"), ".onnx refuses int4"),
        (("--operators", "builtin"), "name it too"),
        (("--format", "onnx", "--interpreter", "tflite-runtime-2.14"), "--interpreter is for --format tflite"),
        (
            ("--format", "tflite", "--interpreter", "tflite-runtime-2.14", "--recipe", "int8-dynamic"),
            "wrong, without a word",
        ),
        (("--format", "tflite", "--recipe", "int8", "--observer", "histogram"), "moving average of extremes"),
    ],
    ids=["a budget", "int4 in onnx", "operators alone", "interpreter of onnx", "an old interpreter", "an observer"],
)
def test_what_does_not_go_together_is_a_usage_error(cli, tmp_path, words, said) -> None:
    result = cli("export", "stackvae-g", "--device", "linux-x86_64", "-o", tmp_path / "out", "-q", *words)
    assert result.code == 2
    assert said in result.err
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_a_device_that_does_not_take_the_format(cli, tmp_path) -> None:
    result = cli("export", "stackvae-g", "--device", "android-arm64", "--format", "onnx", "-o", tmp_path)
    assert result.code == 2
    assert "android-arm64 takes pte, tflite, not onnx: choose another --format." in result.err
