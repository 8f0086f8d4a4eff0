"""Series from files: what is read, and what is refused with its place."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from edgekit import series as series_module
from edgekit.errors import EdgekitError, UsageError
from edgekit.series import Series, in_order, read_npy, read_series

VALUES = np.array([[1.5, -2.0, 3e-3], [4.0, 5.25, 6e3]], np.float32)
PLAIN = "1.5,-2,3e-3\n4,5.25,6e3\n"
NUMBERED = ("channel 1", "channel 2", "channel 3")


@pytest.fixture
def file(tmp_path: Path):
    def write(content: str | bytes, name: str = "series.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def check(series: Series, channels: tuple[str, ...], times: tuple[str, ...] | None) -> None:
    np.testing.assert_array_equal(series.values, VALUES)
    assert series.values.dtype == np.float32
    assert series.values.flags.c_contiguous
    assert (series.channels, series.times) == (channels, times)


@pytest.mark.parametrize("name", ["series.csv", "series.txt"])
@pytest.mark.parametrize(
    ("content", "channels", "times"),
    [
        (PLAIN, NUMBERED, None),
        (PLAIN.rstrip("\n"), NUMBERED, None),
        (PLAIN.replace("\n", "\r\n"), NUMBERED, None),
        (PLAIN.replace(",", ", "), NUMBERED, None),
        ("\ufeff" + PLAIN, NUMBERED, None),
        ("\n" + PLAIN, NUMBERED, None),
        ('"1.5","-2","3e-3"\n"4","5.25","6e3"\n', NUMBERED, None),
        ("cpu,mem,größe\n" + PLAIN, ("cpu", "mem", "größe"), None),
        ('"cpu, user",mem,disk\n' + PLAIN, ("cpu, user", "mem", "disk"), None),
        ("\ufeffcpu,mem,disk\n" + PLAIN, ("cpu", "mem", "disk"), None),
        ("a:0,1.5,-2,3e-3\na:1,4,5.25,6e3\n", NUMBERED, ("a:0", "a:1")),
        ("2026-11-23,1.5,-2,3e-3\n2026-11-24,4,5.25,6e3\n", NUMBERED, ("2026-11-23", "2026-11-24")),
        ("time,a,b,c\n00:01,1.5,-2,3e-3\n00:02,4,5.25,6e3\n", ("a", "b", "c"), ("00:01", "00:02")),
        # As pandas writes a frame: the index has no name.
        (",a,b,c\n0,1.5,-2,3e-3\n1,4,5.25,6e3\n", ("a", "b", "c"), ("0", "1")),
        (",a,b,c\n2026-11-23,1.5,-2,3e-3\n2026-11-24,4,5.25,6e3\n", ("a", "b", "c"), ("2026-11-23", "2026-11-24")),
    ],
)
def test_csv(file, content: str, name: str, channels: tuple[str, ...], times: tuple[str, ...] | None):
    check(read_series(file(content, name), channels=3), channels, times)


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f8", "float16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path: Path, dtype: str, order: str):
    np.save(tmp_path / "series.npy", np.asarray(VALUES, dtype=dtype, order=order))
    series = read_series(tmp_path / "series.npy", channels=3)
    np.testing.assert_array_equal(series.values, VALUES.astype(dtype).astype(np.float32))
    assert series.values.flags.c_contiguous
    assert (series.channels, series.times) == (NUMBERED, None)


@pytest.mark.parametrize("values", [np.arange(5), np.arange(5) > 2, np.arange(5, dtype=np.uint8)])
def test_one_channel_of_any_numbers(tmp_path: Path, values: np.ndarray):
    np.save(tmp_path / "series.npy", values)
    series = read_series(tmp_path / "series.npy")
    np.testing.assert_array_equal(series.values, values.astype(np.float32)[:, None])


def test_array_is_in_memory(tmp_path: Path):
    path = tmp_path / "array.npy"
    np.save(path, VALUES)
    array = read_npy(path)
    os.truncate(path, 0)  # a mapped file would be gone
    np.testing.assert_array_equal(array, VALUES)
    array[:] = 0


def refuse(path: Path, channels: int | None = None, kind: type[EdgekitError] = EdgekitError) -> str:
    with pytest.raises(EdgekitError) as caught:
        read_series(path, channels)
    assert type(caught.value) is kind
    says = str(caught.value)
    assert says.startswith(str(path)) or kind is UsageError
    assert says.endswith(".")
    assert "\n" not in says
    return says.removeprefix(str(path))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        # Missing and infinite values, by row (without the header) and channel.
        ("1,2\n3,nan\n", ", row 2, 'channel 2' is missing or not finite (1 such rows)"),
        ("a,b\n1,2\n3,\n,\n", ", row 2, 'b' is missing or not finite (2 such rows)"),
        ("a,b\n1,2\n-inf,4\n", ", row 2, 'a' is missing or not finite"),
        ("a,b\n1,2\n3\n", ", row 2, 'b' is missing"),
        ("t,a,b\nx,1,1e39\n", ", row 1, 'b' is missing or not finite"),
        # Text among the numbers, in any column, the first too.
        ("1,2\n3,abc\n", ", row 2, 'channel 2': 'abc' is not a number"),
        ("a,b\n1,2\n3,4\n1.5V,6\n", ", row 3, 'a': '1.5V' is not a number"),
        ("t,a,b\nx,1,2\ny,3,0x10\n", ", row 2, 'b': '0x10' is not a number"),
        ("t,a,b\nx,,2\ny,3?,4\n", ", row 2, 'a': '3?' is not a number"),
        # Not a table at all.
        ("", " is empty: give rows of numbers"),
        ("\n\n", " is empty: give rows of numbers"),
        ("a,b\n1,2\n3,4,5\n", " cannot be read as comma-separated values"),
        ("a,b\n1,2,3\n4,5,6\n", " cannot be read as comma-separated values"),
        (b"a,b\n\xff,2\n", " cannot be read as comma-separated values"),
        ("a,b\n", " has no rows"),
        ("t\nx\ny\n", " has no column of numbers"),
        ("a;b\n1;2\n", " has no column of numbers: separate the columns by commas"),
    ],
)
def test_what_a_csv_may_not_hold(file, content: str | bytes, says: str):
    assert refuse(file(content)).startswith(says)


def test_missing_values_in_npy_are_named(tmp_path: Path):
    values = np.zeros((9, 4), np.float32)
    values[6, 2] = values[7] = np.nan
    np.save(tmp_path / "series.npy", values)
    assert refuse(tmp_path / "series.npy").startswith(", row 7, 'channel 3' is missing or not finite (2 such rows)")


@pytest.mark.parametrize("name", ["series.csv", "series.npy"])
def test_wrong_channel_count(tmp_path: Path, file, name: str):
    path = file(PLAIN, name)
    if name.endswith(".npy"):
        np.save(path, VALUES)
    assert refuse(path, channels=4) == " has 3 channels, 4 are needed: give the columns that the model was trained on."


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((2, 3, 4)),
        np.zeros(()),
        np.zeros((2, 3), complex),
        np.array([["1", "2"]]),
        np.zeros(3, dtype=[("a", "f4")]),
        np.zeros(3, dtype="datetime64[s]"),
    ],
)
def test_arrays_that_are_no_series(tmp_path: Path, values: np.ndarray):
    np.save(tmp_path / "series.npy", values)
    assert "a series is numbers of shape (rows, channels)" in refuse(tmp_path / "series.npy")


def test_no_rows(tmp_path: Path):
    np.save(tmp_path / "series.npy", np.zeros((0, 3), np.float32))
    refuse(tmp_path / "series.npy")


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_pickles_are_not_opened(tmp_path: Path):
    objects = np.empty(1, object)
    objects[0] = Trap(tmp_path / "sprung")
    np.save(tmp_path / "series.npy", objects, allow_pickle=True)
    assert "holds objects" in refuse(tmp_path / "series.npy")
    (tmp_path / "series.npy").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    assert "is not a numpy array file" in refuse(tmp_path / "series.npy")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("keep", [0, 5, 60, -1, -VALUES.nbytes])
def test_truncated_npy(tmp_path: Path, keep: int):
    path = tmp_path / "series.npy"
    np.save(path, VALUES)
    path.write_bytes(path.read_bytes()[:keep])
    assert "is cut short" in refuse(path)


def test_a_header_that_promises_too_much_takes_no_memory(tmp_path: Path):
    path = tmp_path / "series.npy"
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**12, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(VALUES.tobytes())
    assert "is cut short" in refuse(path)


def test_no_such_file_and_other_kinds(tmp_path: Path, file):
    assert "there is no file" in refuse(tmp_path / "none.csv", kind=UsageError)
    assert "there is no file" in refuse(tmp_path, kind=UsageError)
    assert ".csv, .txt, .npy" in refuse(file(PLAIN, "series.xlsx"), kind=UsageError)


def test_too_large(file, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(series_module, "MAX_SERIES_BYTES", len(PLAIN) - 1)
    assert "split it" in refuse(file(PLAIN))


def test_channels_are_matched_by_name_where_there_are_names(tmp_path):
    (tmp_path / "swapped.csv").write_text("time,b,a\nx,2,1\ny,4,3\n")
    series = read_series(tmp_path / "swapped.csv")
    ordered = in_order(series, ("a", "b"), "swapped.csv")
    assert ordered.channels == ("a", "b")
    assert ordered.values.tolist() == [[1, 2], [3, 4]]
    assert ordered.times == series.times


def test_channels_without_names_are_matched_by_place(tmp_path):
    (tmp_path / "bare.csv").write_text("2,1\n4,3\n")
    bare = in_order(read_series(tmp_path / "bare.csv"), ("a", "b"), "bare.csv")
    assert (bare.channels, bare.values.tolist()) == (("a", "b"), [[2, 1], [4, 3]])
    (tmp_path / "named.csv").write_text("b,a\n2,1\n")
    named = in_order(read_series(tmp_path / "named.csv"), ("channel 1", "channel 2"), "named.csv")
    assert (named.channels, named.values.tolist()) == (("b", "a"), [[2, 1]])


def test_other_names_are_refused(tmp_path):
    (tmp_path / "other.csv").write_text("a,c\n2,1\n")
    with pytest.raises(EdgekitError, match="has no channel 'b' but one called 'c'"):
        in_order(read_series(tmp_path / "other.csv"), ("a", "b"), "other.csv")
    with pytest.raises(EdgekitError, match="has 2 channels, 3 are needed: a, b, c"):
        in_order(read_series(tmp_path / "other.csv"), ("a", "b", "c"), "other.csv")
