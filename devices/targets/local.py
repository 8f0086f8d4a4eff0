"""This machine as a target: bundles run where they lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgekit.bundle import Bundle
from edgekit.devices.targets.connection import Connection
from edgekit.devices.targets.target import Target


class LocalConnection(Connection):
    """Programs of this machine.

    Args:
        kind: "local", or that of a target which is made on this machine.
    """

    def __init__(self, kind: str = "local") -> None:
        self.kind = kind

    def command(self, words: Sequence[str]) -> list[str]:
        return list(words)


class LocalTarget(Target):
    def __init__(self, kind: str = "local") -> None:
        super().__init__(LocalConnection(kind))

    def put(self, bundle: Bundle, keep: bool, say: Callable[[str], None]) -> str:
        return str(bundle.path.absolute())
