"""Sessions of ONNX programs, against ONNX Runtime's own Python package: answers, states, what does not fit, and what
runs a program. TensorRT and CUDA are there in name only: see onnxruntime_providers.cpp."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("onnxscript", reason="edgekit[onnx] is not installed")
import onnxruntime

import edgekit_runtime
from edgekit.bundle import seal
from edgekit.devices.profile import load_profile
from edgekit.export.capture import capture
from edgekit.export.onnx import lower
from edgekit.models.model import Method
from edgekit_runtime import EdgekitError, Session, set_threads
from edgekit_runtime.tensors import MethodSpec, TensorSpec

from .traced import check_events

LINUX = load_profile("linux-x86_64")
RUNNERS = [Path(folder, "bin/edgekit-run") for folder in edgekit_runtime.__path__]
RUNNER = next((path for path in RUNNERS if path.exists()), None)
(LIBRARY,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")


def write(folder: Path, methods: list[Method], **program: Any) -> Path:
    """A bundle of methods that bring their modules, without what export adds."""
    lowered = lower(capture(nn.Identity(), methods), methods, LINUX)
    folder.mkdir(parents=True)
    for name, content in lowered.files.items():
        (folder / name).write_bytes(content)
    states = {spec.name: spec for method in methods for spec in method.states}
    entries = [
        method.spec.to_dict()
        | {"states": [spec.name for spec in method.states], "file": lowered.method_files[method.spec.name]}
        for method in methods
    ]
    entry = {
        "file": next(iter(lowered.files)),
        "format": "onnx",
        "methods": entries,
        "operators": list(lowered.operators),
        "delegates": [],
        "states": [{"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)} for spec in states.values()],
        "states_in_place": False,
    }
    fields = {
        "accuracy": {},
        "device": LINUX.name,
        "model": {"name": folder.name},
        "recipe": "fp32",
        "seed": 0,
        "minimum_runtime": {"onnxruntime": lowered.minimum_runtime},
        "numbers": {"weights": "float32", "activations": "float32"},
        "memory": {"state": sum(spec.nbytes for spec in states.values())},
        "pipeline": {"name": "tensors"},
        "programs": [entry | program],
        "tools": {},
    }
    seal(folder, fields)
    return folder


class Net(nn.Module):
    """Layers whose weights are large enough to lie in a file of their own; numbers of several types."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 32, 7, padding=3)
        self.words = nn.Embedding(60, 32)

    def forward(self, image: torch.Tensor, word: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        scores = torch.relu(self.body(image)).mean(dim=(2, 3)) + self.words(word)
        return scores, scores.argmax(-1), scores > 0


def net_method(net: nn.Module, name: str, batch: int) -> Method:
    inputs = TensorSpec("image", (batch, 1, 12, 10), "float32"), TensorSpec("word", (batch,), "int64")
    outputs = (
        TensorSpec("scores", (batch, 32), "float32"),
        TensorSpec("best", (batch,), "int64"),
        TensorSpec("above", (batch, 32), "bool"),
    )
    samples = torch.rand(batch, 1, 12, 10), torch.arange(batch)
    return Method(MethodSpec(name, inputs, outputs), samples, net)


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def bundle(net, tmp_path_factory) -> Path:
    methods = [net_method(net, "one", 1), net_method(net, "four", 4)]
    return write(tmp_path_factory.mktemp("onnx") / "net", methods, providers=["tensorrt", "cuda", "cpu"])


@pytest.mark.parametrize(("name", "batch"), [("one", 1), ("four", 4)])
def test_answers(net, bundle, name, batch):
    rng = np.random.default_rng(batch)
    image, word = rng.random((batch, 1, 12, 10), np.float32), rng.integers(0, 60, batch)
    found = Session(bundle).run(image, word, method=name)
    theirs = onnxruntime.InferenceSession(bundle / f"program-{name}.onnx").run(None, {"image": image, "word": word})
    for ours, other, eager in zip(found, theirs, net(torch.from_numpy(image), torch.from_numpy(word)), strict=True):
        assert ours.dtype == other.dtype
        np.testing.assert_array_equal(ours, other)
        np.testing.assert_allclose(ours, eager.numpy(), rtol=1e-5, atol=1e-6)


def test_methods_share_a_file_of_weights(bundle):
    memory = Session(bundle).memory()
    assert (bundle / "program.weights").stat().st_size > 4096
    assert memory.program == sum(
        (bundle / name).stat().st_size for name in os.listdir(bundle) if name != "manifest.json"
    )


def test_threads_change_while_it_is_loaded(net, bundle):
    session = Session(bundle)
    inputs = np.ones((1, 1, 12, 10), np.float32), np.array([3])
    first = session.run(*inputs)
    try:
        set_threads(1)
        np.testing.assert_allclose(session.run(*inputs)[0], first[0], rtol=1e-6)
    finally:
        set_threads(0)


class Walk(nn.Module):
    """A walk of whole numbers and a row of the latest; `reset_walk` knows the walk only."""

    def forward(self, step: torch.Tensor, walk: torch.Tensor, latest: torch.Tensor) -> tuple[torch.Tensor, ...]:
        walk = walk + step
        latest = torch.cat((latest[1:], step.float()[None]))
        return walk * 2, latest, walk


class ResetWalk(nn.Module):
    def forward(self, walk: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return walk.sum(), torch.zeros_like(walk)


@pytest.fixture(scope="module")
def walk_bundle(tmp_path_factory) -> Path:
    walk, latest = TensorSpec("walk", (3,), "int64"), TensorSpec("latest", (2, 3), "float32")
    step = TensorSpec("step", (3,), "int64")

    class Ordered(Walk):
        def forward(self, step: torch.Tensor, latest: torch.Tensor, walk: torch.Tensor) -> tuple[torch.Tensor, ...]:
            twice, latest, walk = super().forward(step, walk, latest)
            return twice, latest, walk

    spec = MethodSpec("walk", (step,), (TensorSpec("twice", (3,), "int64"),))
    reset = MethodSpec("reset_walk", (), (TensorSpec("total", (), "int64"),))
    methods = [
        Method(spec, (torch.zeros(3, dtype=torch.int64),), Ordered(), None, (latest, walk)),
        Method(reset, (), ResetWalk(), None, (walk,)),
    ]
    return write(tmp_path_factory.mktemp("walk") / "walk", methods)


def state_of(session: Session) -> tuple[np.ndarray, np.ndarray]:
    """`latest` and `walk`, each at a multiple of 64 bytes."""
    state = session.save_state()
    assert len(state) == 128
    return np.frombuffer(state[:24], np.float32).reshape(2, 3), np.frombuffer(state[64:88], np.int64)


def test_states(walk_bundle):
    session = Session(walk_bundle)
    steps = np.array([[1, 2, 3], [10, 20, 30], [100, 200, 300]])
    for count in range(3):
        (twice,) = session.run(steps[count], method="walk")
        np.testing.assert_array_equal(twice, 2 * steps[: count + 1].sum(0))
    latest, walk = state_of(session)
    np.testing.assert_array_equal(walk, [111, 222, 333])
    np.testing.assert_array_equal(latest, steps[1:])

    # A method that knows one state leaves the other as it was, whichever block that lies in.
    (total,) = session.run(method="reset_walk")
    assert total == 666
    latest, walk = state_of(session)
    np.testing.assert_array_equal(latest, steps[1:])
    assert not walk.any()

    saved = session.save_state()
    session.use_state("other")
    assert not any(part.any() for part in state_of(session))
    session.run(steps[0], method="walk")
    session.use_state("default")
    assert session.save_state() == saved
    session.run(steps[0], method="walk")
    session.restore_state(saved)
    np.testing.assert_array_equal(session.run(steps[0], method="walk")[0], 2 * steps[0])
    session.reset_state()
    assert not any(part.any() for part in state_of(session))


def test_rows_that_are_not_known_before(tmp_path):
    class Largest(nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return rows.cumsum(0) * 2

    rows = TensorSpec("rows", (5, 2), "float32", dynamic=True)
    spec = MethodSpec("run", (rows,), (replace(rows, name="sums"),))
    session = Session(write(tmp_path / "rows", [Method(spec, (torch.rand(5, 2),), Largest())]))
    for count in (5, 1, 3):
        given = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
        np.testing.assert_array_equal(session.run(given)[0], 2 * given.cumsum(0))


class Sums(nn.Module):
    """The sum of all rows so far, beside a state that never changes."""

    def forward(self, row: torch.Tensor, total: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        total = total + row
        return total * (weights + 1), total, weights


@pytest.fixture(scope="module")
def sums_bundle(tmp_path_factory) -> Path:
    row, sums = TensorSpec("row", (37,), "float32"), TensorSpec("sums", (37,), "float32")
    states = TensorSpec("total", (37,), "float32"), TensorSpec("weights", (37,), "float32")
    method = Method(MethodSpec("add", (row,), (sums,)), (torch.zeros(37),), Sums(), None, states)
    return write(tmp_path_factory.mktemp("sums") / "sums", [method])


@pytest.mark.slow
def test_under_sanitizers(built, sums_bundle, monkeypatch):
    """Not ThreadSanitizer, which takes what it does not see of ONNX Runtime's own threads for races."""
    monkeypatch.setenv("EDGEKIT_ONNXRUNTIME", str(LIBRARY))
    rows = list(np.random.default_rng(0).random((5, 37), np.float32))
    answers = [
        np.frombuffer(answer, np.float32) for answer in built("sanitized").session("beside", [sums_bundle], *rows)
    ]
    assert len(answers) == 4 * 2 * len(rows)
    for index, answer in enumerate(answers):
        np.testing.assert_allclose(answer, np.sum(rows[: index % len(rows) + 1], axis=0), rtol=1e-6)
    assert len(built("sanitized").session("pool", [sums_bundle], rows[0])) == 5
    *answers, first, second, third = built("sanitized").session("trace", [sums_bundle], rows[0])
    for index, answer in enumerate(answers):
        np.testing.assert_allclose(np.frombuffer(answer, np.float32), (index + 1) * rows[0], rtol=1e-6)
    assert len(answers) == 6
    assert first.count(b"Add") > 0
    assert first == second == third


@pytest.mark.slow
def test_the_same_mask_of_an_infrared_image(data_root, tmp_path):
    """RPCANet++ with three stages at its own size; random weights, as none of that size ships."""
    from edgekit.models.model import Request
    from edgekit.models.zoo import find_model
    from edgekit_runtime.images import read_gray, resize_linear

    from ..conftest import _rpcanet

    model = find_model("rpcanet").load(Request(checkpoint=_rpcanet(tmp_path / "s3.safetensors", (3, True, 32, 17))))
    (method,) = model.methods()
    session = Session(write(tmp_path / "s3", [replace(method, module=model.device_module)]))
    name = (data_root / "sirst" / "test.txt").read_text().split()[0]
    (path,) = (data_root / "sirst" / "images").glob(f"{name}.*")
    image = resize_linear(read_gray(path), (256, 256))[None, None]
    (logits,) = session.run(image)
    with torch.no_grad():
        eager = model.reference(torch.from_numpy(image)).numpy()
    assert 0 < (eager > 0).sum() < eager.size
    np.testing.assert_array_equal(logits > 0, eager > 0)
    assert np.abs(logits - eager).max() < 1e-5 * np.ptp(eager)


def change(part: Callable[[dict[str, Any]], object]) -> Callable[[Path, dict[str, Any]], None]:
    return lambda folder, fields: part(fields)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            change(lambda fields: fields["programs"][0]["methods"][0]["inputs"][1].update(dtype="int32")),
            "has another method 'one' than its manifest says: export it again.",
        ),
        (
            change(lambda fields: fields["programs"][0]["methods"][0]["outputs"][0].update(shape=[2, 32])),
            "has another method 'one' than its manifest says: export it again.",
        ),
        (
            lambda folder, fields: (folder / "program-one.onnx").write_bytes(b"\x08\x08nothing"),
            "program-one.onnx cannot be loaded by ONNX Runtime",
        ),
        (
            change(lambda fields: fields["minimum_runtime"].update(onnxruntime="99.1")),
            "needs ONNX Runtime 99.1 or newer,",
        ),
        (change(lambda fields: fields["programs"][0].update(providers=["npu"])), "is to be run by 'npu', which this"),
        (change(lambda fields: fields["programs"][0].update(providers=["cuda"])), "needs CUDA, which "),
    ],
    ids=["type", "shape", "damaged", "old", "unknown", "needed"],
)
def test_what_does_not_fit(bundle, resealed, changes, said):
    with pytest.raises(EdgekitError) as caught:
        Session(resealed(bundle, changes)).load("one")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.fixture(scope="module")
def providers(tmp_path_factory) -> Path:
    """An ONNX Runtime that offers TensorRT and CUDA."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None or RUNNER is None:
        pytest.skip("needs a C++ compiler and the runner")
    library = tmp_path_factory.mktemp("providers") / "libonnxruntime.so.1"
    source = Path(__file__).with_name("onnxruntime_providers.cpp")
    command = [compiler, "-std=c++17", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", source, "-o", library]
    subprocess.run([*command, "-ldl"], check=True)
    return library


@pytest.fixture
def run(providers, tmp_path) -> Callable[..., tuple[subprocess.CompletedProcess[str], list[str]]]:
    """The runner on a bundle with that library; gives what it printed, and the calls that the library got."""

    def call(bundle: Path, *options: str, **environment: str):
        calls = tmp_path / "calls"
        calls.write_text("")
        places = {"EDGEKIT_ONNXRUNTIME": providers, "REAL_ONNXRUNTIME": LIBRARY, "CALLS": calls}
        variables = {name: str(path) for name, path in places.items()} | {"EDGEKIT_CACHE": str(tmp_path / "cache")}
        command = [str(RUNNER), str(bundle), "--bench", "1", "--json", "--method", "one", *options]
        done = subprocess.run(command, env=variables | environment, capture_output=True, text=True, check=False)
        return done, calls.read_text().splitlines()

    return call


def logged(done: subprocess.CompletedProcess[str], level: str) -> list[str]:
    return [line.removeprefix(f"{level}: ") for line in done.stderr.splitlines() if line.startswith(f"{level}: ")]


def test_tensorrt_before_cuda_before_the_cpu(bundle, run, tmp_path):
    before = {path: path.read_bytes() for path in bundle.iterdir()}
    done, calls = run(bundle, "-v")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "cache" / "tensorrt").iterdir()
    assert calls == [
        "options session.intra_op.allow_spinning=0",
        "tensorrt trt_fp16_enable=0",
        "tensorrt trt_int8_enable=0",
        "tensorrt trt_engine_cache_enable=1",
        f"tensorrt trt_engine_cache_path={folder}",
        "tensorrt appended",
        "cuda use_tf32=0",
        "cuda appended",
        "session",
    ]
    (told,) = [line for line in logged(done, "info") if "TensorRT" in line]
    assert told.startswith("TensorRT built the engine of method 'one' in ")
    assert f"MB; it lies in {folder}." in told
    assert logged(done, "warning") == []
    assert [line for line in logged(run(bundle, "-v")[0], "info") if line.startswith("TensorRT loaded the engine")]
    assert {path: path.read_bytes() for path in bundle.iterdir()} == before


@pytest.mark.parametrize(
    ("numbers", "fp16", "int8"),
    [
        ({"weights": "float16", "activations": "float32"}, 1, 0),
        ({"weights": "int8", "activations": "int8"}, 0, 1),
    ],
)
def test_tensorrt_is_told_of_the_numbers(bundle, resealed, run, numbers, fp16, int8):
    _, calls = run(resealed(bundle, change(lambda fields: fields["numbers"].update(numbers))))
    assert calls[1:3] == [f"tensorrt trt_fp16_enable={fp16}", f"tensorrt trt_int8_enable={int8}"]


def test_without_a_place_for_engines(bundle, run, tmp_path):
    (tmp_path / "file").touch()
    done, calls = run(bundle, "-v", EDGEKIT_CACHE=str(tmp_path / "file"))
    assert done.returncode == 0
    assert "tensorrt trt_engine_cache_enable=0" in calls
    assert not [call for call in calls if "cache_path" in call]
    assert "cannot write" in logged(done, "warning")[0]
    assert "there is no cache folder to keep it in: name one in EDGEKIT_CACHE" in done.stderr


def test_an_engine_of_another_tensorrt_is_built_anew(bundle, run, tmp_path):
    assert run(bundle)[0].returncode == 0
    done, calls = run(bundle, "-v", UPDATED="1")
    assert done.returncode == 0
    (told,) = logged(done, "warning")
    assert told.startswith(f"the engine in {tmp_path / 'cache' / 'tensorrt'}")
    assert told.endswith("cannot be used (the engine is of TensorRT 8): it is built anew.")
    assert calls.count("session") == 2
    assert [line for line in logged(done, "info") if line.startswith("TensorRT built the engine")]


def test_a_provider_that_does_not_start(bundle, resealed, run):
    done, calls = run(bundle, FAIL="tensorrt")
    assert done.returncode == 0
    (told,) = logged(done, "warning")
    assert f"{bundle} is run by CUDA and the CPU, without TensorRT" in told
    assert "(no such device: the driver is not loaded)" in told
    assert calls[-1] == "session"
    needed = resealed(bundle, change(lambda fields: fields["programs"][0].update(providers=["tensorrt"])))
    done, calls = run(needed, FAIL="tensorrt")
    assert done.returncode == 1
    assert "needs TensorRT, which does not start (no such device: the driver is not loaded)" in done.stderr
    assert "session" not in calls


def test_what_is_asked_of_providers_are_the_librarys_own_functions(bundle, run):
    """Theirs stand far behind in its table; a build without them has a sentence in each one's place."""
    done, _ = run(bundle, OFFERS="1")
    assert done.returncode == 0
    for told, provider in zip(logged(done, "warning"), ("TensorRT", "CUDA"), strict=True):
        assert f"cannot start it ({provider} execution provider is not enabled in this build)" in told


def test_where_the_cpu_will_not_do(bundle, resealed, run):
    needed = resealed(bundle, change(lambda fields: fields["programs"][0].update(providers=["tensorrt", "cuda"])))
    _, calls = run(needed)
    assert "options session.disable_cpu_ep_fallback=1" in calls


def test_a_library_without_the_providers_says_what_runs(bundle, run):
    done, _ = run(bundle, EDGEKIT_ONNXRUNTIME=str(LIBRARY))
    assert done.returncode == 0
    (told,) = logged(done, "warning")
    assert told.startswith(f"{bundle} is run by the CPU, without TensorRT, CUDA: {LIBRARY} (ONNX Runtime ")
    assert logged(run(bundle, "-q", EDGEKIT_ONNXRUNTIME=str(LIBRARY))[0], "warning") == []


def test_an_old_library(bundle, run, providers):
    done, _ = run(bundle, OLD="1")
    assert done.returncode == 1
    assert f"{providers} is ONNX Runtime 1.10.0, 1.11 or newer is needed: install a newer one." in done.stderr


def test_no_library(bundle, run, tmp_path):
    done, _ = run(bundle, EDGEKIT_ONNXRUNTIME=str(tmp_path / "nothing.so"))
    assert done.returncode == 1
    assert "ONNX Runtime, which runs this bundle's program, cannot be loaded" in done.stderr
    assert done.stderr.count("\n") == 1


def test_operators_of_a_run(bundle, tmp_path):
    """ONNX Runtime's own Python package is the reference: the same nodes in the same order."""
    if RUNNER is None:
        pytest.skip("needs the runner")
    environment = {"EDGEKIT_ONNXRUNTIME": str(LIBRARY), "TMPDIR": str(tmp_path)}
    command = [str(RUNNER), str(bundle), "--bench", "8", "--operators", "-q", "--json", "--threads", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("edgekit-*")) == []
    cases = json.loads(done.stdout)["cases"]
    assert [case["name"] for case in cases] == ["one", "four"]
    files = {
        entry["name"]: entry["file"]
        for entry in json.loads((bundle / "manifest.json").read_text())["programs"][0]["methods"]
    }
    for case in cases:
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "reference")
        session = onnxruntime.InferenceSession(
            bundle / files[case["method"]], options, providers=["CPUExecutionProvider"]
        )
        kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
        session.run(None, {each.name: np.zeros(each.shape, kinds[each.type]) for each in session.get_inputs()})
        profile = Path(session.end_profiling())
        nodes = [event for event in json.loads(profile.read_text()) if event["name"].endswith("_kernel_time")]
        profile.unlink()
        top = check_events(case)
        assert len(top) > 3
        assert [(event["name"], event["node"], event["index"]) for event in top] == [
            (node["args"]["op_name"], node["name"].removesuffix("_kernel_time"), int(node["args"]["node_index"]))
            for node in sorted(nodes, key=lambda node: node["ts"])
        ]
        assert {event["kind"] for event in top} == {"operator"}


def test_no_room_for_a_profile(bundle, tmp_path):
    if RUNNER is None:
        pytest.skip("needs the runner")
    environment = {"EDGEKIT_ONNXRUNTIME": str(LIBRARY), "TMPDIR": str(tmp_path / "absent")}
    command = [str(RUNNER), str(bundle), "--bench", "1", "--operators", "-q"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "name a folder that can be written in TMPDIR" in done.stderr
