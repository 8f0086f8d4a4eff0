"""A mosquitto broker of a test's own, what listens to it, and a network between it and a client that can fail."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 60.0


def need_mosquitto() -> None:
    """Skips where the broker or its clients are missing."""
    for program, package in (("mosquitto", "mosquitto"), ("mosquitto_sub", "mosquitto-clients")):
        if shutil.which(program, path=_PATH) is None:
            pytest.skip(f"needs {program}: apt install {package}")


#: Debian puts the broker where only root's PATH leads.
_PATH = "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/bin"


def wait_for(what: Callable[[], object], patience: float = PATIENCE) -> Any:
    """What a function gives as soon as it is true."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Broker:
    """One broker on a port of loopback; it remembers nothing over a restart.

    Args:
        folder: of its configuration and log.
        more: lines of the configuration.
    """

    def __init__(self, folder: Path, more: str = "allow_anonymous true\n") -> None:
        self.port = free_port()
        self.folder = folder
        text = f"listener {self.port} 127.0.0.1\nset_tcp_nodelay true\nmax_queued_messages 0\nuser root\n{more}"
        (folder / "mosquitto.conf").write_text(text)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with (self.folder / "mosquitto.log").open("ab") as log:
            command = [str(shutil.which("mosquitto", path=_PATH)), "-c", str(self.folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

        def answers() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return True
            return False

        wait_for(answers)

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def publish(self, topic: str, *messages: str, qos: int = 1) -> None:
        """Returns when the broker has them."""
        command = ["mosquitto_pub", "-p", str(self.port), "-t", topic, "-q", str(qos), "-l"]
        text = "".join(f"{message}\n" for message in messages)
        subprocess.run(command, input=text, text=True, check=True, timeout=PATIENCE)

    def publish_raw(self, topic: str, payload: bytes) -> None:
        """One message of any bytes."""
        command = ["mosquitto_pub", "-p", str(self.port), "-t", topic, "-q", "1", "-s" if payload else "-n"]
        subprocess.run(command, input=payload, check=True, timeout=PATIENCE)


class Listener:
    """All messages of some topics, from when it was made on, as (topic, JSON).

    Args:
        broker: which is asked.
        topics: filters.
    """

    def __init__(self, broker: Broker, *topics: str) -> None:
        command = ["mosquitto_sub", "-p", str(broker.port), "-q", "1", "-v", "-t", "test/ready"]
        command += [word for topic in topics for word in ("-t", topic)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.messages: list[tuple[str, dict[str, Any]]] = []
        #: When each of them came, by time.monotonic().
        self.times: list[float] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        # Its subscription is known to the broker once something comes by it.
        for _ in range(int(PATIENCE / 0.1)):
            broker.publish("test/ready", "{}")
            if self._ready.wait(0.1):
                return
        raise AssertionError("the listener hears nothing")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            topic, payload = line.decode().rstrip("\n").split(" ", 1)
            if topic == "test/ready":
                self._ready.set()
            else:
                self.times.append(time.monotonic())
                self.messages.append((topic, json.loads(payload)))

    def of(self, topic: str) -> list[dict[str, Any]]:
        return [payload for name, payload in list(self.messages) if name == topic]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()


class Network:
    """A way to a broker that can lose what a client sends, and be cut."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.is_open = True
        self.loses = False
        self.lost = b""
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if not self.is_open:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._broker.port))
            self._sockets += [client, server]
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, to: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if up and self.loses:
                    self.lost += data
                else:
                    to.sendall(data)
        for one in (source, to):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Breaks what is open, and refuses what comes."""
        self.is_open = False
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def mend(self) -> None:
        self.loses = False
        self.is_open = True

    def close(self) -> None:
        self.cut()
        self._server.close()


@contextlib.contextmanager
def listening(broker: Broker, *topics: str) -> Iterator[Listener]:
    listener = Listener(broker, *topics)
    try:
        yield listener
    finally:
        listener.close()
