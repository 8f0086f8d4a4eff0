"""Series from files: what is read, as pandas and numpy read it, and what is refused with its place."""

from __future__ import annotations

import locale
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgekit_runtime.errors import EdgekitError, UsageError
from edgekit_runtime.series import (
    MAX_SERIES_BYTES,
    Series,
    check_values,
    default_names,
    in_order,
    read_npy,
    read_series,
)

VALUES = np.array([[1.5, -2.0, 3e-3], [4.0, 5.25, 6e3]], np.float32)
PLAIN = "1.5,-2,3e-3\n4,5.25,6e3\n"
NUMBERED = ("channel 1", "channel 2", "channel 3")

#: Every example writes the same file anew.
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


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
        (PLAIN.replace("\n", "\r"), NUMBERED, None),
        (PLAIN.replace("\n", "\n \t\n\n"), NUMBERED, None),
        (PLAIN.replace(",", ", "), NUMBERED, None),
        (PLAIN.replace(",", " ,"), NUMBERED, None),
        ("\ufeff" + PLAIN, NUMBERED, None),
        ("\n" + PLAIN, NUMBERED, None),
        ('"1.5","-2","3e-3"\n"4","5.25","6e3"\n', NUMBERED, None),
        ("cpu,mem,größe\n" + PLAIN, ("cpu", "mem", "größe"), None),
        ('"cpu, user",mem,disk\n' + PLAIN, ("cpu, user", "mem", "disk"), None),
        ('"the ""big"" one","mem\nory",disk\n' + PLAIN, ('the "big" one', "mem\nory", "disk"), None),
        ("\ufeffcpu,mem,disk\n" + PLAIN, ("cpu", "mem", "disk"), None),
        ("a,b,a\n" + PLAIN, ("a", "b", "a.1"), None),
        ("a,a,a.1\n" + PLAIN, ("a", "a.2", "a.1"), None),
        ("a,b,c\n" + PLAIN.replace("\n", ",\n"), ("a", "b", "c"), None),  # every row ends with a comma
        ("a:0,1.5,-2,3e-3\na:1,4,5.25,6e3\n", NUMBERED, ("a:0", "a:1")),
        ("2026-11-23,1.5,-2,3e-3\n2026-11-24,4,5.25,6e3\n", NUMBERED, ("2026-11-23", "2026-11-24")),
        ("time,a,b,c\n00:01,1.5,-2,3e-3\n00:02,4,5.25,6e3\n", ("a", "b", "c"), ("00:01", "00:02")),
        # Labels stay as they are in the file.
        ("time,a,b,c\nNA,1.5,-2,3e-3\n00:02,4,5.25,6e3\n", ("a", "b", "c"), ("NA", "00:02")),
        # As pandas writes a frame: the index has no name.
        (",a,b,c\n0,1.5,-2,3e-3\n1,4,5.25,6e3\n", ("a", "b", "c"), ("0", "1")),
        (",a,b,c\n2026-11-23,1.5,-2,3e-3\n2026-11-24,4,5.25,6e3\n", ("a", "b", "c"), ("2026-11-23", "2026-11-24")),
    ],
)
def test_csv(file, content: str, name: str, channels: tuple[str, ...], times: tuple[str, ...] | None):
    check(read_series(file(content, name), channels=3), channels, times)


def test_truth_values_are_numbers_in_a_column_of_their_own(file):
    assert read_series(file("open,a\nTrue,1\nFALSE,2\n")).values.tolist() == [[1, 1], [0, 2]]
    assert refuse(file("a,open\n1,2\n2,true\n")).startswith(", row 2, 'open': 'true' is not a number")


names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1).filter(
    lambda text: not text.isdecimal()
)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
number = st.one_of(
    floats.map(repr),
    # Rounded, the largest float is none any more.
    floats.filter(lambda value: abs(value) < 3.4e38).map(lambda value: f"{value:.3e}"),
    floats.map(lambda value: f"{value:+.12g}"),
    st.integers(-(2**53), 2**53).map(str),
    st.sampled_from(["-0", "1.", ".5", "+7", "00012", "1e-400", "0e999", "1E5", "0.1" + 60 * "3"]),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, bool, bool]:
    """A table's text, whether it has a header, whether its first column has labels."""
    width, count = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    header, labels = draw(st.booleans()), draw(st.booleans())
    rows = [[draw(number) for _ in range(width)] for _ in range(count)]
    if labels:
        rows = [[f"2026-11-24 {place:02}:{draw(st.integers(0, 59)):02}", *row] for place, row in enumerate(rows)]
    if header:
        # "n" before it: no name is a number, or what pandas takes for a missing one.
        titles = draw(st.lists(names.map("n{}".format), min_size=width + labels, max_size=width + labels, unique=True))
        rows.insert(0, titles)
    end = draw(st.sampled_from(["\n", "\r\n", "\n\n"]))

    def cell(text: str) -> str:
        if any(c in text for c in ',"') or draw(st.booleans()):
            text = '"' + text.replace('"', '""') + '"'
        return draw(st.sampled_from(["", " "])) + text

    text = end.join(",".join(map(cell, row)) for row in rows) + draw(st.sampled_from(["", end]))
    return draw(st.sampled_from(["", "\ufeff"])) + text, header, labels


