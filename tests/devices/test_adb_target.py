"""`edgekit profile` by adb: the real client, a stand-in server, and a folder as the device."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.devices.targets.adb import AdbConnection

from ..cli.refusals import refuse
from .adb_server import Device
from .loopback import waited
from .stand_ins import MEASURED, stand_in


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    if shutil.which("adb") is None:
        pytest.skip("needs the adb client: apt install adb")
    device = Device(tmp_path / "device")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(device.port))
    monkeypatch.setattr(AdbConnection, "root", str(device.root))
    try:
        yield device
    finally:
        device.close()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return stand_in(tmp_path, ballast=3_000_000)


@pytest.mark.parametrize("target", ["adb", "adb:8A2X0GQE5"])
def test_measures_and_leaves_the_device_as_it_was(device: Device, bundle: Path, cli: Callable[..., Any], target: str):
    done = cli("profile", bundle, "--target", target, "--json")
    assert done.code == 0, done.err
    (result,) = json.loads(done.out)["results"]
    assert result["target"] == {"kind": "adb", "address": target.partition(":")[2] or None, "emulated": False}
    assert result["measured"] == MEASURED | {"power": None}
    assert waited(device.is_clean, 10)


def test_a_bundle_that_is_kept(device: Device, bundle: Path, cli: Callable[..., Any]):
    assert cli("profile", bundle, "--target", "adb", "--keep").code == 0
    (kept,) = (device.root / "bundles").iterdir()
    assert (kept / "program.pte").stat().st_size == 3_000_000
    assert os.access(kept / "edgekit-run", os.X_OK)
    again = cli("profile", bundle, "--target", "adb")
    assert again.code == 0
    assert "copying" not in again.err


def test_no_device(device: Device, bundle: Path, cli: Callable[..., Any]):
    refuse(cli("profile", bundle, "--target", "adb:another", "-q"), 1, "adb sees no device another: plug it in")
    device.serials.append("another")
    refuse(cli("profile", bundle, "--target", "adb", "-q"), 1, "adb sees several devices: name one")
    device.serials.clear()
    refuse(cli("profile", bundle, "--target", "adb", "-q"), 1, "adb sees no device: plug it in")
    device.complaint = "device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set"
    refuse(cli("profile", bundle, "--target", "adb", "-q"), 1, "the device has not allowed this machine")


def test_without_the_client(device: Device, bundle: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(device.folder))
    refuse(cli("profile", bundle, "--target", "adb", "-q"), 1, "install adb (apt install adb)")


def test_android_has_no_glibc(device: Device, native_bundle: Path, cli: Callable[..., Any]):
    device.program("getprop", "case $1 in *release) echo 14;; *manufacturer) echo Google;; *model) echo Pixel 8;; esac")
    done = cli("profile", native_bundle, "--target", "adb", "-q")
    refuse(done, 2, "needs glibc 2.")
    assert "the device has bionic" in done.err


def test_a_hung_run(device: Device, tmp_path: Path, cli: Callable[..., Any]):
    bundle = stand_in(tmp_path, "exec sleep 1000\n")
    done = cli("profile", bundle, "--target", "adb", "--timeout", 1, "-q")
    refuse(done, 1, "stand-in did not finish its runs on the device in 1 s")
    assert waited(device.is_clean, 10)


def test_a_runner_that_is_ended(device: Device, tmp_path: Path, cli: Callable[..., Any]):
    done = cli("profile", stand_in(tmp_path, "kill -KILL $$\n"), "--target", "adb", "-q")
    refuse(done, 1, "stand-in's runner was ended by SIGKILL on the device")


def test_a_cable_that_is_pulled(device: Device, tmp_path: Path, cli: Callable[..., Any]):
    bundle = stand_in(tmp_path, "echo $$ > $HOME/running; exec sleep 1000\n")

    def pull() -> None:
        assert waited((device.folder / "running").exists, 30)
        device.unplug()

    thread = threading.Thread(target=pull)
    thread.start()
    done = cli("profile", bundle, "--target", "adb", "-q")
    thread.join()
    refuse(done, 1, "the connection to the device broke while stand-in was measured: the connection broke; nothing")
    assert not Path("/proc", (device.folder / "running").read_text().strip()).exists()
    assert waited(device.is_clean, 10)
