"""Runs a command in namespaces of its own, in which arm64 programs are started like others, by qemu:

    python arm64_programs.py HOME COMMAND...

HOME is a folder that stands there for the user's home. The kernel is told of the emulator (binfmt_misc) in a user
namespace only: nothing changes outside. Needs root, Linux 6.7 or newer and qemu-user. Exit code 77: it cannot be done
here, for the reason on stderr.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000  # sched.h
MS_BIND = 4096  # sys/mount.h
BINFMT = Path("/proc/sys/fs/binfmt_misc")
#: An ELF file's first bytes: 64 bits, little-endian, an executable or a library (0xfe), for AArch64 (0xb7).
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
UNAVAILABLE = 77


def main(home: str, command: list[str]) -> None:
    try:
        _enter(home)
    except OSError as error:
        print(f"arm64 programs cannot be started like others here: {error}", file=sys.stderr)
        sys.exit(UNAVAILABLE)
    os.execvp(command[0], command)


def _enter(home: str) -> None:
    emulator = shutil.which("qemu-aarch64")
    if emulator is None:
        raise OSError("needs an emulator: apt install qemu-user")
    libc = ctypes.CDLL(None, use_errno=True)
    entered, is_entered = os.pipe()
    here = os.getpid()
    outside = os.fork()
    if outside == 0:
        # Who stays outside says which users there are inside: all of them, so that servers can become others.
        os.close(is_entered)
        os.read(entered, 1)
        try:
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{here}/{name}").write_text("0 0 65536\n")
        except OSError:
            os._exit(1)
        os._exit(0)
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0:
        os.kill(outside, 9)
        os.waitpid(outside, 0)
        raise OSError(ctypes.get_errno(), "no user namespace")
    os.write(is_entered, b"1")
    if os.waitpid(outside, 0)[1] != 0:
        raise OSError("no right to map users: needs root")
    if libc.mount(b"binfmt_misc", os.fsencode(BINFMT), b"binfmt_misc", 0, None) != 0:
        raise OSError(ctypes.get_errno(), "binfmt_misc cannot be mounted in a user namespace: needs Linux 6.7")
    if libc.mount(os.fsencode(home), os.fsencode(Path.home()), None, MS_BIND, None) != 0:
        raise OSError(ctypes.get_errno(), f"{Path.home()} cannot be replaced")
    (BINFMT / "register").write_text(f":edgekit-arm64:M::{MAGIC}:{MASK}:{emulator}:")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
