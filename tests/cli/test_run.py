"""`edgekit run` on a series: every row's score, alarms and ranked channels, against eager torch."""

import csv
import json

import numpy as np
import pytest

from edgekit.models.stackvae_g.checkpoint import load_checkpoint
from edgekit.models.stackvae_g.inference import eager_reconstruct
from edgekit.models.stackvae_g.scoring import detect

from .refusals import refuse


@pytest.fixture(scope="module")
def rows(pump_data) -> np.ndarray:
    with np.load(pump_data) as arrays:
        return arrays["test"]


@pytest.fixture
def series(rows, tmp_path):
    """The pump's test part as a file with a time column."""
    lines = ["time," + ",".join(f"sensor {index}" for index in range(1, 6))]
    lines += [f"2026-01-01 {index}," + ",".join(f"{value:.9g}" for value in row) for index, row in enumerate(rows)]
    path = tmp_path / "today.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def eager(pump_checkpoint, rows):
    checkpoint = load_checkpoint(pump_checkpoint)
    return detect(rows, checkpoint.detector(), eager_reconstruct(checkpoint.module))


def test_csv_in_csv_out(cli, pump_bundle, series, eager, tmp_path):
    output = tmp_path / "scores.csv"
    result = cli("run", pump_bundle, "--input", series, "--output", output)
    assert result.code == 0
    with output.open() as file:
        written = list(csv.DictReader(file))
    assert [row["time"] for row in written] == [f"2026-01-01 {index}" for index in range(len(eager.scores))]
    assert [row["row"] for row in written] == [str(index + 1) for index in range(len(eager.scores))]
    assert [row["score"] for row in written[:15]] == [""] * 15
    scores = np.array([float(row["score"]) for row in written[15:]])
    np.testing.assert_allclose(scores, eager.scores[15:], rtol=1e-4)
    assert [row["alarm"] == "1" for row in written] == eager.alarms.tolist()
    assert any(eager.alarms)
    for row, errors in zip(written[15:], eager.errors[15:], strict=True):
        names = row["ranked_channels"].split(";")
        assert sorted(names) == [f"sensor {index}" for index in range(1, 6)]
        assert names[0].endswith(str(int(np.argmax(errors)) + 1))
        assert bool(row["diagnosis"]) == (row["alarm"] == "1")
    assert f"Written: {output}" in result.out


def test_npy_and_csv_agree_and_json_has_every_alarm(cli, pump_bundle, series, rows, eager, tmp_path):
    np.save(tmp_path / "today.npy", rows)
    texts = [
        json.loads(cli("run", pump_bundle, "--input", path, "--json").out) for path in (series, tmp_path / "today.npy")
    ]
    assert texts[0]["rows"] == texts[1]["rows"] == len(rows)
    assert texts[0]["scored_rows"] == len(rows) - 15
    assert texts[0]["alarm_rows"] == int(eager.alarms.sum())
    covered = np.zeros(len(rows), bool)
    for alarm in texts[0]["alarms"]:
        covered[alarm["first_row"] - 1 : alarm["last_row"]] = True
    np.testing.assert_array_equal(covered, eager.alarms)
    assert [alarm["peak_row"] for alarm in texts[1]["alarms"]] == [alarm["peak_row"] for alarm in texts[0]["alarms"]]
    assert texts[0]["alarms"][0]["peak_time"].startswith("2026-01-01")


def test_threshold_picture_and_json_file(cli, pump_bundle, series, eager, tmp_path):
    strict = float(np.nanquantile(eager.scores, 0.99))
    output, picture = tmp_path / "scores.json", tmp_path / "scores.png"
    options = ("--threshold", strict, "--output", output, "--picture", picture)
    assert cli("run", pump_bundle, "--input", series, *options).code == 0
    written = json.loads(output.read_text())
    assert [row["alarm"] for row in written] == (eager.scores > strict).tolist()
    assert picture.read_bytes().startswith(b"\x89PNG")
    refuse(cli("run", pump_bundle, "--input", series, *options), 2, "exists: choose another file")
    assert cli("run", pump_bundle, "--input", series, *options, "--force").code == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,2,3,4,5\n" * 10, "has 10 rows, at least 16 are needed"),
        ("1,2,3,4\n" * 30, "has 4 channels, 5 are needed: channel 1, "),
        ("1,2,3,4,5\n" * 20 + "1,nan,3,4,5\n" + "1,2,3,4,5\n" * 9, "row 21"),
        ("1,2,3,4,5\n" * 20 + "1,,3,4,5\n" + "1,2,3,4,5\n" * 9, "row 21"),
        ("1,2,3,4,5\n" * 20 + "1,x,3,4,5\n" + "1,2,3,4,5\n" * 9, "x"),
        ("", "empty"),
    ],
)
def test_bad_series(cli, pump_bundle, tmp_path, text: str, says: str):
    (tmp_path / "bad.csv").write_text(text)
    refuse(cli("run", pump_bundle, "--input", tmp_path / "bad.csv", "--output", tmp_path / "out.csv"), 1, says)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--output", "scores.txt"), "write a .csv or a .json file"),
        (("--picture", "scores.jpg"), "let it end in .png"),
        (("--threshold", "hgih"), "neither a number nor one of"),
        (("--threshold", "-1"), "finite and above 0"),
        (("--input", "second.csv"), "takes one --input series"),
        (("--output", "absent/scores.csv"), "the folder absent does not exist"),
        (("--picture", "file/scores.png"), "the folder file is a file"),
    ],
)
def test_options_that_do_not_fit(cli, pump_bundle, series, options, says: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    refuse(cli("run", pump_bundle, "--input", series, *options), 2, says)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "today.csv"}


def test_no_such_bundle(cli, series, tmp_path):
    refuse(cli("run", tmp_path / "nothing", "--input", series), 2, "nothing")


def test_a_changed_byte(cli, pump_bundle, copy_of, series):
    copy = copy_of(pump_bundle)
    program = bytearray((copy / "program.pte").read_bytes())
    program[len(program) // 2] ^= 1
    (copy / "program.pte").write_bytes(program)
    for command in (("run", copy, "--input", series), ("verify", copy), ("inspect", copy)):
        refuse(cli(*command), 1, "program.pte")
