"""What the training of every model needs: a state that a stopped run goes on from, and a CPU that is not slowed down by
denormal numbers or by fetching memory from the system."""

from __future__ import annotations

import ctypes
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch

from edgekit.errors import EdgekitError, UsageError
from edgekit.files import locked, replacing
from edgekit.models.pickled import check_unpacked_size


class Stateful(Protocol):
    """A module, an optimizer, a schedule."""

    def state_dict(self) -> Any: ...
    def load_state_dict(self, state_dict: Any) -> Any: ...


class OtherRunError(UsageError):
    """A state is of a run with other data or settings.

    Args:
        path: of the state.
        differing: what differs, as of `differences`.
        states: all states of that run; they are to be deleted together.
    """

    def __init__(self, path: Path, differing: str, states: Sequence[Path]) -> None:
        self.path, self.differing = path, differing
        super().__init__(
            f"{path} belongs to a run with other data or settings ({differing}): repeat that run's to resume it, "
            f"or delete {', '.join(map(str, states))} to start again."
        )


def differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which values differ, by name, such as "seed 0 there, 1 now"; digests of data are named only."""
    found = []
    before, after = _flat(there), _flat(now)
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            digest = all(value is None or (isinstance(value, str) and len(value) == 64) for value in (old, new))
            found.append(f"{name} is another" if digest else f"{name} {_text(old)} there, {_text(new)} now")
    return "; ".join(found)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of nested mappings by their own names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value) if isinstance(value, Mapping) else {name: value}
    return flat


def _text(value: object) -> str:
    return "none" if value is None else str(value)


class TrainingState:
    """What an interrupted run needs to go on as if it had not been.

    Args:
        run: what identifies the run: configuration, options, data; plain values.
        generator: of all random numbers.
        parts: modules, optimizers and schedules, by their names in the file.
        kept: further values (tensors, numbers) by name; `load` replaces them.
    """

    def __init__(
        self,
        run: Mapping[str, Any],
        generator: torch.Generator,
        parts: Mapping[str, Stateful],
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        self.run = dict(run)
        self.generator = generator
        self.parts = dict(parts)
        self.kept = dict(kept or {})

    def save(self, path: Path, epoch: int) -> None:
        """Writes the whole file or nothing."""
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"run": self.run, "epoch": epoch, "random": self.generator.get_state(), **self.kept}
        with replacing(path) as temporary:
            torch.save(state, temporary)

    def load(self, path: Path) -> int:
        """Epochs already done; 0 when there is no state.

        Raises:
            OtherRunError: the state is of a run with other data or settings.
            EdgekitError: it is damaged.
        """
        if not path.exists():
            return 0
        check_unpacked_size(path, "the training state ")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["run"] != self.run:
                raise OtherRunError(path, differences(state["run"], self.run), [path])
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            self.generator.set_state(state["random"])
            self.kept = {name: state[name] for name in self.kept}
            return int(state["epoch"])
        except (RuntimeError, KeyError, TypeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            raise EdgekitError(f"the training state {path} is damaged: delete it to start again.") from error


def alone(path: Path) -> AbstractContextManager[None]:
    """For as long as a checkpoint is trained: no other process trains it.

    Raises:
        EdgekitError: another one does; as the block is entered.
    """
    return locked(path, f"{path} is being trained by another process: wait for its end, or choose another -o.")


def left_at_the_end(state: Path, epochs: int) -> bool:
    """Whether a run was stopped after its last epoch, before all that comes of it was written: its state is there."""
    if not state.is_file():
        return False
    try:
        found = torch.load(state, map_location="cpu", weights_only=True)
        return int(found["epoch"]) >= epochs
    except (RuntimeError, KeyError, TypeError, EOFError, OSError, ValueError, pickle.UnpicklingError):
        return False


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Takes denormal numbers as zero meanwhile.

    Weights that decay and faint sigmoids drag activations and Adam's moments into denormals, which cost an x86 CPU
    tenfold time.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


#: mallopt's parameters (malloc.h), and glibc's own values, which cannot be asked for.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_GLIBC_VALUES = {_M_TRIM_THRESHOLD: 128 << 10, _M_TOP_PAD: 128 << 10, _M_MMAP_MAX: 65536}
_KEEPING_VALUES = {_M_TRIM_THRESHOLD: (1 << 31) - 1, _M_TOP_PAD: 256 << 20, _M_MMAP_MAX: 0}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Lets glibc keep freed memory for the next tensor meanwhile; elsewhere it does nothing.

    By default every large tensor is fetched from the system and given back: page faults that took a third of a training
    step with activations of 64 MB.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        yield
        return
    try:
        for parameter, value in _KEEPING_VALUES.items():
            mallopt(parameter, value)
        yield
    finally:
        for parameter, value in _GLIBC_VALUES.items():
            mallopt(parameter, value)
        malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if malloc_trim is not None:
            malloc_trim(0)
