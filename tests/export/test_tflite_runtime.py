"""Programs of builtin operators in tflite-runtime 2.14, which knows nothing of edgekit, against eager fp32."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.devices.profile import load_profile
from edgekit.export.formats import find_format
from edgekit.export.pipeline import export
from edgekit.export.recipes import choose_recipe
from edgekit.models.model import Model, Request
from edgekit.models.zoo import find_model

pytest.importorskip("litert_torch", reason="needs pip install '.[tflite]'")
pytestmark = pytest.mark.slow

VARIABLE = "EDGEKIT_TFLITE_RUNTIME_PYTHON"
FORM = find_format("tflite", "builtin", "tflite-runtime-2.14")
#: PROGRAM INPUTS.npz OUTPUTS.npz: calls with inputs "CALL.PLACE"; what a call gives after its first output is what the
#: next one takes after its own inputs.
RUN = """
import sys, numpy
from tflite_runtime.interpreter import Interpreter
program, inputs, outputs = sys.argv[1:]
run = Interpreter(program, num_threads=1).get_signature_runner()
given, states, found = numpy.load(inputs), [], {}
calls = 1 + max(int(name.split(".")[0]) for name in given)
for call in range(calls):
    own = [given[f"{call}.{place}"] for place in range(sum(name.startswith(f"{call}.") for name in given))]
    answer = run(**{f"args_{place}": value for place, value in enumerate([*own, *states])})
    ordered = [answer[f"output_{place}"] for place in range(len(answer))]
    found[str(call)], states = ordered[0], ordered[1:]
numpy.savez(outputs, **found)
"""


def _run(program: Path, calls: Sequence[Sequence[np.ndarray]], folder: Path) -> list[np.ndarray]:
    python = os.environ.get(VARIABLE)
    if python is None:
        pytest.skip(
            f'needs tflite-runtime 2.14: python -m venv FOLDER && FOLDER/bin/pip install "numpy<2" '
            f"tflite-runtime==2.14.0, and {VARIABLE}=FOLDER/bin/python"
        )
    inputs, outputs = folder / "inputs.npz", folder / "outputs.npz"
    arrays = {f"{call}.{place}": array for call, given in enumerate(calls) for place, array in enumerate(given)}
    np.savez(inputs, **arrays)
    command = [python, "-c", RUN, program, inputs, outputs]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(outputs) as found:
        return [found[str(call)] for call in range(len(calls))]


def _program(model: Model, recipe: str, folder: Path) -> Path:
    device = load_profile("linux-x86_64")
    chosen = choose_recipe(recipe, recipe, model)
    bundle = export(model, device, chosen, folder / "bundle", native=False, allow_drop=True, extent=2, form=FORM)
    return bundle.path / bundle.program.file


@pytest.mark.parametrize("checkpoint", ["sea", "dense"])
def test_a_language_model_chooses_tokens_by_builtin_operators(text_checkpoints, tmp_path, checkpoint) -> None:
    model = find_model("sea-opt").load(Request(checkpoint=text_checkpoints / f"{checkpoint}.safetensors"))
    model = model.in_form(FORM.state_form)
    program = _program(model, "fp32", tmp_path)
    tokens = model._tokens(40)  # type: ignore[attr-defined]
    states = [np.zeros(spec.shape, spec.dtype) for spec in model.methods()[0].states]
    calls = [
        [
            np.array([token], np.int32),
            np.array(place, np.int32),
            np.array([0], np.int32),
            *(states if place == 0 else []),
        ]
        for place, token in enumerate(tokens.tolist())
    ]
    found = np.concatenate(_run(program, calls, tmp_path))
    with torch.no_grad():
        expected = model.reference(tokens[None])[0].numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.ptp(expected)


@pytest.mark.parametrize(("recipe", "most"), [("fp32", 1e-4), ("fp16", 0.01), ("int8", 0.3)])
@pytest.mark.parametrize("name", ["stackvae-g", "rpcanet"])
def test_other_models(tmp_path, name, recipe, most) -> None:
    model = find_model(name).load(Request(sizes=((64, 64),) if name == "rpcanet" else ()))
    program = _program(model, recipe, tmp_path)
    method = model.methods()[0]
    inputs = model.verification(method, 2)
    found = np.stack(_run(program, [[tensor.numpy() for tensor in given] for given in inputs], tmp_path))
    with torch.no_grad():
        expected = torch.stack([model.reference(*given) for given in inputs]).numpy()
    assert np.abs(found - expected).max() < most * np.ptp(expected)
