"""A `.tflite` program that calls every operator and hands its states on, in every runtime that takes it: the stock
interpreter, tflite-runtime 2.14, and a C++ program on LiteRT's C interface, here and on an emulated arm64 machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekit.kernels import ops, reference, stateless
from edgekit.kernels.native import library_path
from edgekit.kernels.sea import SeaState, SeaWeights, random_weights

from .. import machines
from ..machines import OperatorError
from ..runtime.litert_bundles import convert
from .test_csr_matmul import matrix

pytest.importorskip("litert_torch", reason="edgekit[tflite] is not installed")

HEADS, ROWS, SIZE, FEATURES, CELLS, CAPACITY, BUDGET = 2, 2, 16, 8, 32, 600, 4
#: Where each call's rows go.
POSITIONS = (0, 2, 4, 598)
#: The image, as often as it takes for a convolution of it to be worth several threads.
TILES = (1, 1, 32, 8)
CODES = [
    "edgekit.conv2d?activation=0.1&padding=1,1",
    "edgekit.conv2d?activation=1.0&padding=0,0",
    "edgekit.csr_matmul",
    "edgekit.kv_append",
    "edgekit.sea_estimate",
    "edgekit.sparse_topk?k=5&sorted=true",
    "edgekit.sparse_topk?k=7&sorted=false",
    "edgekit.sparse_topk_attention?k_budget=4",
]
WEIGHTS = random_weights(HEADS, SIZE, FEATURES, CELLS, CAPACITY)
DTYPES = (torch.float32, torch.float16, torch.int8)
#: An interpreter of Python with tflite-runtime 2.14, which needs a NumPy of before 2.
TFLITE_RUNTIME = "EDGEKIT_TFLITE_RUNTIME_PYTHON"


class EveryOperator(nn.Module):
    """An attention layer over an image's rows; takes an image, a position and the states, gives answers and states."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for name, tensor in {
            "weight": torch.randn(3 * HEADS, 3, 3, 3, generator=generator) / 5,
            "bias": torch.randn(3 * HEADS, generator=generator),
            **dict(zip(("crow", "col", "val"), matrix(CELLS, CELLS, 0.4, generator), strict=True)),
            **WEIGHTS._asdict(),
        }.items():
            self.register_buffer(name, tensor)

    def forward(self, image: Tensor, position: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        maps = ops.conv2d(image, self.weight, self.bias, (1, 1), 0.1)
        q, k, v = (part.clone() for part in maps.view(3, HEADS, ROWS, SIZE).unbind(0))
        caches = stateless.kv_append(k, v, position, *states[:-5])
        weights = SeaWeights(*(getattr(self, name) for name in SeaWeights._fields))
        scores, gates, v_mean, state = stateless.sea_estimate(q, k, v, position, weights, SeaState(*states[-5:]))
        columns = scores.transpose(1, 2).contiguous()
        mixed = ops.csr_matmul(self.crow, self.col, self.val, columns).transpose(1, 2).contiguous()
        out = stateless.sparse_topk_attention(
            q / SIZE**0.5, *caches[:2], mixed, gates, v_mean, position, BUDGET, *caches[2:]
        )
        large = ops.conv2d(image.tile(TILES), self.weight, self.bias, (0, 0), 1.0)
        return (*ops.sparse_topk(out + v_mean, 5), *ops.sparse_topk(out, 7, False), out, large, *caches, *state)


def zeros(dtype: torch.dtype) -> list[Tensor]:
    caches = [torch.zeros(HEADS, CAPACITY, SIZE, dtype=dtype) for _ in "kv"]
    scales = [torch.zeros(HEADS, CAPACITY) for _ in "kv"] if dtype == torch.int8 else []
    return [*caches, *scales, *SeaState.zeros(HEADS, SIZE, FEATURES, CELLS // 4)]


def image(call: int) -> Tensor:
    return torch.randn(1, 3, ROWS, SIZE, generator=torch.Generator().manual_seed(call))


def eager(module: EveryOperator, position: int, pixels: Tensor, states: list[Tensor]) -> list[Tensor]:
    """The same layer by the operators' references; changes the states. All tokens in sight, for a cache of gaps."""
    maps = reference.conv2d(pixels, module.weight, module.bias, (1, 1), 0.1)
    q, k, v = (part.clone() for part in maps.view(3, HEADS, ROWS, SIZE).unbind(0))
    reference.kv_append(k, v, position, *states[:-5])
    scores, gates, v_mean = reference.sea_estimate(q, k, v, position, list(WEIGHTS), *states[-5:])
    mixed = reference.csr_matmul(module.crow, module.col, module.val, scores.transpose(1, 2).contiguous())
    mixed = mixed.transpose(1, 2).contiguous()
    out = reference.sparse_topk_attention(
        q / SIZE**0.5, *states[:2], mixed, gates, v_mean, position, BUDGET, *states[2:-5]
    )
    large = reference.conv2d(pixels.tile(TILES), module.weight, module.bias, (0, 0), 1.0)
    return [*reference.sparse_topk(out + v_mean, 5), *reference.sparse_topk(out, 7, False), out, large]


#: Runs one call: the inputs in, all outputs back.
Run = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


def check_calls(run: Run, dtype: torch.dtype) -> None:
    """Calls in a row, each with the states that the last one gave, against eager torch with its own."""
    module, states, expected = EveryOperator(), [tensor.numpy() for tensor in zeros(dtype)], zeros(dtype)
    for call, position in enumerate(POSITIONS):
        found = run([image(call).numpy(), np.array(position, np.int32), *states])
        answers = eager(module, position, image(call), expected)
        states = found[len(answers) :]
        for array, wanted in zip(found, [*answers, *expected], strict=True):
            assert array.dtype == (np.int32 if wanted.dtype == torch.int64 else wanted.numpy().dtype)
            assert array.shape == wanted.shape
            np.testing.assert_allclose(array, wanted.numpy(), atol=2e-5, rtol=2e-5)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[torch.dtype], Path]:
    """The program's file, by what the caches hold."""
    folder, made = tmp_path_factory.mktemp("tflite"), {}

    def make(dtype: torch.dtype) -> Path:
        if dtype not in made:
            made[dtype] = folder / f"{str(dtype).removeprefix('torch.')}.tflite"
            inputs = (image(0), torch.tensor(0), *zeros(dtype))
            made[dtype].write_bytes(convert({"step": (EveryOperator(), inputs)}))
        return made[dtype]

    return make


def test_what_the_program_calls(program: Callable[[torch.dtype], Path]) -> None:
    from edgekit.export.tflite_file import custom_codes

    assert custom_codes(program(torch.float32).read_bytes()) == CODES


def interpreter(path: Path, options: dict[str, str] | None = None, threads: int | None = None) -> Run:
    """The stock interpreter with the delegate."""
    from ai_edge_litert.interpreter import Interpreter, load_delegate

    delegate = load_delegate(str(library_path("litert")), options or {})
    loaded = Interpreter(str(path), experimental_delegates=[delegate], num_threads=threads)
    runner = loaded.get_signature_runner("step")

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        outputs = runner(**{f"args_{place}": array for place, array in enumerate(inputs)})
        return [np.array(outputs[f"output_{place}"]) for place in range(len(outputs))]

    return run


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_the_stock_interpreter(program: Callable[[torch.dtype], Path], dtype: torch.dtype) -> None:
    check_calls(interpreter(program(dtype)), dtype)


@pytest.mark.parametrize(("options", "threads"), [({"threads": "3"}, None), ({}, 2)])
def test_threads_of_the_delegate(
    program: Callable[[torch.dtype], Path], options: dict[str, str], threads: int | None
) -> None:
    check_calls(interpreter(program(torch.float32), options, threads), torch.float32)


def test_what_the_delegate_refuses(program: Callable[[torch.dtype], Path], tmp_path: Path) -> None:
    path = program(torch.float32)
    for options, says in (
        ({"threads": "none"}, "edgekit: threads is 'none': give 1 or more"),
        ({"cores": "2"}, "edgekit: there is no option 'cores': it is threads"),
    ):
        with pytest.raises(ValueError, match=says):
            interpreter(path, options)
    for name, says in (
        (b"edgekit.csr_matmux", "this edgekit has no operator edgekit.csr_matmux: take the libedgekit_litert.so of"),
        (b"edgekit.sparse_topk?x=5", r"edgekit.sparse_topk\?x=5&sorted=true lacks the attribute k: export the program"),
        (b"edgekit.sparse_topk?k=?", r"edgekit.sparse_topk\?k=\?&sorted=true: k is '\?', it must be a whole number"),
        (b"edgekit.sparse_topk?k&5", r"edgekit.sparse_topk\?k&5&sorted=true: 'k' is no attribute"),
    ):
        other = tmp_path / "other.tflite"
        known = next(code for code in (CODES[2], CODES[5][: len(name)]) if len(code) == len(name)).encode()
        other.write_bytes(path.read_bytes().replace(known, name))
        with pytest.raises(RuntimeError, match=says):
            interpreter(other)
    run = interpreter(path)
    inputs = [image(0).numpy(), np.array(CAPACITY - 1, np.int32), *(tensor.numpy() for tensor in zeros(torch.float32))]
    with pytest.raises(RuntimeError, match="kv_append: start_pos is 599 and there are 2 rows"):
        run(inputs)


#: Runs calls in another Python: LIBRARY PROGRAM INPUTS.npz OUTPUTS.npz, by the delegate or by registered operators.
IN_TFLITE_RUNTIME = """
import ctypes, sys, numpy, tflite_runtime
from tflite_runtime.interpreter import Interpreter, InterpreterWithCustomOps, load_delegate
way, library, program, inputs, outputs = sys.argv[1:]
if way == "delegate":
    loaded = Interpreter(program, experimental_delegates=[load_delegate(library)])
else:
    own = tflite_runtime.__path__[0] + "/_pywrap_tensorflow_interpreter_wrapper.so"
    ctypes.CDLL(own, mode=ctypes.RTLD_GLOBAL)
    edgekit = ctypes.CDLL(library)
    edgekit.edgekit_litert_register.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    edgekit.edgekit_litert_last_error.restype = ctypes.c_char_p
    def register(resolver):
        if edgekit.edgekit_litert_register(resolver, program.encode()):
            sys.exit(edgekit.edgekit_litert_last_error().decode())
    loaded = InterpreterWithCustomOps(custom_op_registerers=[register], model_path=program, num_threads=2)
run = loaded.get_signature_runner()
given = numpy.load(inputs)
found = run(**{name: given[name] for name in given})
numpy.savez(outputs, **found)
"""


@pytest.mark.parametrize("way", ["delegate", "registered"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_in_tflite_runtime(
    program: Callable[[torch.dtype], Path], dtype: torch.dtype, way: str, tmp_path: Path
) -> None:
    python = os.environ.get(TFLITE_RUNTIME)
    if python is None:
        pytest.skip(
            f'needs tflite-runtime 2.14: python -m venv FOLDER && FOLDER/bin/pip install "numpy<2" '
            f"tflite-runtime==2.14.0, and {TFLITE_RUNTIME}=FOLDER/bin/python"
        )

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        given, found = tmp_path / "inputs.npz", tmp_path / "outputs.npz"
        np.savez(given, **{f"args_{place}": array for place, array in enumerate(inputs)})
        command = [python, "-c", IN_TFLITE_RUNTIME, way, library_path("litert"), program(dtype), given, found]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with np.load(found) as outputs:
            return [outputs[f"output_{place}"] for place in range(len(outputs))]

    check_calls(run, dtype)


def test_a_runtime_that_takes_no_registrations() -> None:
    code = (
        f"import ctypes\nlibrary = ctypes.CDLL({str(library_path('litert'))!r})\n"
        "library.edgekit_litert_last_error.restype = ctypes.c_char_p\n"
        "assert library.edgekit_litert_register(None, b'program.tflite') == -1\n"
        "print(library.edgekit_litert_last_error().decode())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "does not export tflite::MutableOpResolver::AddCustom" in done.stdout


MACHINES = [
    *(("host", None, threads) for threads in (0, 1, 3)),
    ("sanitized", None, 2),
    ("thread_checked", None, 3),
    *(("arm64", cpu, 2) for cpu in machines.ARM64_CPUS),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cpu", "threads"), MACHINES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_in_a_cpp_program(
    built: Callable[[str], machines.Machine],
    program: Callable[[torch.dtype], Path],
    name: str,
    cpu: str | None,
    threads: int,
    dtype: torch.dtype,
) -> None:
    """On LiteRT's C interface, the states changed where they lie: what a run does not change is read-only then."""
    machine, library = built(name), litert_library("aarch64" if cpu else "x86_64")
    machine = machine.on(cpu) if cpu else machine
    states = len(zeros(dtype))

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        outputs = machine.tflite(library, program(dtype), *inputs, threads=threads, states=states)
        module = EveryOperator()
        given = [torch.from_numpy(np.array(array)) for array in inputs]
        like = [tensor.int() if tensor.dtype == torch.int64 else tensor for tensor in module(*given)]
        return [
            np.frombuffer(data, tensor.numpy().dtype).reshape(tensor.shape)
            for data, tensor in zip(outputs, like, strict=True)
        ]

    check_calls(run, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["host", "arm64"])
def test_a_cpp_program_is_told_what_is_wrong(
    built: Callable[[str], machines.Machine], program: Callable[[torch.dtype], Path], name: str, tmp_path: Path
) -> None:
    machine, library = built(name), litert_library("aarch64" if name == "arm64" else "x86_64")
    path, states = program(torch.float32), [tensor.numpy() for tensor in zeros(torch.float32)]
    with pytest.raises(OperatorError, match="kv_append: start_pos is 599 and there are 2 rows"):
        machine.tflite(library, path, image(0).numpy(), np.array(599, np.int32), *states, states=len(states))
    other = tmp_path / "other.tflite"
    other.write_bytes(path.read_bytes().replace(b"edgekit.csr_matmul", b"edgekit.csr_matmux"))
    with pytest.raises(OperatorError, match=r"this edgekit has no operator edgekit\.csr_matmux"):
        machine.tflite(library, other, image(0).numpy(), np.array(0, np.int32), *states)


def litert_library(architecture: str) -> Path:
    """LiteRT's library, from the installed package or, for another architecture, its wheel."""
    from edgekit.errors import EdgekitError
    from edgekit.export.runtime_files import runtime_files

    try:
        (found,) = runtime_files("tflite", architecture).values()
    except EdgekitError as error:
        pytest.skip(str(error))
    return found
