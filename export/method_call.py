"""A call of a method whose work is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class MethodCall:
    """A call.

    Attributes:
        method: that is called.
        rows: of the first dimension of each input that may be smaller than its largest, by the input's name.
        start: the token that the first row stands at, for a language model.
    """

    method: str
    rows: Mapping[str, int] = field(default_factory=dict)
    start: int = 0
