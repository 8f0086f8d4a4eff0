"""JSON that was damaged by chance."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

STRANGE = (None, True, -1, 1 << 70, 1e308, -0.0, "", "\0", [], {}, [[[[]]]], {"label": {}}, [1, 2])


def mutated(text: bytes, number: int, draw: random.Random) -> bytes:
    """By turns with some bytes changed, cut short, and with one part replaced, dropped or doubled."""
    if number % 3 == 0:
        data = bytearray(text)
        for _ in range(draw.randint(1, 8)):
            data[draw.randrange(len(data))] = draw.choice(b'{}[]",:0-e\\\x00\xff')
        return bytes(data)
    if number % 3 == 1:
        return text[: draw.randrange(len(text))]
    return json.dumps(_changed(json.loads(text), draw)).encode()


def _changed(value: Any, draw: random.Random) -> Any:
    value = copy.deepcopy(value)
    part, parent, key = value, None, None
    while isinstance(part, (dict, list)) and part and (parent is None or draw.random() < 0.9):
        parent, key = part, draw.choice(list(part) if isinstance(part, dict) else range(len(part)))
        part = parent[key]
    assert parent is not None
    kind = draw.randrange(3)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[draw.randrange(len(parent))]))
    else:
        parent[key] = draw.choice(STRANGE)
    return value