@same_folder
@given(tables())
def test_csv_like_pandas(tmp_path: Path, table: tuple[str, bool, bool]):
    text, header, labels = table
    path = tmp_path / "series.csv"
    path.write_bytes(text.encode())
    frame = pd.read_csv(
        path,
        header=0 if header else None,
        index_col=False,
        encoding="utf-8-sig",
        skipinitialspace=True,
        float_precision="round_trip",
    )
    times = tuple(frame.pop(frame.columns[0])) if labels else None
    series = read_series(path)
    np.testing.assert_array_equal(series.values, frame.to_numpy(np.float64).astype(np.float32))
    assert series.channels == (tuple(frame.columns) if header else default_names(frame.shape[1]))
    assert (series.times, series.named) == (times, header)


def test_a_large_csv_like_pandas(file):
    values = np.random.default_rng(0).standard_normal((20000, 12)).astype(np.float32)
    frame = pd.DataFrame(values, pd.date_range("2026-01-01", periods=len(values), freq="s"), list("abcdefghijkl"))
    path = file(frame.to_csv(index_label="time"))
    series = read_series(path)
    np.testing.assert_array_equal(series.values, values)
    assert series.channels == tuple("abcdefghijkl")
    assert series.times == tuple(map(str, frame.index))


def test_the_locale_does_not_matter(file):
    before = locale.setlocale(locale.LC_NUMERIC)
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8"):
        try:
            locale.setlocale(locale.LC_NUMERIC, name)
        except locale.Error:
            continue
        try:
            check(read_series(file(PLAIN)), NUMBERED, None)
        finally:
            locale.setlocale(locale.LC_NUMERIC, before)
        return
    pytest.skip("no locale with a decimal comma is installed")


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", ">f4", ">f8", "i1", "i2", "i4", "i8", ">i2", "u1", "u2", "u4", "u8", "?"]
)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_npy(tmp_path: Path, dtype: str, order: str, version: tuple[int, int]):
    values = np.asarray(np.random.default_rng(0).integers(0, 100, (40, 3)), dtype=dtype, order=order)
    if values.dtype.kind == "f":
        values /= 7
    with (tmp_path / "series.npy").open("wb") as file:
        np.lib.format.write_array(file, values, version)
    series = read_series(tmp_path / "series.npy", channels=3)
    np.testing.assert_array_equal(series.values, values.astype(np.float32))
    assert series.values.dtype == np.float32
    assert series.values.flags.c_contiguous
    assert (series.channels, series.times, series.named) == (NUMBERED, None, False)


def test_every_half_precision_number(tmp_path: Path):
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    np.save(tmp_path / "series.npy", halves)
    np.testing.assert_array_equal(read_series(tmp_path / "series.npy").values[:, 0], halves.astype(np.float32))


@pytest.mark.parametrize("values", [np.arange(5), np.arange(5) > 2, np.arange(5, dtype=np.uint8)])
def test_one_channel_of_any_numbers(tmp_path: Path, values: np.ndarray):
    np.save(tmp_path / "series.npy", values)
    series = read_series(tmp_path / "series.npy")
    np.testing.assert_array_equal(series.values, values.astype(np.float32)[:, None])


numbers = st.sampled_from(["f2", "f4", "f8", ">f8", "i1", "i2", "i4", "i8", ">i4", "u1", "?"])


@same_folder
@given(numbers.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=4))), st.booleans())
def test_arrays_of_any_shape(tmp_path: Path, values: np.ndarray, fortran: bool):
    path = tmp_path / "array.npy"
    np.save(path, np.asarray(values, order="F" if fortran else "C"))
    array = read_npy(path)
    np.testing.assert_array_equal(array, values)
    assert (array.shape, array.dtype) == (values.shape, values.dtype.newbyteorder("="))
    assert array.flags.c_contiguous


