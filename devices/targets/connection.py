"""How a target is reached: what starts a program there, and what its tool's complaints mean."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence

from edgekit.errors import EdgekitError


class Connection(ABC):
    """A way to run programs on a device.

    Attributes:
        kind: as in a result's target.
        address: what people know the device by; None for this machine.
        root: edgekit's folder on the device; "" for the cache folder of the user there.
    """

    kind: str
    address: str | None = None
    root: str = ""

    @property
    def title(self) -> str:
        """What error messages call the device."""
        return self.address or "this machine"

    @abstractmethod
    def command(self, words: Sequence[str]) -> list[str]:
        """The command here that runs these words as a program there, with its input, output and exit code."""

    def start(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        """Starts a program there, its streams as pipes.

        Raises:
            EdgekitError: the tool that reaches the device is missing or does not start.
        """
        command = self.command(words)
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Ctrl-C ends this program, which then ends the session in order.
                start_new_session=True,
            )
        except OSError as error:
            raise EdgekitError(f"{command[0]} does not start ({error}): {self.remedy}.") from error

    #: What to do where the tool is missing.
    remedy = "a POSIX shell is needed"

    def explain(self, said: str) -> str:
        """A sentence for a device that cannot be reached, from what the tool said on stderr."""
        lines = [line for line in said.splitlines() if line.strip()]
        return f"{self.title} cannot be reached ({lines[-1].strip() if lines else 'it said nothing'}): try again."

    def close(self) -> None:
        """Removes what the connection has made here; after the session."""
        return
