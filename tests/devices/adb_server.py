"""A stand-in for adb's server and a device behind it: what the real `adb` client says to it is run here.

The protocol is that of AOSP's packages/modules/adb: SERVICES.TXT and OVERVIEW.TXT (requests of the client), and
shell_protocol.h (packets of a shell: a byte that names the stream, four of the length, the data).
"""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import struct
import subprocess
import threading
from pathlib import Path

#: What the client of Debian's package asks for before it trusts a server (ADB_SERVER_VERSION).
VERSION = 41
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)


class Device:
    """A folder as a device.

    Attributes:
        folder: of everything on it.
        serials: of the devices that the server lists; they are all this one.
        complaint: what the server says instead of reaching it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.serials = ["8A2X0GQE5"]
        self.complaint = ""
        for name in ("bin", "data"):
            (folder / name).mkdir(parents=True)
        self._shells: list[socket.socket] = []
        self._server = _Server(("127.0.0.1", 0), _Client)
        self._server.device = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def root(self) -> Path:
        """edgekit's folder on the device."""
        return self.folder / "data" / "edgekit"

    @property
    def lock(self) -> Path:
        return self.folder / "data" / "edgekit.lock"

    def is_clean(self) -> bool:
        return not os.path.lexists(self.lock) and not self.root.exists()

    def program(self, name: str, script: str) -> None:
        """Puts a shell script into the device's PATH."""
        (self.folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.folder / "bin" / name).chmod(0o755)

    def refusal(self, serial: str | None) -> str:
        """Why the server does not reach a device; "" if it does."""
        if self.complaint:
            return self.complaint
        if serial is not None:
            return "" if serial in self.serials else f"device '{serial}' not found"
        if not self.serials:
            return "no devices/emulators found"
        return "" if len(self.serials) == 1 else "more than one device/emulator"

    def unplug(self) -> None:
        """Ends what goes through the cable; programs on the device go on."""
        for one in self._shells:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.unplug()
        self._server.shutdown()
        self._server.server_close()

    def serve_shell(self, connection: socket.socket, command: str) -> None:
        """Runs a command with its streams in packets."""
        self._shells.append(connection)
        path = os.pathsep.join([str(self.folder / "bin"), "/usr/bin", "/bin"])
        process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": path, "HOME": str(self.folder)},
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        speaking = threading.Lock()

        def send(stream: int, data: bytes) -> None:
            with speaking, contextlib.suppress(OSError):
                connection.sendall(struct.pack("<BI", stream, len(data)) + data)

        def pump(stream: int, descriptor: int) -> None:
            while data := os.read(descriptor, 1 << 16):
                send(stream, data)

        readers = [
            threading.Thread(target=pump, args=(stream, pipe.fileno()), daemon=True)
            for stream, pipe in ((STDOUT, process.stdout), (STDERR, process.stderr))
        ]

        def finish() -> None:
            code = process.wait()
            for reader in readers:
                reader.join()
            send(EXIT, bytes([code % 256]))
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)

        for thread in (*readers, finisher := threading.Thread(target=finish, daemon=True)):
            thread.start()
        with contextlib.suppress(OSError):
            while header := _exactly(connection, 5):
                stream, length = struct.unpack("<BI", header)
                data = _exactly(connection, length)
                with contextlib.suppress(OSError, ValueError):
                    if stream == STDIN:
                        process.stdin.write(data)
                        process.stdin.flush()
                    elif stream == CLOSE_STDIN:
                        process.stdin.close()
        # The client is gone.
        with contextlib.suppress(OSError):
            process.stdin.close()
        finisher.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    device: Device


class _Client(socketserver.BaseRequestHandler):
    """One connection of the client: a request, or one that chooses a device and another for that."""

    server: _Server

    def handle(self) -> None:
        while length := _exactly(self.request, 4):
            request = _exactly(self.request, int(length, 16)).decode()
            if request == "host:version":
                self._answer(f"{VERSION:04x}")
                return
            if request == "host:devices":
                self._answer("".join(f"{serial}\tdevice\n" for serial in self.server.device.serials))
                return
            if request.startswith("host") and request.endswith(":features"):
                serial = request.removeprefix("host-serial:").removesuffix(":features")
                if not self._refused(None if request == "host:features" else serial):
                    self._answer("shell_v2,cmd,stat_v2")
                return
            if request.startswith(("host:transport", "host:tport")):
                serial = request.rpartition(":")[2]
                if self._refused(None if serial in ("any", "host:transport-any") else serial):
                    return
                self.request.sendall(b"OKAY" + (struct.pack("<Q", 1) if request.startswith("host:tport") else b""))
            elif request.startswith("shell,v2"):
                self.request.sendall(b"OKAY")
                self.server.device.serve_shell(self.request, request.partition(":")[2])
                return
            else:
                self._fail(f"unknown request {request}")
                return

    def _refused(self, serial: str | None) -> bool:
        refusal = self.server.device.refusal(serial)
        if refusal:
            self._fail(refusal)
        return bool(refusal)

    def _answer(self, text: str) -> None:
        self.request.sendall(b"OKAY" + f"{len(text):04x}{text}".encode())

    def _fail(self, text: str) -> None:
        self.request.sendall(b"FAIL" + f"{len(text):04x}{text}".encode())


def _exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes; fewer at the end."""
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data