def test_arrays_without_elements(tmp_path: Path):
    np.save(tmp_path / "array.npy", np.zeros((3, 0, 2), np.int32))
    assert read_npy(tmp_path / "array.npy").shape == (3, 0, 2)


def test_array_is_in_memory(tmp_path: Path):
    path = tmp_path / "array.npy"
    np.save(path, VALUES)
    array = read_npy(path)
    os.truncate(path, 0)  # a mapped file would be gone
    np.testing.assert_array_equal(array, VALUES)
    array[:] = 0


@pytest.mark.parametrize("values", [np.zeros(3, np.uint16), np.zeros(3, complex), np.array(["1"])])
def test_arrays_that_no_program_takes(tmp_path: Path, values: np.ndarray):
    np.save(tmp_path / "array.npy", values)
    with pytest.raises(EdgekitError, match=r"holds .*: no program takes that, convert it\."):
        read_npy(tmp_path / "array.npy")


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
        ("1,2\n3,nan\n", ", row 2, 'channel 2' is missing or not finite (1 such rows): fill or drop them first."),
        ("a,b\n1,2\n3,\n,\n", ", row 2, 'b' is missing or not finite (2 such rows)"),
        ("a,b\n1,2\n,3\n4,\n", ", row 2, 'a' is missing or not finite (2 such rows)"),
        ("t,a,b\nx,1,2\n,1,\n", ", row 2, 'b' is missing or not finite (1 such rows)"),
        ("a,b\n1,2\n-inf,4\n", ", row 2, 'a' is missing or not finite"),
        ("a,b\n1,2\n3\n", ", row 2, 'b' is missing"),
        ("t,a,b\nx,1,1e39\n", ", row 1, 'b' is missing or not finite"),
        ("t,a,b\nx,1,-1e999999999999999999999\n", ", row 1, 'b' is missing or not finite"),
        ("a,b\n1,#N/A\n", ", row 1, 'b' is missing or not finite"),
        # Text among the numbers, in any column, the first too.
        ("1,2\n3,abc\n", ", row 2, 'channel 2': 'abc' is not a number: mend or drop the row."),
        ("a,b\n1,2\n3,4\n1.5V,6\n", ", row 3, 'a': '1.5V' is not a number"),
        ("t,a,b\nx,1,2\ny,3,0x10\n", ", row 2, 'b': '0x10' is not a number"),
        ("t,a,b\nx,,2\ny,3?,4\n", ", row 2, 'a': '3?' is not a number"),
        ("a,b\n1,+-2\n", ", row 1, 'b': '+-2' is not a number"),
        ("a,b\n1,1e\n", ", row 1, 'b': '1e' is not a number"),
        ("a,b\n1,2 3\n", ", row 1, 'b': '2 3' is not a number"),
        ("a,it's\n1,x\n", """, row 1, "it's": 'x' is not a number"""),
        ('a,b\n1,"2\n3"\n', ", row 1, 'b': '2\\n3' is not a number"),
        ("a,b\n1," + 1000 * "ü" + "\n", f", row 1, 'b': '{40 * 'ü'}...' is not a number"),
        # Not a table at all.
        ("", " is empty: give rows of numbers, separated by commas."),
        ("\n\n", " is empty: give rows of numbers"),
        ("\ufeff", " is empty: give rows of numbers"),
        ("a,b\n1,2\n3,4,5\n", " cannot be read as comma-separated values: line 3 has 3 cells where 2 are expected."),
        ("a,b\n\n1,2,3\n4,5,6\n", " cannot be read as comma-separated values: line 3 has 3 cells"),
        ("1,2\n3,4,\n", " cannot be read as comma-separated values: line 2 has 3 cells"),
        (b"a,b\n\xff,2\n", " cannot be read as comma-separated values: line 2 is not UTF-8."),
        (b"a,\xc0\x80\n1,2\n", " cannot be read as comma-separated values: line 1 is not UTF-8."),
        (b"a,\xed\xa0\x80\n1,2\n", " cannot be read as comma-separated values: line 1 is not UTF-8."),
        ("a,b\n1,2".encode("utf-16"), " cannot be read as comma-separated values: line 1"),
        ("a,b\n1,\0\n", " cannot be read as comma-separated values: line 2 holds a null byte."),
        (
            'a,b\n1,"2\n3\n',
            " cannot be read as comma-separated values: line 2 opens a quotation mark that is not closed.",
        ),
        (70000 * ",", " cannot be read as comma-separated values: line 1 has more than 65536 cells."),
        ("a\n" + (17 << 20) * "1", " cannot be read as comma-separated values: line 2 is longer than 16 MiB."),
        ("a,b\n", " has no rows: give rows of numbers below the header."),
        ("t\nx\ny\n", " has no column of numbers"),
        ("a;b\n1;2\n", " has no column of numbers: separate the columns by commas."),
    ],
)
def test_what_a_csv_may_not_hold(file, content: str | bytes, says: str):
    assert refuse(file(content)).startswith(says)


