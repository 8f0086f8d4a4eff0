"""Time series from CSV and npy files, checked before anything is computed from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgekit_runtime import _native
from edgekit_runtime.tensors import Array

MAX_SERIES_BYTES = _native.MAX_SERIES_BYTES
SERIES_SUFFIXES = (".csv", ".txt", ".npy")


@dataclass(frozen=True)
class Series:
    """Rows of sensor readings.

    Attributes:
        values: (T, C) float32, finite.
        channels: C channel names, from the header where there is one, else "channel 1" and so on.
        times: T row labels (a leading column of text, such as a timestamp, or without a name), or None.
        named: whether the channels' names come from a header.
    """

    values: npt.NDArray[np.float32]
    channels: tuple[str, ...]
    times: tuple[str, ...] | None = None
    named: bool = False


def read_series(path: str | os.PathLike[str], channels: int | None = None) -> Series:
    """Reads a series from `.csv`/`.txt` (comma separated, header and a leading text column optional) or `.npy`.

    Args:
        path: the file.
        channels: the number of channels that it must have, if that is known.

    Raises:
        UsageError: no such file, or a file of another kind.
        EdgekitError: the file cannot be parsed, has missing values or another number of channels.
    """
    return Series(*_native.read_series(os.fspath(path), channels or 0))


def read_npy(path: str | os.PathLike[str]) -> Array:
    """An array of numbers from a `.npy` file, in C order; files that would need pickle are refused."""
    return _native.read_npy(os.fspath(path))


def in_order(series: Series, channels: Sequence[str], origin: object) -> Series:
    """The series with exactly these channels: by name where both have names, else by position.

    Raises:
        EdgekitError: another number of channels, or other names.
    """
    order = _native.channel_order(series.channels, series.named, channels, str(origin))
    if tuple(channels) == default_names(len(channels)):  # trained without a header: no names to go by
        return series
    return replace(series, values=np.ascontiguousarray(series.values[:, order]), channels=tuple(channels))


def check_values(series: Series, origin: object) -> None:
    """Raises EdgekitError at the first value that is missing or infinite, naming its row and channel."""
    _native.check_values(np.ascontiguousarray(series.values, np.float32), series.channels, str(origin))


def default_names(count: int) -> tuple[str, ...]:
    """What channels are called that have no name."""
    return tuple(f"channel {index + 1}" for index in range(count))
