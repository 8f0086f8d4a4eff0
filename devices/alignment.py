"""Which operator of a program is which event of its run, where runtimes rename, merge and leave out operators."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from edgekit.devices.operator_kinds import event_kind, family
from edgekit.devices.workload import Operation

#: How well a pair fits; nothing else may be one.
SAME_NODE, _SAME_FAMILY, _SAME_KIND, _NO_PAIR = 8, 4, 1, 0


def pair_score(name: str, node: str | None, inside: bool, operation: Operation) -> int:
    """How well an event fits an operator: 0 if it cannot be that one.

    Args:
        name: the event's.
        node: of the graph that the runtime made, where it tells.
        inside: whether it ran in a delegate.
        operation: of the program.
    """
    kind, ours = event_kind(name, inside), operation.kind
    # XNNPACK computes a 1 x 1 convolution as a product of matrices.
    as_product = kind == "linear" and ours == "convolution" and operation.form.startswith("1x1")
    if kind != ours and not as_product:
        return _NO_PAIR
    if node and has_name(operation, node):
        return SAME_NODE
    return _SAME_FAMILY if as_product or family(name) == family(operation.name) else _SAME_KIND


def has_name(operation: Operation, node: str) -> bool:
    """Whether a node of a runtime's graph is called after an operator: ONNX Runtime adds what it did to a name
    ("conv2d_2_nchwc", "node_conv2d_14_token_63", "node_MatMul_1/MatMulAddFusion")."""
    plain = re.sub(r"(_nchwc|_token_\d+|/.*)+$", "", node)
    return plain == operation.node or plain in operation.aliases


def align(first: int, second: int, score: Callable[[int, int], int]) -> list[tuple[int, int]]:
    """Pairs of two sequences, in the order of both, with the highest sum of scores.

    Args:
        first, second: their lengths.
        score: of a pair of places; 0 for one that must not be.
    """
    best = [[0] * (second + 1) for _ in range(first + 1)]
    for i in range(first - 1, -1, -1):
        row, below = best[i], best[i + 1]
        for j in range(second - 1, -1, -1):
            value = row[j + 1] if row[j + 1] > below[j] else below[j]
            fits = score(i, j)
            if fits and below[j + 1] + fits > value:
                value = below[j + 1] + fits
            row[j] = value
    pairs, i, j = [], 0, 0
    while i < first and j < second:
        fits = score(i, j)
        if fits and best[i][j] == best[i + 1][j + 1] + fits:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def align_events(
    names: Sequence[tuple[str, str | None, bool]], operations: Sequence[Operation]
) -> dict[int, Operation]:
    """Operators by the places of events, each given as (name, node, inside a delegate)."""
    known: dict[tuple[int, int], int] = {}
    words: dict[object, int] = {}
    events = [words.setdefault(entry, len(words)) for entry in names]
    kinds: dict[object, int] = {}
    ours = [kinds.setdefault((o.name, o.kind, o.form, o.node), len(kinds)) for o in operations]

    def score(i: int, j: int) -> int:
        key = (events[i], ours[j])
        if key not in known:
            known[key] = pair_score(*names[i], operations[j])
        return known[key]

    return {i: operations[j] for i, j in align(len(names), len(operations), score)}
