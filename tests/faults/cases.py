"""What is killed: for each command a small case, what must hold at any moment, and what at its end."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from abc import ABC, abstractmethod
from pathlib import Path

from edgekit.bundle import Bundle
from edgekit.devices.results import read_results

#: Seconds that a device may take to be left clean after its session was killed.
CLEAN = 30.0


def tree(folder: Path) -> dict[str, str]:
    """Every file of a folder, hidden ones too, by its path: SHA-256 of its bytes."""
    files = (path for path in folder.rglob("*") if not path.is_dir())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def leftovers(folder: Path) -> list[str]:
    """What a command that is over has not removed: hidden files and folders."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(".*"))


class Case(ABC):
    """A command into a folder.

    Args:
        inputs: `pump.npz`, `pump.safetensors` and others, as `inputs.py` makes them.
    """

    name: str
    #: Whether the command that was ended goes on, so that it is given again until it is done.
    resumes = False

    def __init__(self, inputs: Path) -> None:
        self.inputs = inputs

    @abstractmethod
    def words(self, folder: Path) -> list[object]:
        """The command line."""

    @abstractmethod
    def check(self, folder: Path, reference: Path) -> None:
        """Asserts what must hold whenever nothing works in the folder; `reference` was never disturbed."""

    def check_done(self, folder: Path, reference: Path) -> None:
        """Asserts what must hold after a run to the end."""
        assert tree(folder) == tree(reference)

    def clear(self, folder: Path) -> None:
        """Prepares for the next."""
        if self.resumes:
            shutil.rmtree(folder, ignore_errors=True)


class Export(Case):
    """`edgekit export --force`: the folder's bundle is replaced again and again."""

    name = "export"
    native = "--no-native"

    def words(self, folder: Path) -> list[object]:
        checkpoint = ("--checkpoint", self.inputs / "pump.safetensors", "--recipe", "fp32", self.native)
        return ["export", "stackvae-g", "--device", "linux-x86_64", *checkpoint, "--force", "-q", "-o", folder]

    def check(self, folder: Path, reference: Path) -> None:
        if not folder.exists():
            return
        for path in folder.iterdir():
            if not path.name.startswith("."):
                Bundle.open(path)
                assert tree(path) == tree(reference / path.name)
        assert len(leftovers_at_top(folder)) <= 2, leftovers_at_top(folder)


class ExportNative(Export):
    """The same with the runner and its libraries."""

    name = "export, native files"
    native = "--native"


class Train(Case):
    name = "train"
    resumes = True

    def words(self, folder: Path) -> list[object]:
        sizes = [word for setting in ("window=16", "hidden=8", "latent=4") for word in ("--set", setting)]
        data = ("--data", self.inputs / "pump.npz", "-o", folder / "pump.safetensors", "--epochs", 12)
        return ["train", "stackvae-g", *data, "-q", *sizes]

    def check(self, folder: Path, reference: Path) -> None:
        found, whole = tree(folder), tree(reference)
        for name, digest in found.items():
            if name in whole:
                assert digest == whole[name], name
            else:
                assert name == "pump.state" or name.startswith(".pump"), name
        # The lock, and at most one of each file: the next of the same name removes it.
        files = [name.split(".partial")[0].rsplit(".", 2)[0] for name in leftovers_at_top(folder)]
        assert len(files) == len(set(files)), files


class Fit(Case):
    name = "explain fit"
    resumes = True

    def words(self, folder: Path) -> list[object]:
        small = ("--features", 6, "--set", "iterations=60", "--set", "tokens=400", "--set", "context=none", "-q")
        given = ("--checkpoint", self.inputs / "sea.safetensors", "--data", self.inputs / "words.txt", "--layer", 1)
        folder.mkdir(exist_ok=True)
        return ["explain", "fit", *given, *small, "-o", folder / "d.safetensors"]

    def check(self, folder: Path, reference: Path) -> None:
        found, whole = tree(folder), tree(reference)
        for name, digest in found.items():
            if name in whole:
                assert digest == whole[name], name
            else:
                assert name == "d.layer1.state" or name.startswith(".d."), name


class Profile(Case):
    """`edgekit profile` here: its lock and folder are in places of their own."""

    name = "profile"

    def __init__(self, inputs: Path, places: Path) -> None:
        super().__init__(inputs)
        self.places = places

    def words(self, folder: Path) -> list[object]:
        return ["profile", self.inputs / "native", "--runs", 20, "-q", "-o", folder / "results.jsonl"]

    def check(self, folder: Path, reference: Path) -> None:
        Bundle.open(self.inputs / "native")
        if (folder / "results.jsonl").exists():
            read_results([folder / "results.jsonl"])

    def check_done(self, folder: Path, reference: Path) -> None:
        self.check(folder, reference)
        assert os.listdir(folder) == ["results.jsonl"]
        until = time.monotonic() + CLEAN
        while (left := self._left()) and time.monotonic() < until:
            time.sleep(0.1)
        assert left == []

    def _left(self) -> list[str]:
        """What is on the device of a session."""
        lock, root = self.places / "tmp" / "edgekit.lock", self.places / "cache" / "edgekit"
        return [str(path) for path in (lock, root) if os.path.lexists(path)]


class Sweep(Case):
    """`edgekit sweep` of one recipe, measured here."""

    name = "sweep"
    resumes = True

    def words(self, folder: Path) -> list[object]:
        given = ("--checkpoint", self.inputs / "pump.safetensors", "--recipe", "fp32", "--runs", 3)
        return ["sweep", "stackvae-g", "--device", "linux-x86_64", *given, "-q", "-o", folder]

    def check(self, folder: Path, reference: Path) -> None:
        if (folder / "results.jsonl").exists():
            read_results([folder / "results.jsonl"])
        for path in folder.glob("jobs/*.json"):
            json.loads(path.read_text())
        for path in folder.glob("bundles/[!.]*"):
            Bundle.open(path)
            assert tree(path) == tree(reference / "bundles" / path.name), path.name

    def check_done(self, folder: Path, reference: Path) -> None:
        self.check(folder, reference)
        names = ("bundles", "jobs", "results.jsonl")
        assert sorted(os.listdir(folder)) == list(names)
        assert leftovers(folder) == []
        assert {path.name for path in folder.rglob("*")} == {path.name for path in reference.rglob("*")}
        kinds = [
            sorted(one["target"]["kind"] for one in read_results([place / names[2]])) for place in (folder, reference)
        ]
        assert kinds[0] == kinds[1]


def leftovers_at_top(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".")] if folder.exists() else []


def all_cases(inputs: Path, places: Path) -> dict[str, Case]:
    """By name; `places` is the folder of `commands.Commands`."""
    cases = (
        *(Export(inputs), ExportNative(inputs), Train(inputs), Fit(inputs)),
        *(Profile(inputs, places), Sweep(inputs)),
    )
    return {case.name: case for case in cases}
