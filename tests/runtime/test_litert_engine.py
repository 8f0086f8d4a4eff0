"""Sessions of `.tflite` programs: states, places of memory, and what is said when something does not fit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import edgekit_runtime
from edgekit.errors import EdgekitError, UsageError
from edgekit.kernels import stateless
from edgekit.kernels.sea import SeaState, SeaWeights, random_weights
from edgekit_runtime import Session

from ..machines import Machine
from . import litert_bundles as made
from .traced import check_events

pytest.importorskip("litert_torch", reason="edgekit[tflite] is not installed")

HEADS, CAPACITY, SIZE, FEATURES, CELLS, BUDGET = 2, 24, 16, 8, 16, 3
STATES = ["k_cache", "v_cache", *SeaState._fields]


class Step(nn.Module):
    """A layer's attention: takes rows, a place and the layer's state, gives the answer and the state."""

    def __init__(self) -> None:
        super().__init__()
        for name, tensor in random_weights(HEADS, SIZE, FEATURES, CELLS, CAPACITY)._asdict().items():
            self.register_buffer(name, tensor)

    def forward(self, q: Tensor, position: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        weights = SeaWeights(*(getattr(self, name) for name in SeaWeights._fields))
        caches = stateless.kv_append(q + 1, q * 0.5, position, *state[:2])
        scores, gates, v_mean, new = stateless.sea_estimate(q, q + 1, q * 0.5, position, weights, SeaState(*state[2:]))
        out = stateless.sparse_topk_attention(q, *caches, scores, gates, v_mean, position, BUDGET)
        return (out + q, *caches, *new)


class Swapped(nn.Module):
    """A state that is no operator of ours: the sum of all rows, and how many there were."""

    def forward(self, row: Tensor, total: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        total = total + row
        return total / (count + 1), total, count + 1


def zeros() -> tuple[Tensor, ...]:
    caches = [torch.zeros(HEADS, CAPACITY, SIZE) for _ in "kv"]
    return (*caches, *SeaState.zeros(HEADS, SIZE, FEATURES, CELLS // 4))


@pytest.fixture(scope="module")
def step() -> Step:
    return Step().eval()


@pytest.fixture(scope="module")
def program(step: Step) -> bytes:
    position = torch.tensor(0)
    rows = {"one": torch.zeros(HEADS, 1, SIZE), "four": torch.zeros(HEADS, 4, SIZE)}
    return made.convert({name: (step, (q, position, *zeros())) for name, q in rows.items()})


@pytest.fixture(scope="module")
def bundle(program: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    methods = [
        made.method(name, {"q": q, "position": torch.tensor(0)}, {"out": q}, STATES)
        for name, q in (("one", torch.zeros(HEADS, 1, SIZE)), ("four", torch.zeros(HEADS, 4, SIZE)))
    ]
    states = [made.end(name, tensor) for name, tensor in zip(STATES, zeros(), strict=True)]
    return made.write_bundle(tmp_path_factory.mktemp("litert") / "step", program, methods, states)


def numbers(seed: int, rows: int) -> Tensor:
    return torch.randn(HEADS, rows, SIZE, generator=torch.Generator().manual_seed(seed))


def follow(session: Session, step: Step, calls: list[int], state: tuple[Tensor, ...], place: int = 0) -> None:
    """Calls with so many rows each give what the module gives, which is handed its own state on."""
    for call, rows in enumerate(calls):
        q = numbers(call, rows)
        out, *state = step(q, torch.tensor(place), *state)
        name = {1: "one", 4: "four"}[rows]
        found = session.run(q.numpy(), np.array(place, np.int64), method=name)[0]
        np.testing.assert_allclose(found, out.numpy(), atol=1e-6)
        place += rows


def test_a_state_goes_on_through_methods(bundle: Path, step: Step) -> None:
    session = Session(bundle)
    follow(session, step, [4, 1, 1, 4, 1], zeros())
    session.reset_state()
    follow(session, step, [1, 4], zeros())


def test_named_states(bundle: Path, step: Step) -> None:
    session = Session(bundle)
    follow(session, step, [4], zeros())
    saved = session.save_state()
    session.use_state("other")
    follow(session, step, [1, 1], zeros())
    session.use_state("default")
    assert session.save_state() == saved
    session.use_state("third")
    session.restore_state(saved)
    assert session.save_state() == saved


def test_caches_are_changed_where_they_lie(bundle: Path) -> None:
    # The state's memory is what the operators wrote: only the rows of the call, and no copy of the rest.
    session = Session(bundle)
    poison = np.full(len(session.save_state()) // 4, 7.0, np.float32)
    session.restore_state(poison.tobytes())
    session.run(numbers(0, 1).numpy(), np.array(5, np.int64), method="one")
    cache = np.frombuffer(session.save_state(), np.float32)[: HEADS * CAPACITY * SIZE].reshape(HEADS, CAPACITY, SIZE)
    assert (cache[:, 5] != 7).all()
    assert (np.delete(cache, 5, axis=1) == 7).all()


@pytest.mark.parametrize("in_place", [True, False])
def test_a_state_of_other_operators(in_place: bool, tmp_path: Path) -> None:
    row, total, count = torch.zeros(1, 8), torch.zeros(1, 8), torch.zeros(())
    program = made.convert({"mean": (Swapped(), (row, total, count))})
    states = [made.end("total", total), made.end("untouched", torch.zeros(3)), made.end("count", count)]
    methods = [made.method("mean", {"row": row}, {"mean": row}, ["total", "count"])]
    session = Session(made.write_bundle(tmp_path / "mean", program, methods, states, in_place))
    mark = bytearray(session.save_state())
    mark[64:76] = np.array([1, 2, 3], np.float32).tobytes()
    session.restore_state(bytes(mark))
    rows = np.random.default_rng(0).normal(size=(5, 1, 8)).astype(np.float32)
    for index in range(5):
        np.testing.assert_allclose(session.run(rows[index])[0], rows[: index + 1].mean(0), rtol=1e-6)
        assert np.frombuffer(session.save_state()[64:76], np.float32).tolist() == [1, 2, 3]


def test_threads_change_between_calls(bundle: Path, step: Step) -> None:
    session, before = Session(bundle), edgekit_runtime.threads()
    try:
        state = zeros()
        for call, count in enumerate((1, 3, 2)):
            edgekit_runtime.set_threads(count)
            q = numbers(call, 4)
            out, *state = step(q, torch.tensor(4 * call), *state)
            found = session.run(q.numpy(), np.array(4 * call, np.int64), method="four")[0]
            np.testing.assert_allclose(found, out.numpy(), atol=1e-6)
    finally:
        edgekit_runtime.set_threads(before)


def test_an_operators_error_is_said_and_the_session_goes_on(bundle: Path, step: Step) -> None:
    session = Session(bundle)
    with pytest.raises(EdgekitError, match=r"method 'four' of .*/step failed: kv_append: start_pos is 21"):
        session.run(numbers(0, 4).numpy(), np.array(21, np.int64), method="four")
    session.reset_state()
    follow(session, step, [4, 1], zeros())


def test_numbers_that_do_not_fit_the_program(bundle: Path) -> None:
    session = Session(bundle)
    with pytest.raises(UsageError, match=r"input 'position' of method 'one' has the number 2147483648: this program"):
        session.run(numbers(0, 1).numpy(), np.array(2**31, np.int64), method="one")


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * 2, x.argmax(-1)


@pytest.mark.parametrize("offset", range(0, 64, 16))
def test_memory_of_any_alignment(offset: int, tmp_path: Path) -> None:
    x = torch.randn(3, 40)
    program = made.convert({"run": (Scaled(), (x,))})
    outputs = {"twice": x, "largest": torch.zeros(3, dtype=torch.int64)}
    session = Session(made.write_bundle(tmp_path / "scaled", program, [made.method("run", {"x": x}, outputs)]))
    room = np.zeros(x.numel() + 64, np.float32)
    start = (-room.ctypes.data % 64 + offset) // 4
    own = room[start : start + x.numel()].reshape(x.shape)
    for _ in range(2):
        own[:] = np.random.default_rng(offset).normal(size=x.shape)
        twice, largest = session.run(own)
        np.testing.assert_array_equal(twice, own * 2)
        np.testing.assert_array_equal(largest, own.argmax(-1))
        assert largest.dtype == np.int64


class Shifted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x) + 1


def test_rows_that_a_program_leaves_open(tmp_path: Path) -> None:
    x = torch.randn(6, 8)
    program = made.leave_rows_open(made.convert({"run": (Shifted(), (x,))}))
    methods = [made.method("run", {"x": x}, {"y": x}, dynamic=True)]
    session = Session(made.write_bundle(tmp_path / "rows", program, methods))
    for count in (6, 2, 5, 1):
        (y,) = session.run(x.numpy()[:count])
        np.testing.assert_allclose(y, x[:count].tanh() + 1, atol=1e-6)


#: What a process holds beside files: LiteRT keeps packed weights that methods share in shared memory.
HELD = """
import sys, numpy as np
from edgekit_runtime import Session
def held():
    lines = open("/proc/self/status").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))) << 10