def test_short_rows_take_no_memory(file):
    """A wide header above many short rows: as a table it would be 26 GB."""
    path = file(",".join(f"c{place}" for place in range(65536)) + "\n" + 100_000 * "1\n")
    assert refuse(path).startswith(", row 1, 'c1' is missing or not finite (100000 such rows)")


def test_missing_values_in_npy_are_named(tmp_path: Path):
    values = np.zeros((9, 4), np.float32)
    values[6, 2] = values[7] = np.nan
    np.save(tmp_path / "series.npy", values)
    assert refuse(tmp_path / "series.npy").startswith(", row 7, 'channel 3' is missing or not finite (2 such rows)")


def test_too_large_for_float32_in_npy(tmp_path: Path):
    np.save(tmp_path / "series.npy", np.array([[1.0, 1e39]]))
    assert refuse(tmp_path / "series.npy").startswith(", row 1, 'channel 2' is missing or not finite")


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
        np.zeros(3, dtype=[("a", "f4"), ("b [", "i2", (2, 3))]),
        np.zeros(3, dtype="datetime64[s]"),
    ],
)
def test_arrays_that_are_no_series(tmp_path: Path, values: np.ndarray):
    np.save(tmp_path / "series.npy", values)
    assert "a series is numbers of shape (rows, channels)" in refuse(tmp_path / "series.npy")


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,)])
def test_no_values(tmp_path: Path, shape: tuple[int, ...]):
    np.save(tmp_path / "series.npy", np.zeros(shape, np.float32))
    assert refuse(tmp_path / "series.npy") == " has no values."


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


@pytest.mark.parametrize("keep", [0, 5, 9, 60, -1, -VALUES.nbytes])
def test_truncated_npy(tmp_path: Path, keep: int):
    path = tmp_path / "series.npy"
    np.save(path, VALUES)
    path.write_bytes(path.read_bytes()[:keep])
    assert "is cut short" in refuse(path)


@pytest.mark.parametrize("shape", [(10**12, 3), (2**62, 4), (2**63, 1), (2**31, 2**31, 2**31), (10**30,)])
def test_a_header_that_promises_too_much_takes_no_memory(tmp_path: Path, shape: tuple[int, ...]):
    path = tmp_path / "series.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        file.write(VALUES.tobytes())
    assert "is cut short" in refuse(path)


def npy_of(header: str, version: int = 1, data: bytes = VALUES.tobytes()) -> bytes:
    text = header.encode("latin-1")
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text + data


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"


@pytest.mark.parametrize(
    "header",
    [
        HEADER,
        '{"shape":(2,3),"descr":"<f4","fortran_order":False}',
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }      \n",  # as Python 2 wrote it
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_headers_that_are_valid(file, header: str, version: int):
    check(read_series(file(npy_of(header, version), "series.npy")), NUMBERED, None)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{",
        "{}",
        HEADER + "x",
        HEADER[:-1],
        HEADER.replace("(2, 3)", "(2, -3)"),
        HEADER.replace("(2, 3)", "(6)"),
        HEADER.replace("(2, 3)", "[2, 3]"),
        HEADER.replace("(2, 3)", "(2.0, 3)"),
        HEADER.replace("(2, 3)", "(1 + 1, 3)"),
        HEADER.replace("(2, 3)", "(,)"),
        HEADER.replace("False", "None"),
        HEADER.replace("False", "__import__('os')"),
        HEADER.replace("'descr'", "'dtype'"),
        HEADER.replace("'shape'", "'descr'"),
        HEADER.replace(", }", ", 'more': 1}"),
        HEADER.replace("'<f4'", "'\\x3cf4'"),
        HEADER.replace("'<f4'", "[('a', '|O')]"),
        HEADER.replace("'<f4'", 4000 * "["),
        HEADER.replace("(2, 3)", f"({40 * '1, '})"),
        HEADER + 20000 * " ",
    ],
)
def test_headers_that_are_not(file, header: str):
    assert "is not a numpy array file" in refuse(file(npy_of(header), "series.npy"))


