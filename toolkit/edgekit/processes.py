"""Programs that are started here and end before this one goes on, also when it is interrupted."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence

#: Seconds that an interrupted program may take to clean up.
PATIENCE = 10.0


def run_program(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; gives its exit code and what it said.

    `subprocess.run` would kill it on Ctrl-C, and leave behind what it had begun. Here it is interrupted too, and has
    time to clean up.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            out, said = process.communicate()
        except BaseException:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(PATIENCE)
            except BaseException:
                process.kill()
                raise
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, said)