session = Session(sys.argv[1])
before = held()
for rows in (1, 7):
    session.run(np.zeros((rows, 1024), np.float32))
print(held() - before)
"""


@pytest.mark.parametrize("share", [True, False])
def test_methods_share_what_is_packed(share: bool, tmp_path: Path) -> None:
    layers = nn.Sequential(*(nn.Linear(1024, 1024, bias=False) for _ in range(6)))
    inputs = {f"rows{rows}": torch.zeros(rows, 1024) for rows in (1, 7)}
    program = made.convert({name: (layers, (x,)) for name, x in inputs.items()})
    methods = [made.method(name, {"x": x}, {"y": x}) for name, x in inputs.items()]
    bundle = made.write_bundle(tmp_path / "layers", program, methods, share_packed_weights=share)
    done = subprocess.run([sys.executable, "-c", HELD, bundle], capture_output=True, text=True, check=True)
    weights = 6 * 1024 * 1024 * 4
    packed = int(done.stdout) / weights
    assert (0.9 < packed < 1.4) if share else (1.9 < packed < 2.4)


def test_a_method_that_the_program_does_not_have(program: bytes, tmp_path: Path) -> None:
    q = torch.zeros(HEADS, 1, SIZE)
    folder = made.write_bundle(tmp_path / "other", program, [made.method("three", {"q": q}, {"out": q})])
    with pytest.raises(EdgekitError, match="has another method 'three' than its manifest says: export it again"):
        Session(folder)


def test_a_program_that_was_cut_off(program: bytes, tmp_path: Path) -> None:
    folder = made.write_bundle(tmp_path / "cut", program, [made.method("one", {}, {})])
    for keep in (0, 100, 5000):  # LiteRT itself ends the process at some of these
        (folder / "program.tflite").write_bytes(program[:keep])
        with pytest.raises(EdgekitError, match=r"cut/program\.tflite was changed after export: copy the bundle again"):
            Session(folder, check_files=False)


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    folder = made.write_bundle(tmp_path / "none", b"no program", [made.method("one", {}, {})], operators=())
    with pytest.raises(EdgekitError, match=r"none/program\.tflite cannot be loaded by .*libLiteRt\.so"):
        Session(folder)


def test_an_output_that_is_an_input(tmp_path: Path) -> None:
    class Through(nn.Module):
        def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            return x + 1, state

    x, state = torch.zeros(2, 3), torch.ones(4)
    program = made.convert({"run": (Through(), (x, state))})
    methods, states = [made.method("run", {"x": x}, {"y": x}, ["s"])], [made.end("s", state)]
    session = Session(made.write_bundle(tmp_path / "in", program, methods, states))
    session.restore_state(np.arange(16, dtype=np.float32).tobytes())
    for _ in range(3):
        np.testing.assert_array_equal(session.run(x.numpy())[0], x + 1)
    assert session.save_state() == np.arange(16, dtype=np.float32).tobytes()
    with pytest.raises(EdgekitError, match="gives one tensor as two outputs, or an input as an output"):
        Session(made.write_bundle(tmp_path / "out", program, methods, states, in_place=False))


def test_a_shape_that_the_program_does_not_have(tmp_path: Path) -> None:
    program = made.convert({"run": (Scaled(), (torch.zeros(3, 4),))})
    wrong, right = torch.zeros(3, 5), torch.zeros(3, dtype=torch.int64)
    methods = [made.method("run", {"x": wrong}, {"twice": wrong, "largest": right})]
    with pytest.raises(
        EdgekitError, match=r"input 'x' of method 'run' is another in the program of .* than in its man"
    ):
        Session(made.write_bundle(tmp_path / "other", program, methods))


def test_an_operator_that_is_not_there_is_said_when_the_session_opens(
    bundle: Path, program: bytes, tmp_path: Path
) -> None:
    methods = [made.method("one", {}, {})]
    with pytest.raises(EdgekitError, match="needs FlexErf, which this runtime does not have"):
        Session(made.write_bundle(tmp_path / "flex", program, methods, operators=["FlexErf"]))
    later = program.replace(b"edgekit.kv_append", b"edgekit.kv_extend")
    assert later != program
    with pytest.raises(
        EdgekitError, match=r"cannot be run: this edgekit has no operator edgekit\.kv_extend: take the lib"
    ):
        Session(made.write_bundle(tmp_path / "later", later, methods))


@pytest.mark.parametrize(
    ("library", "says"),
    [
        ("/nowhere/libLiteRt.so", "LiteRT, which runs this bundle's program, cannot be loaded"),
        ("libm.so.6", "libm.so.6 is too old or too new a LiteRT: it lacks LiteRtCompiledModelIs"),
    ],
)
def test_a_library_that_is_not_litert(library: str, says: str, bundle: Path) -> None:
    code = f"from edgekit_runtime import Session\nSession({str(bundle)!r})"
    environment = os.environ | {"EDGEKIT_LITERT": library}
    failed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert failed.returncode != 0
    assert says in failed.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sanitized", "thread_checked"])
def test_under_sanitizers(
    built: Callable[[str], Machine], name: str, bundle: Path, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ai_edge_litert

    monkeypatch.setenv("EDGEKIT_LITERT", str(Path(ai_edge_litert.__path__[0], "libLiteRt.so")))
    calls, state, wanted = [numbers(call, 1) for call in range(4)], zeros(), []
    for place, q in enumerate(calls):
        out, *state = step(q, torch.tensor(place), *state)
        wanted.append(out.numpy())
    *answers, full, large = built(name).session("litert", [bundle], *(q.numpy() for q in calls))
    assert len(answers) == 4 * len(calls)
    for place, answer in enumerate(answers):
        expected = wanted[place % len(calls)]
        np.testing.assert_allclose(np.frombuffer(answer, np.float32).reshape(expected.shape), expected, atol=1e-6)
    assert b"failed: kv_append: start_pos is 1048576" in full
    assert b"input 'position' of method 'one' has the number 1099511627776" in large
    *answers, first, second, third = built(name).session("trace", [bundle], calls[0].numpy())
    state = zeros()
    for answer in answers:
        out, *state = step(calls[0], torch.tensor(0), *state)
        np.testing.assert_allclose(np.frombuffer(answer, np.float32).reshape(out.shape), out.numpy(), atol=1e-6)
    assert len(answers) == 6
    assert first.count(b"edgekit.") == 3
    assert first == second == third


def test_what_litert_prints(bundle: Path) -> None:
    # One line a process, which its C interface cannot turn off.
    code = (
        "import numpy as np\nfrom edgekit_runtime import Session\n"
        f"Session({str(bundle)!r}).run(np.zeros(({HEADS}, 1, {SIZE}), np.float32), np.array(0), method='one')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr in ("", "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")


@pytest.mark.parametrize("threads", [1, 2])
def test_operators_of_a_run(bundle: Path, program: bytes, threads: int) -> None:
    """The graph that LiteRT was given is the reference: every custom operator runs once, in the graph's order."""
    import ai_edge_litert
    from ai_edge_litert import schema_py_generated as schema

    runners = (Path(folder, "bin/edgekit-run") for folder in edgekit_runtime.__path__)
    runner = next(path for path in runners if path.exists())
    command = [str(runner), str(bundle), "--bench", "8", "--operators", "--json", "--threads", str(threads)]
    environment = {"EDGEKIT_LITERT": str(Path(ai_edge_litert.__path__[0], "libLiteRt.so"))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(program, 0))
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
    codes = [
        code.customCode.decode().split("?")[0] if code.customCode else names[code.builtinCode]
        for code in model.operatorCodes
    ]
    cases = json.loads(done.stdout)["cases"]
    assert [case["name"] for case in cases] == ["one", "four"]
    for case in cases:
        (signature,) = (each for each in model.signatureDefs if each.signatureKey.decode() == case["method"])
        graph = [codes[step.opcodeIndex] for step in model.subgraphs[signature.subgraphIndex].operators]
        top = check_events(case)
        nodes = [event for event in top if event["kind"] == "operator"]
        assert [event["name"] for event in nodes] == [graph[event["index"]] for event in nodes]
        ours = [(index, name) for index, name in enumerate(graph) if name.startswith("edgekit.")]
        assert len(ours) == 3
        assert [(event["index"], event["name"]) for event in nodes if event["name"].startswith("edgekit.")] == ours
        # What no node has is XNNPACK's.
        calls = [event for event in top if event["kind"] == "delegate"]
        assert calls
        assert all(event["name"] == "XNNPACK" and event["index"] is None for event in calls)
        inside = [event["name"] for event in case["operators"]["events"] if event["parent"] is not None]
        assert any(name.startswith("Add (ND)") for name in inside)
        assert case["operators"]["runs"] > 0
