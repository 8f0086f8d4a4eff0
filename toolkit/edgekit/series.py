"""Time series from CSV and npy files, checked before anything is computed from them."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit.errors import EdgekitError, UsageError

MAX_SERIES_BYTES = 4 << 30
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


def in_order(series: Series, channels: Sequence[str], origin: object) -> Series:
    """The series with exactly these channels: by name where both have names, else by position.

    Raises:
        EdgekitError: another number of channels, or other names.
    """
    if len(series.channels) != len(channels):
        raise EdgekitError(
            f"{origin} has {len(series.channels)} channels, {len(channels)} are needed: {_listed(channels)}."
        )
    if tuple(channels) == default_names(len(channels)):  # trained without a header: no names to go by
        return series
    if not series.named:
        return replace(series, channels=tuple(channels))
    places = {name: index for index, name in enumerate(series.channels)}
    missing = [name for name in channels if name not in places]
    if missing:
        strange = next(name for name in series.channels if name not in channels)
        raise EdgekitError(
            f"{origin} has no channel {missing[0]!r} but one called {strange!r}: name the columns as in training, or "
            f"leave the header out to match them by position ({_listed(channels)})."
        )
    order = [places[name] for name in channels]
    return replace(series, values=np.ascontiguousarray(series.values[:, order]), channels=tuple(channels))


def default_names(count: int) -> tuple[str, ...]:
    """What channels are called that have no name."""
    return tuple(f"channel {index + 1}" for index in range(count))


def _listed(channels: Sequence[str]) -> str:
    shown = ", ".join(channels[:8])
    return shown if len(channels) <= 8 else f"{shown}, ..."


def read_series(path: Path, channels: int | None = None) -> Series:
    """Reads a series from `.csv`/`.txt` (comma separated, header and a leading text column optional) or `.npy`.

    Args:
        path: the file.
        channels: the number of channels that it must have, if that is known.

    Raises:
        UsageError: no such file, or a file of another kind.
        EdgekitError: the file cannot be parsed, has missing values or another number of channels.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}: check the path.")
    if path.stat().st_size > MAX_SERIES_BYTES:
        raise EdgekitError(f"{path} is larger than {MAX_SERIES_BYTES >> 30} GiB: split it into shorter series.")
    if path.suffix == ".npy":
        series = _from_values(read_npy(path), path)
    elif path.suffix in SERIES_SUFFIXES:
        series = _read_csv(path)
    else:
        raise UsageError(f"{path} is not a series: give a {', '.join(SERIES_SUFFIXES)} file.")
    check_values(series, path)
    if channels is not None and len(series.channels) != channels:
        raise EdgekitError(
            f"{path} has {len(series.channels)} channels, {channels} are needed: give the columns that the model was "
            f"trained on."
        )
    return series


def read_npy(path: Path) -> npt.NDArray[np.generic]:
    """An array from a `.npy` file; files that would need pickle are refused."""
    try:
        # Mapped first: the header's shape is checked against the file's size before memory is taken.
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise EdgekitError(f"{path} is not a numpy array file (or holds objects, or is cut short).") from error


def _from_values(values: npt.NDArray[np.generic], path: Path) -> Series:
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise EdgekitError(
            f"{path} holds {values.dtype} {values.shape}: a series is numbers of shape (rows, channels)."
        )
    names = default_names(values.shape[1])
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which the caller refuses
        return Series(np.ascontiguousarray(values, dtype=np.float32), names)


def _read_csv(path: Path) -> Series:
    import pandas as pd  # half a second of import, needed by text files only

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((row for row in csv.reader(file, skipinitialspace=True) if row), [""])
        # A leading timestamp does not make a header: a header has no number at all. An index column may lack a name.
        named = first[1:] if len(first) > 1 and not first[0] else first
        header = 0 if not any(_is_number(cell) for cell in named) else None
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows with more cells than the header has
            frame = pd.read_csv(path, header=header, index_col=False, encoding="utf-8-sig", skipinitialspace=True)
    except pd.errors.EmptyDataError:
        raise EdgekitError(f"{path} is empty: give rows of numbers, separated by commas.") from None
    except (ValueError, csv.Error, pd.errors.ParserWarning) as error:
        raise EdgekitError(f"{path} cannot be read as comma-separated values: {_first_line(error)}.") from error
    if frame.empty:
        raise EdgekitError(f"{path} has no rows: give rows of numbers below the header.")
    times = None
    labels = frame.iloc[:, 0]
    text = not pd.api.types.is_numeric_dtype(labels)
    # A column of text and numbers is a channel with a fault in it; one without a name in the header is an index.
    if (text and pd.to_numeric(labels, errors="coerce").isna().all()) or (header == 0 and not first[0]):
        times = tuple(str(label) for label in labels)
        frame = frame.iloc[:, 1:]
    if frame.shape[1] == 0:
        raise EdgekitError(f"{path} has no column of numbers: separate the columns by commas.")
    names = tuple(map(str, frame.columns)) if header == 0 else default_names(frame.shape[1])
    for index, name in enumerate(names):
        column = frame.iloc[:, index]
        if not pd.api.types.is_numeric_dtype(column):
            numbers = pd.to_numeric(column, errors="coerce")
            row = int(np.argmax((numbers.isna() & column.notna()).to_numpy()))
            raise EdgekitError(
                f"{path}, row {row + 1}, {name!r}: {column.iloc[row]!r} is not a number: mend or drop the row."
            )
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which the caller refuses
        return Series(np.ascontiguousarray(frame.to_numpy(dtype=np.float32)), names, times, header == 0)


def check_values(series: Series, origin: object) -> None:
    """Raises EdgekitError at the first value that is missing or infinite, naming its row and channel."""
    if series.values.size == 0:
        raise EdgekitError(f"{origin} has no values.")
    bad = ~np.isfinite(series.values)
    if bad.any():
        row, channel = (int(index) for index in np.argwhere(bad)[0])
        raise EdgekitError(
            f"{origin}, row {row + 1}, {series.channels[channel]!r} is missing or not finite "
            f"({int(bad.any(axis=1).sum())} such rows): fill or drop them first."
        )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip() == ""
    return True


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["unknown error"])[0].rstrip(".")
