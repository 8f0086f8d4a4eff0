"""Operators of a run: what a runtime timed, beside what each of them computes and moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.devices.alignment import SAME_NODE, align_events, has_name, pair_score
from edgekit.devices.operator_kinds import event_kind
from edgekit.devices.roofline import Roofline, held_bytes
from edgekit.devices.workload import Case, Operation

Row = dict[str, Any]


def operator_rows(measured: Mapping[str, Any], case: Case, roofline: Roofline | None) -> list[Row]:
    """A case's operators in the order in which they ran (a result's field "operators").

    A row that others name as their "parent" holds them: its time is theirs and its own. Leaves do not overlap, and the
    sum of their shares is 1; what a delegate takes beside its operators is a leaf of its own.

    Args:
        measured: a case of the runner's JSON, with its "operators".
        case: the same of the workload.
        roofline: of the machine that it ran on; without one nothing is said of what bounds an operator.

    Returns:
        Rows with "id" (a place in this list), "parent" (an id or None), "name", "kind", "form", "precision", "place",
        "method", "index", "node", "calls", "p50_us", "start_us" and "us" (both of one call), "share", "flops", "bytes",
        "gflops", "gb_per_s" and "bound"; the last five and precision are None where it is not known which of the
        program's operators it is.
    """
    events: Sequence[Mapping[str, Any]] = measured["operators"]["events"]
    operations = match_events(events, case)
    held = held_bytes(case)
    rows: list[Row] = []
    places: dict[Any, int] = {}
    parents = {event["parent"] for event in events}
    for event in events:
        operation = operations.get(event["id"])
        place = _place(event, events, operation)
        places[event["id"]] = len(rows)
        rows.append(_row(event, case, operation, place, roofline, held))
        rows[-1] |= {"id": places[event["id"]], "parent": places.get(event["parent"])}
    for event in events:
        if event["id"] not in parents:
            continue
        inside = sum(float(child["p50_us"]) for child in events if child["parent"] == event["id"])
        rest = float(event["p50_us"]) - inside
        if rest > 0:
            own = {**event, "name": f"{event['name']} (itself)", "p50_us": rest, "us": None, "kind": "inside"}
            row = _row(own, case, None, rows[places[event["id"]]]["place"], None, held)
            rows.append(row | {"id": len(rows), "parent": places[event["id"]], "kind": "other"})
    total = sum(row["p50_us"] for row in leaves(rows))
    for row in rows:
        row["share"] = row["p50_us"] / total if total else 0.0
    return rows


def leaves(rows: Sequence[Row]) -> list[Row]:
    """The rows that hold no others."""
    parents = {row["parent"] for row in rows}
    return [row for row in rows if row["id"] not in parents]


def match_events(events: Sequence[Mapping[str, Any]], case: Case) -> dict[Any, Operation]:
    """The program's operators by the ids of events.

    Events outside of delegates say their places in the program. Those of a delegate are matched, in order, with what
    the program gives to it: in a `.pte` by the delegate's place, elsewhere with all that ran nowhere else.
    """
    found: dict[Any, Operation] = {}
    outside = {operation.index: operation for operation in case.operations if operation.call is None}
    inside: dict[int | None, list[Operation]] = {}
    for operation in case.operations:
        if operation.call is not None:
            inside.setdefault(operation.call, []).append(operation)
    unplaced: list[Mapping[str, Any]] = []
    for event in events:
        if event["kind"] != "operator":
            continue
        placed = outside.get(event["index"])
        if placed is not None and _same(event, placed):
            found[event["id"]] = placed
        else:
            unplaced.append(event)
    by_call: dict[int | None, list[Mapping[str, Any]]] = {}
    calls = {event["id"]: event["index"] for event in events if event["kind"] == "delegate"}
    for event in events:
        if event["kind"] == "inside":
            call = calls.get(event["parent"])
            by_call.setdefault(call if call in inside else None, []).append(event)
    taken = {id(operation) for operation in found.values()}
    left = [operation for operation in outside.values() if id(operation) not in taken]
    for call, group in by_call.items():
        found |= _aligned(group, inside[call] if call is not None else left)
    taken = {id(operation) for operation in found.values()}
    left = [operation for operation in left if id(operation) not in taken]
    # Branches may run in another order than they stand in the file: by names first.
    by_name = _named(unplaced, left)
    taken = {id(operation) for operation in by_name.values()}
    unplaced = [event for event in unplaced if event["id"] not in by_name]
    return found | by_name | _aligned(unplaced, [operation for operation in left if id(operation) not in taken])


def _named(events: Sequence[Mapping[str, Any]], operations: Sequence[Operation]) -> dict[Any, Operation]:
    """Operators by the ids of events whose nodes are called after them."""
    found: dict[Any, Operation] = {}
    taken: set[int] = set()
    for event in events:
        node = event.get("node")
        if not node:
            continue
        for operation in operations:
            if id(operation) in taken or pair_score(event["name"], node, False, operation) < SAME_NODE:
                continue
            found[event["id"]] = operation
            taken.add(id(operation))
            break
    return found


def _same(event: Mapping[str, Any], operation: Operation) -> bool:
    """A runtime may number otherwise than the program, after it changed the graph."""
    node = event.get("node")
    return event_kind(event["name"], False) == operation.kind and (not node or has_name(operation, node))


def _aligned(events: Sequence[Mapping[str, Any]], operations: Sequence[Operation]) -> dict[Any, Operation]:
    names = [(event["name"], event.get("node"), event["kind"] == "inside") for event in events]
    return {events[place]["id"]: operation for place, operation in align_events(names, operations).items()}


def _place(event: Mapping[str, Any], events: Sequence[Mapping[str, Any]], operation: Operation | None) -> str:
    if event["kind"] == "delegate":
        return f"delegate {event['name']}"
    if event["kind"] == "inside":
        parent = next((other["name"] for other in events if other["id"] == event["parent"]), "")
        return f"delegate {parent}".rstrip()
    if operation is not None:
        return operation.place
    return "edgekit" if event["name"].startswith("edgekit") else "runtime"


def _row(
    event: Mapping[str, Any],
    case: Case,
    operation: Operation | None,
    place: str,
    roofline: Roofline | None,
    held: int,
) -> Row:
    microseconds = float(event["p50_us"])
    kind = "other" if event["kind"] == "delegate" else event_kind(event["name"], event["kind"] == "inside")
    row: Row = {
        "name": event["name"],
        "kind": kind if operation is None else operation.kind,
        "form": "" if operation is None else operation.form,
        "precision": None,
        "place": place,
        "method": case.method,
        "index": event["index"],
        "node": event.get("node"),
        "calls": event.get("calls", 1),
        "p50_us": microseconds,
        "start_us": event.get("start_us"),
        "us": event.get("us"),
        "flops": None,
        "bytes": None,
        "gflops": None,
        "gb_per_s": None,
        "bound": None,
    }
    if operation is not None:
        row |= {"precision": operation.precision, "flops": operation.flops, "bytes": operation.bytes}
        if microseconds > 0:
            row["gflops"] = operation.flops / microseconds / 1e3
            row["gb_per_s"] = operation.bytes / microseconds / 1e3
        if roofline is not None:
            row["bound"] = roofline.bound(operation, held)
    return row
