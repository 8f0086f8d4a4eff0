"""What lives when: a session's memory, step by step, from the program file.

A session opens (state and arena), loads each method (its delegates pack their weights) and runs each method once,
operator by operator. That is what `edgekit-run --bench` does, and the largest step is the peak that a manifest states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.bundle import Bundle
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import UsageError
from edgekit.export.operator_scratch import operator_scratch
from edgekit.export.program_file import Call, MethodFile, ProgramFile, read_program
from edgekit.export.xnnpack_memory import DelegateMemory, delegate_memory, tiles_of

#: Parts of a step, in the order in which they are drawn. `arena_idle` is planned, and nothing lives there now;
#: `delegate_constants` are mapped while a delegate packs them.
PARTS = (
    "runtime",
    "weights",
    "state",
    "delegate_packed_weights",
    "delegate_buffers",
    "inputs_outputs",
    "arena",
    "arena_idle",
    "operator_scratch",
    "delegate_workspace",
    "delegate_constants",
)

#: Bytes of a process that has opened a session: its pages of the runner and of the libraries, ExecuTorch's registry,
#: the threads and what the C library keeps. Measured on Linux, x86-64: `edgekit-run --bench --json` on StackVAE-G's
#: fp32 bundle, `peak_memory_bytes` less the parts that are derived. There was no board to measure on: arm64's libraries
#: are of the same size, and take the same figure.
RUNTIME = {"x86_64": 8_600_000, "aarch64": 8_600_000}
#: Threads where a profile does not know the number of cores: `edgekit-run --threads` must be this for figures to hold.
ASSUMED_THREADS = 2

#: What comes into memory when one row of a table is read: Linux maps the 16 pages around a fault in a file.
_FAULT_AROUND = 65536
#: Bytes of what ExecuTorch keeps of a method, by value and by call; allocated in blocks.
_VALUE_BYTES, _CALL_BYTES = 96, 48


@dataclass(frozen=True)
class Step:
    """Memory while one operator runs, or one delegate is loaded.

    Attributes:
        method: whose step it is; "" while the session opens.
        index: of the operator in the method; of the delegate while it is loaded.
        operator: its name, or "load" and the delegate's.
        parts: bytes by part, every one of `PARTS`.
    """

    method: str
    index: int
    operator: str
    parts: Mapping[str, int]

    @property
    def loading(self) -> bool:
        return self.operator.startswith(("open", "load "))

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    def to_dict(self) -> dict[str, object]:
        return {
            "method": self.method,
            "index": self.index,
            "operator": self.operator,
            **self.parts,
            "total": self.total,
        }


def threads_of(device: DeviceProfile) -> int:
    """Threads that a session uses there: one per core."""
    return device.cpu.cores or ASSUMED_THREADS


def timeline(program: ProgramFile, device: DeviceProfile, state: int, share: bool) -> list[Step]:
    """Every step of a session that loads all methods and runs each once, in the file's order.

    Args:
        program: the file's content.
        device: whose kernels and cores decide on packed weights and scratch.
        state: bytes of the last buffer of each method, which outlives calls; 0 if no method has one.
        share: whether delegates share packed weights of the same name (a manifest's `share_packed_weights`).
    """
    return list(_Session(program, device, state, share).steps())


def bundle_timeline(bundle: Bundle, device: DeviceProfile) -> list[Step]:
    """The timeline of a bundle's program on a device.

    Raises:
        UsageError: the program is no `.pte`.
        EdgekitError: its file is damaged.
    """
    if bundle.program.format != "pte":
        raise UsageError(f"{bundle.path} is a .{bundle.program.format}: what lives when is known of .pte alone.")
    program = read_program((bundle.path / bundle.program.file).read_bytes())
    share = bundle.manifest["programs"][0].get("share_packed_weights", False)
    return timeline(program, device, bundle.manifest["memory"].get("state", 0), share)


def compact(steps: Sequence[Step]) -> dict[str, Any]:
    """Steps as a result's `arena` has them: the parts that are ever there, and their bytes by step."""
    parts = [part for part in PARTS if any(step.parts[part] for step in steps)]
    rows = [
        {"method": step.method, "operator": step.operator, "bytes": [step.parts[part] for part in parts]}
        for step in steps
    ]
    return {"parts": parts, "steps": rows}


class _Session:
    def __init__(self, program: ProgramFile, device: DeviceProfile, state: int, share: bool) -> None:
        self.program, self.share = program, share
        self.threads = threads_of(device)
        tiles = tiles_of(device)
        none = DelegateMemory()
        self.delegates = {
            method.name: [
                none if graph is None else delegate_memory(graph, tiles, self.threads) for graph in method.delegates
            ]
            for method in program.methods
        }
        self.arena = [method.buffers[:-1] if state else method.buffers for method in program.methods]
        self.held = dict.fromkeys(PARTS, 0)
        self.held["state"] = state
        self.held["arena_idle"] = sum(map(max, zip(*_padded(self.arena), strict=True)))
        self.held["runtime"] = RUNTIME[device.architecture]
        self.packed: set[object] = set()

    def steps(self) -> Iterator[Step]:
        yield Step("", 0, "open", dict(self.held))
        for method in self.program.methods:
            yield from self._load(method)
        # Constants of kernels are pages of the file that stay for as long as they are read.
        self.held["weights"] = sum(_touched(self.program).values())
        for method, arena in zip(self.program.methods, self.arena, strict=True):
            yield from self._run(method, len(arena))

    def _load(self, method: MethodFile) -> Iterator[Step]:
        self.held["runtime"] += _VALUE_BYTES * len(method.values) + _CALL_BYTES * len(method.calls)
        for index, (graph, memory) in enumerate(zip(method.delegates, self.delegates[method.name], strict=True)):
            for name, size in memory.packed.items():
                key = name if self.share and name in memory.mapped else (method.name, index, name)
                if key not in self.packed:
                    self.packed.add(key)
                    self.held["delegate_packed_weights"] += size
            self.held["delegate_buffers"] += memory.structures
            name = method.calls[0].operator if graph is None else "XnnpackBackend"
            parts = self.held | {"delegate_constants": sum(memory.mapped.values())}
            yield Step(method.name, index, f"load {name}", parts)

    def _run(self, method: MethodFile, buffers: int) -> Iterator[Step]:
        held = self.held
        inside = sum(method.nbytes(value) for value in {*method.inputs, *method.outputs} if _is_tensor(method, value))
        held["inputs_outputs"] = inside
        arena = held["arena_idle"]
        seen: set[int] = set()
        for index, call in enumerate(method.calls):
            live = _covered(method, index, buffers)
            growth = 0
            if call.delegate is not None:
                memory = self.delegates[method.name][call.delegate]
                if call.delegate not in seen:
                    seen.add(call.delegate)
                    held["delegate_buffers"] += memory.buffers
                if memory.workspace > held["delegate_workspace"]:
                    # The larger one is made and cleared before the smaller one is given back.
                    growth = held["delegate_workspace"]
                    held["delegate_workspace"] = memory.workspace
            held["operator_scratch"] = max(held["operator_scratch"], operator_scratch(method, call, self.threads))
            parts = held | {
                "arena": live,
                "arena_idle": arena - live,
                "delegate_workspace": held["delegate_workspace"] + growth,
            }
            yield Step(method.name, index, call.operator, parts)
        held["inputs_outputs"] = 0


def _is_tensor(method: MethodFile, value: int) -> bool:
    return hasattr(method.values[value].val, "sizes")


def _padded(buffers: Sequence[Sequence[int]]) -> list[list[int]]:
    longest = max((len(sizes) for sizes in buffers), default=0)
    return [[*sizes, *[0] * (longest - len(sizes))] for sizes in buffers] or [[]]


def _covered(method: MethodFile, index: int, buffers: int) -> int:
    """Bytes of the arena in which something lives during a call; tensors may share them."""
    total = 0
    for buffer in range(buffers):
        end = 0
        places = sorted(
            (use.start, use.start + use.nbytes)
            for use in method.planned
            if use.buffer == buffer and use.first <= index <= use.last
        )
        for start, stop in places:
            total += max(0, stop - max(start, end))
            end = max(end, stop)
    return total


def _touched(program: ProgramFile) -> dict[int, int]:
    """Bytes of each constant that must be in memory for its kernels: of a table, what each row that is read brings."""
    whole: set[int] = set()
    rows: dict[int, int] = {}
    for method in program.methods:
        for call in method.calls:
            table = _tables(method, call)
            for value in _constants(method, call):
                index = method.values[value].val.data_buffer_idx
                if value in table:
                    rows[index] = max(rows.get(index, 0), _FAULT_AROUND * table[value])
                else:
                    whole.add(index)
    sizes = {index: program.constants[index] for index in whole}
    for index, size in rows.items():
        sizes.setdefault(index, min(size, program.constants[index]))
    return sizes


def _constants(method: MethodFile, call: Call) -> Iterator[int]:
    for value in call.arguments:
        content = method.values[value].val
        for item in content.items if type(content).__name__ == "TensorList" else (value,):
            if getattr(method.values[item].val, "data_buffer_idx", 0) > 0:
                yield item


def _tables(method: MethodFile, call: Call) -> dict[int, int]:
    """Values of a call that are tables, and how many of their rows it reads."""
    name = call.operator.split("::")[-1]
    if name.startswith("embedding"):
        indices = next(v for v in call.arguments if _is_tensor(method, v) and _is_integer(method, v))
        count = 1
        for size in method.shape(indices):
            count *= size
        return {call.arguments[0]: count}
    if name.startswith("index_select"):
        return {call.arguments[0]: method.shape(call.arguments[2])[0]}
    return {}


def _is_integer(method: MethodFile, value: int) -> bool:
    return method.values[value].val.scalar_type.name in ("INT", "LONG")
