"""The workload of a bundle, read from its program files: without the model's module, and without running anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.bundle import Bundle
from edgekit.devices.workload import Case, Operation, Workload
from edgekit.errors import EdgekitError
from edgekit.export.method_call import MethodCall

#: What a call of a method does, by task; each of a batch is one.
_UNITS = {"segment": "frame", "detect_anomalies": "window"}


@dataclass(frozen=True)
class _Wanted:
    """A case before its work is known: see `Case`."""

    name: str
    call: MethodCall
    items: int
    unit: str

    @property
    def rows(self) -> int | None:
        return next(iter(self.call.rows.values()), None)


def read_workload(bundle: Bundle) -> Workload:
    """What each of a bundle's calls computes and moves.

    A language model has the cases "prompt", one whole chunk at the beginning of a text, with the logits of its last
    token, and "token", one more token right after it. Every other bundle has a case for each method.

    Raises:
        EdgekitError: a program is damaged, or of a format that this edgekit does not know.
    """
    entry = bundle.manifest["programs"][0]
    wanted = list(_wanted(bundle.manifest["pipeline"], entry["methods"]))
    found = _operations(bundle, entry, [case.call for case in wanted])
    cases = {
        case.name: Case(case.name, case.call.method, case.rows, case.items, case.unit, tuple(operations))
        for case, operations in zip(wanted, found, strict=True)
    }
    return Workload(bundle.name, str(entry["format"]), cases, entry.get("processor", "cpu") != "cpu")


def _wanted(pipeline: Mapping[str, Any], methods: Sequence[Mapping[str, Any]]) -> Iterator[_Wanted]:
    task = pipeline["name"]
    if task == "generate_text":
        method, chunk = methods[0], int(pipeline["chunk"])
        tokens, rows = (method["inputs"][place] for place in (0, 2)) if len(method["inputs"]) > 2 else (None, None)
        for name, count, start in (("prompt", chunk, 0), ("token", 1, chunk)):
            sizes = ((tokens, count), (rows, 1))
            dynamic = {spec["name"]: size for spec, size in sizes if spec and spec["dynamic"]}
            yield _Wanted(name, MethodCall(method["name"], dynamic, start), count, "token")
        return
    for method in methods:
        unit = _UNITS.get(task, "call")
        items = int(method["inputs"][0]["shape"][0]) if task in _UNITS and method["inputs"] else 1
        yield _Wanted(method["name"], MethodCall(method["name"]), items, unit)


def _operations(bundle: Bundle, entry: Mapping[str, Any], calls: Sequence[MethodCall]) -> list[list[Operation]]:
    """Of each call; a format's reader is imported when a program is of it."""
    files = {method["name"]: bundle.path / method.get("file", entry["file"]) for method in entry["methods"]}
    if entry["format"] == "pte":
        from edgekit.export.program_file import read_program
        from edgekit.export.workload_pte import operations as of_pte

        program = read_program((bundle.path / entry["file"]).read_bytes())
        methods = {method.name: method for method in program.methods}
        names = {method["name"]: [spec["name"] for spec in method["inputs"]] for method in entry["methods"]}
        return [of_pte(methods[call.method], call, names[call.method]) for call in calls]
    if entry["format"] == "tflite":
        from edgekit.export.workload_tflite import operations as of_tflite

        data = (bundle.path / entry["file"]).read_bytes()
        return [of_tflite(data, call) for call in calls]
    if entry["format"] == "onnx":
        from edgekit.export.workload_onnx import operations as of_onnx

        return [of_onnx(files[call.method], call) for call in calls]
    raise EdgekitError(f"{bundle.name} has a program of the format {entry['format']!r}: install a newer edgekit.")