@pytest.mark.parametrize("version", [0, 3, 255])
def test_formats_that_are_not_known(file, version: int):
    assert "is not a numpy array file" in refuse(file(npy_of(HEADER, version), "series.npy"))


def reads(path: Path) -> Series | None:
    """The series, if it is one; nothing but EdgekitError may come of a file."""
    try:
        return read_series(path)
    except EdgekitError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return None


header_texts = st.text(st.sampled_from("{}()[]'\":, 0123456789<>|=fiubOcUL") | st.characters(max_codepoint=255))


@same_folder
@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(header_texts, st.sampled_from([1, 2])).map(lambda made: npy_of(*made)),
        st.tuples(st.integers(0, len(HEADER)), header_texts, st.integers(0, 9)).map(
            lambda change: npy_of(HEADER[: change[0]] + change[1] + HEADER[change[0] + change[2] :])
        ),
    )
)
def test_no_npy_crashes(tmp_path: Path, content: bytes):
    path = tmp_path / "series.npy"
    path.write_bytes(content)
    series = reads(path)
    if series is not None:
        values = np.load(path, allow_pickle=False)
        np.testing.assert_array_equal(series.values, values.reshape(values.shape[0], -1).astype(np.float32))


pieces = st.sampled_from(
    [",", "\n", '"', " ", "\r", "\r\n", "\t", "1", "-2.5", "a", "é", "nan", "1e39", "True", "\0", ";"]
)


@same_folder
@given(st.one_of(st.binary(max_size=100), st.lists(pieces, max_size=40).map(lambda made: "".join(made).encode())))
def test_no_csv_crashes(tmp_path: Path, content: bytes):
    path = tmp_path / "series.csv"
    path.write_bytes(content)
    series = reads(path)
    if series is not None:
        assert series.values.shape[1] == len(series.channels)
        assert series.times is None or len(series.times) == len(series.values)
        assert np.isfinite(series.values).all()


def test_no_such_file_and_other_kinds(tmp_path: Path, file):
    assert "there is no file" in refuse(tmp_path / "none.csv", kind=UsageError)
    assert "there is no file" in refuse(tmp_path, kind=UsageError)
    assert ".csv, .txt, .npy" in refuse(file(PLAIN, "series.xlsx"), kind=UsageError)
    assert ".csv, .txt, .npy" in refuse(file(PLAIN, ".csv"), kind=UsageError)


def test_too_large(file):
    path = file(PLAIN)
    os.truncate(path, MAX_SERIES_BYTES + 1)  # a hole: it takes no space
    assert refuse(path) == " is larger than 4 GiB: split it into shorter series."


def test_values_from_elsewhere_are_checked_the_same():
    values = np.ones((4, 3), np.float32)
    check_values(Series(values, NUMBERED), "the readings")
    values[2, 1] = np.inf
    with pytest.raises(
        EdgekitError, match=r"the readings, row 3, 'channel 2' is missing or not finite \(1 such rows\)"
    ):
        check_values(Series(values, NUMBERED), "the readings")


def test_channels_are_matched_by_name_where_there_are_names(file):
    series = read_series(file("time,b,a\nx,2,1\ny,4,3\n"))
    ordered = in_order(series, ("a", "b"), "swapped.csv")
    assert ordered.channels == ("a", "b")
    assert ordered.values.tolist() == [[1, 2], [3, 4]]
    assert ordered.values.flags.c_contiguous
    assert ordered.times == series.times


def test_channels_without_names_are_matched_by_place(file):
    bare = in_order(read_series(file("2,1\n4,3\n")), ("a", "b"), "bare.csv")
    assert (bare.channels, bare.values.tolist()) == (("a", "b"), [[2, 1], [4, 3]])
    named = in_order(read_series(file("b,a\n2,1\n")), ("channel 1", "channel 2"), "named.csv")
    assert (named.channels, named.values.tolist()) == (("b", "a"), [[2, 1]])


def test_other_names_are_refused(file):
    series = read_series(file("a,c\n2,1\n"))
    with pytest.raises(EdgekitError, match="has no channel 'b' but one called 'c': name the columns as in training"):
        in_order(series, ("a", "b"), "other.csv")
    with pytest.raises(EdgekitError, match=r"other.csv has 2 channels, 3 are needed: a, b, c\."):
        in_order(series, ("a", "b", "c"), "other.csv")
