"""The telemetry gateway: its rules on lines of text, and all of it on a real broker, against the pipeline in Python."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.models.stackvae_g.generator import default_statistics, generate_telemetry
from edgekit_runtime import Session
from edgekit_runtime.detect_anomalies import AnomalyPipeline

from .broker import Broker, Listener, Network, listening, need_mosquitto, wait_for

EXAMPLE = Path(__file__).parents[2] / "examples" / "telemetry"
NEEDS = {"nlohmann_json": "apt install nlohmann-json3-dev"}
#: Of machine-2-1's test part: ten rows with an alarm, two of them labelled incidents.
FIRST, COUNT = 9200, 1100


@pytest.fixture(scope="module")
def programs(built_example: Callable[..., Path]) -> Path:
    return built_example(EXAMPLE, NEEDS)


class Lines:
    """What telemetry_lines made of some lines.

    Attributes:
        alarms: messages on the alarms' topics, by machine.
        scores: (time, score, alarm) by machine.
        counters: of the end.
        said: on stderr.
    """

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        assert done.returncode == 0, done.stderr
        self.said = done.stderr
        self.alarms: dict[str, list[dict[str, Any]]] = {}
        self.scores: dict[str, list[tuple[float, float, bool]]] = {}
        for line in done.stdout.splitlines():
            topic, payload = line.split(" ", 1)
            fields = json.loads(payload)
            if topic == "plant/status":
                self.counters = fields
            elif topic.startswith("scores/"):
                self.scores.setdefault(fields["machine"], []).append((fields["time"], fields["score"], fields["alarm"]))
            else:
                assert topic == f"plant/{fields['machine']}/alarms"
                self.alarms.setdefault(fields["machine"], []).append(fields)


@pytest.fixture
def lines(programs: Path, pump_bundle: Path) -> Callable[..., Lines]:
    """Runs lines through telemetry_lines, with every score."""

    def run(text: list[str], *options: object, bundle: Path = pump_bundle) -> Lines:
        command = [programs / "telemetry_lines", bundle, "--scores", "scores/{machine}", *options]
        given = "".join(f"{line}\n" for line in text)
        return Lines(subprocess.run(list(map(str, command)), input=given, capture_output=True, text=True, check=False))

    return run


@pytest.fixture
def pump(pump_bundle: Path) -> AnomalyPipeline:
    return AnomalyPipeline(Session(pump_bundle))


def telemetry(pipeline: AnomalyPipeline, count: int, seed: int = 1) -> np.ndarray:
    detector = pipeline.detector
    values = generate_telemetry(default_statistics(len(detector.channels), 1), max(count, 60), seed, faults=3).values
    return (values[:count] * detector.scaling.range + detector.scaling.low).astype(np.float32)


def row_of(time: float, row: np.ndarray, names: tuple[str, ...] | None = None) -> dict[str, Any]:
    return {"time": time, "values": dict(zip(names, row.tolist(), strict=True)) if names else row.tolist()}


def messages(rows: np.ndarray, first: float = 0.0, machine: str = "press") -> list[str]:
    return [f"plant/{machine}/rows {json.dumps(row_of(first + place, row))}" for place, row in enumerate(rows)]


def same_scores(found: list[tuple[float, float, bool]], wanted: np.ndarray, window: int) -> None:
    assert [time for time, _, _ in found] == list(range(window - 1, len(wanted)))
    np.testing.assert_allclose([score for _, score, _ in found], wanted[window - 1 :], rtol=1e-5)


def episodes(alarms: np.ndarray, scores: np.ndarray, quiet_rows: int) -> list[tuple[int, int, int, int]]:
    """(first, last, rows, peak) of what the rules of docs/telemetry.md make of a series; the last may go on."""
    found: list[tuple[int, int, int, int]] = []
    for row in np.flatnonzero(alarms):
        if found and row - found[-1][1] <= quiet_rows:
            first, _, rows, peak = found[-1]
            found[-1] = (first, int(row), rows + 1, int(row) if scores[row] > scores[peak] else peak)
        else:
            found.append((int(row), int(row), 1, int(row)))
    return found


def check_alarms(
    found: list[dict[str, Any]], pipeline: AnomalyPipeline, rows: np.ndarray, quiet_rows: int = 10, first: int = 0
) -> int:
    """Alarms of one machine are those of the pipeline on the same rows; gives how many episodes there are."""
    detector, wanted = pipeline.detector, pipeline.detect(rows)
    expected = episodes(wanted.alarms, wanted.scores, quiet_rows)
    begins = [alarm for alarm in found if alarm["event"] == "begin"]
    ends = [alarm for alarm in found if alarm["event"] == "end"]
    assert [alarm["event"] for alarm in found] == ["begin", "end"] * len(expected)
    for begin, end, (start, last, count, peak) in zip(begins, ends, expected, strict=True):
        assert begin["time"] == end["begin"] == first + start
        assert (end["time"], end["rows"], end["peak"]) == (first + last, count, first + peak)
        for alarm, row in ((begin, start), (end, peak)):
            errors = wanted.errors[row]
            assert alarm["score"] == pytest.approx(float(wanted.scores[row]), rel=1e-5)
            assert alarm["threshold"] == pytest.approx(detector.alarm_threshold, rel=1e-6)
            assert alarm["diagnosis"] == detector.diagnosis(errors)
            ranked = detector.ranked(errors)[:5]
            assert [one["name"] for one in alarm["channels"]] == [detector.channels[index] for index in ranked]
            np.testing.assert_allclose([one["error"] for one in alarm["channels"]], errors[ranked], rtol=1e-4)
    return len(expected)


# Rows


def test_rows_in_every_form_are_the_same(lines, pump):
    rows = telemetry(pump, 60)
    names = pump.detector.channels
    text = []
    for place in range(0, 60, 6):
        part = [row_of(place + each, rows[place + each]) for each in range(6)]
        named = row_of(place + 1, rows[place + 1], names)
        turned = row_of(place + 2, rows[place + 2])
        turned["values"] = {name: turned["values"][index] for index, name in reversed(list(enumerate(names)))}
        turned["values"]["another sensor"] = None
        more = {"unit": "bar", "more": {"deep": [{"er": [1, None, "x"]}]}, **part[3]}
        for one in (part[0], named, turned, more, part[4:]):
            text.append(f"plant/press/rows {json.dumps(one)}")
    found = lines(text)
    assert (found.said, found.counters["malformed"], found.counters["rows"]) == ("", 0, 60)
    assert found.counters["messages"] == len(text)
    same_scores(found.scores["press"], pump.detect(rows).scores, 16)


WRONG = {
    "not JSON": ('{"time": 1, "values": [1, 2', "a message was left out: it is not JSON."),
    "nothing": ("", "a message was left out: it is not JSON."),
    "two": ("{} {}", "it is not JSON"),
    "NaN": ('{"time": 1, "values": [NaN, 2, 3, 4, 5]}', "it is not JSON"),
    "huge": ('{"time": 1, "values": [1e999, 2, 3, 4, 5]}', "a number is out of range"),
    "larger than float32": (
        '{"time": 1, "values": [1, 1e39, 3, 4, 5]}',
        "a row's 'channel 2' is too large for float32",
    ),
    "null": ('{"time": 1, "values": [1, 2, null, 4, 5]}', "a row's 'channel 3' is null"),
    "text": ('{"time": 1, "values": [1, 2, 3, "4", 5]}', "a row's 'channel 4' is no number"),
    "few": ('{"time": 1, "values": [1, 2, 3, 4]}', "a row has 4 values, 5 are needed"),
    "many": ('{"time": 1, "values": [1, 2, 3, 4, 5, 6]}', "a row has 6 values, 5 are needed"),
    "nested": ('{"time": 1, "values": [[1, 2, 3, 4, 5]]}', "a row's values are nested"),
    "nested deeply": ('{"time": 1, "values": ' + "[" * 100_000, "it is nested too deeply"),
    "a name missing": (
        '{"time": 1, "values": {"channel 1": 1, "channel 2": 1, "channel 3": 1, "channel 4": 1, "channel 6": 1}}',
        "a row has no 'channel 5'",
    ),
    "a name twice": ('{"time": 1, "values": {"channel 1": 1, "channel 1": 1}}', "a row has 'channel 1' twice"),
    "a field twice": ('{"time": 1, "time": 2, "values": [1, 2, 3, 4, 5]}', "a row has a field twice"),
    "no time": ('{"values": [1, 2, 3, 4, 5]}', "a row has no time"),
    "time as text": ('{"time": "noon", "values": [1, 2, 3, 4, 5]}', "a row's time is no number"),
    "time as a list": ('{"time": [1], "values": [1, 2, 3, 4, 5]}', "a row's time is no number"),
    "no values": ('{"time": 1}', "a row has no values"),
    "one value": ('{"time": 1, "values": 7}', "a row's values are neither a list nor an object"),
    "a number": ("5", "it is no row"),
    "numbers": ("[1, 2, 3, 4, 5]", "a row was left out: a row is no object."),
    "lists": ("[[1, 2, 3, 4, 5]]", "a row is no object"),
    "too many rows": ("[" + ",".join(["{}"] * 5000) + "]", "it has too many rows"),
    "too large": ('"' + "x" * (1 << 20) + '"', "it has more than 1048576 bytes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_message_that_makes_no_sense_is_left_out(lines, pump, name):
    payload, reason = WRONG[name]
    rows = telemetry(pump, 30)
    text = messages(rows)
    text.insert(20, f"plant/press/rows {payload}")
    found = lines(text)
    assert reason in found.said
    assert found.said.count("\n") == 1
    assert found.counters["rows"] == 30
    assert found.counters["malformed"] >= 1
    same_scores(found.scores["press"], pump.detect(rows).scores, 16)


def test_good_rows_of_a_message_with_a_bad_one_are_taken(lines, pump):
    rows = telemetry(pump, 30)
    batch: list[Any] = [row_of(place, row) for place, row in enumerate(rows)]
    batch[7:7] = [{"time": 6.5, "values": [1]}, None, [], "x"]
    found = lines([f"plant/press/rows {json.dumps(batch)}"])
    assert (found.counters["rows"], found.counters["malformed"]) == (30, 4)
    same_scores(found.scores["press"], pump.detect(rows).scores, 16)


def test_what_is_said_often_is_said_once(lines, pump):
    found = lines(["plant/press/rows nonsense"] * 500 + messages(telemetry(pump, 2)) * 300)
    assert (found.counters["malformed"], found.counters["late"], found.counters["rows"]) == (500, 598, 2)
    assert len(found.said.splitlines()) == 2


def test_messages_with_bytes_changed_end_nothing(lines, pump):
    """Every message is counted as one thing or another, and good ones are scored as ever."""
    numbers = random.Random(4)
    rows = telemetry(pump, 40)
    good = messages(rows, first=1e6)
    bad = []
    for _ in range(3000):
        text = list(json.dumps(row_of(5, rows[numbers.randrange(40)])))
        for _ in range(numbers.randrange(1, 6)):
            text[numbers.randrange(len(text))] = numbers.choice('[]{}",:0-eE.\\ux ntf\x01\u00e9')
        bad.append(f"plant/fuzz/rows {''.join(text)}")
    found = lines([*bad, *good])
    counters = found.counters
    assert counters["messages"] == 3040
    assert counters["rows"] + counters["late"] + counters["malformed"] >= 3040
    assert counters["malformed"] > 1000
    assert [time for time, _, _ in found.scores["press"]] == [1e6 + place for place in range(15, 40)]


# Order in time


def test_late_rows_are_left_out(lines, pump):
    rows = telemetry(pump, 60)
    text = messages(rows)
    text[30:30] = [text[29], text[29], text[12], text[0].replace('"time": 0.0', '"time": -1e6')]
    found = lines(text)
    assert (found.counters["late"], found.counters["rows"]) == (4, 60)
    assert "its time is not after that of the row before it" in found.said
    same_scores(found.scores["press"], pump.detect(rows).scores, 16)


def test_a_gap_empties_the_window(lines, pump):
    rows = telemetry(pump, 80)
    after = [*messages(rows[:40]), *messages(rows[40:], first=100.5)]
    found = lines(after)
    assert found.counters["gaps"] == 1
    assert [time for time, _, _ in found.scores["press"]] == [*range(15, 40), *(115.5 + place for place in range(25))]
    second = [score for time, score, _ in found.scores["press"] if time > 100]
    np.testing.assert_allclose(second, pump.detect(rows[40:]).scores[15:], rtol=1e-5)
    for options in (("--max-gap", 61.5), ("--max-gap", 0)):
        found = lines(after, *options)
        assert found.counters["gaps"] == 0
        np.testing.assert_allclose(
            [score for _, score, _ in found.scores["press"]], pump.detect(rows).scores[15:], rtol=1e-5
        )


def test_a_clock_that_was_set_back_is_followed(lines, pump):
    """One row from the far future does not end a machine's alarms for ever."""
    rows = telemetry(pump, 60)
    future = messages(rows[:1], first=1e300)
    found = lines([*messages(rows[:20]), *future, *messages(rows[20:], first=20)])
    assert (found.counters["late"], found.counters["gaps"]) == (9, 2)
    second = [score for time, score, _ in found.scores["press"] if time > 20]
    np.testing.assert_allclose(second, pump.detect(rows[29:]).scores[15:], rtol=1e-5)


# Alarms


@pytest.fixture(scope="module")
def smd_rows(data_root: Path) -> np.ndarray:
    return np.load(data_root / "smd" / "machine-2-1.npz")["test"][FIRST : FIRST + COUNT].astype(np.float32)


def replayed(data_root: Path, *options: object) -> list[str]:
    """Lines of examples/telemetry/replay.py."""
    command = [sys.executable, EXAMPLE / "replay.py", data_root / "smd" / "machine-2-1.npz", *options]
    given = ["--first", FIRST, "--count", COUNT, "--print", "--topic", "plant/m/rows"]
    done = subprocess.run([str(word) for word in [*command, *given]], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("quiet_rows", [1, 10, 200])
@pytest.mark.parametrize("together", [1, 16])
def test_alarms_are_those_of_the_pipeline(lines, fp32_bundle, data_root, smd_rows, quiet_rows, together):
    options = ("--quiet-rows", quiet_rows, "--together", together)
    found = lines(replayed(data_root), *options, bundle=fp32_bundle)
    pipeline = AnomalyPipeline(Session(fp32_bundle))
    # A window of rows without an alarm lies behind the last: its episode has ended, or ends as the program does.
    count = check_alarms(found.alarms["m"], pipeline, smd_rows, quiet_rows, FIRST)
    assert count == found.counters["alarms"] == {1: 7, 10: 6, 200: 3}[quiet_rows]
    ends = [alarm["why"] for alarm in found.alarms["m"] if alarm["event"] == "end"]
    assert ends == ["quiet"] * (count - 1) + ["stopped" if quiet_rows == 200 else "quiet"]
    scores = pipeline.detect(smd_rows)
    flags = [alarm for _, _, alarm in found.scores["m"]]
    np.testing.assert_array_equal(flags, scores.alarms[99:])
    np.testing.assert_allclose([score for _, score, _ in found.scores["m"]], scores.scores[99:], rtol=1e-5)


def test_a_gap_ends_an_episode(lines, pump):
    rows = telemetry(pump, 40)
    pump.use_threshold(1e-9)
    found = lines([*messages(rows[:20]), *messages(rows[20:], first=500)], "--threshold", "1e-9", "--top", 2)
    begin, end, second, last = found.alarms["press"]
    assert (begin["time"], end["time"], end["rows"], end["why"]) == (15, 19, 5, "gap")
    assert (second["time"], last["time"], last["why"]) == (515, 519, "stopped")
    assert len(begin["channels"]) == 2


@pytest.mark.parametrize("threshold", ["quantile", "0.5"])
def test_the_threshold_of_ones_choice(lines, pump, threshold):
    rows = telemetry(pump, 200)
    pump.use_threshold(threshold)
    wanted = pump.detect(rows).alarms
    found = lines(messages(rows), "--threshold", threshold)
    np.testing.assert_array_equal([alarm for _, _, alarm in found.scores["press"]], wanted[15:])


# Machines


def test_each_machine_has_a_window_of_its_own(lines, pump):
    sides = [telemetry(pump, 50, seed=seed) for seed in (1, 2)]
    text = [line for pair in zip(messages(sides[0]), messages(sides[1], machine="mill"), strict=True) for line in pair]
    for together in (1, 13):
        found = lines(text, "--together", together)
        for rows, machine in zip(sides, ("press", "mill"), strict=True):
            same_scores(found.scores[machine], pump.detect(rows).scores, 16)
        assert found.counters["machines"] == 2


def test_machines_are_bounded(lines, pump):
    rows = telemetry(pump, 20)
    found = lines([line for machine in "abcde" for line in messages(rows, machine=machine)], "--max-machines", 3)
    assert (found.counters["machines"], found.counters["refused_machines"], found.counters["rows"]) == (3, 40, 60)
    assert sorted(found.scores) == ["a", "b", "c"]
    assert "there are 3 already (--max-machines)" in found.said


@pytest.mark.parametrize(
    ("rows", "topic", "machine"),
    [("+/hall/+/rows", "a/hall/b/rows", "a/b"), ("line/#", "line/a/b", "a/b"), ("all", "all", "all")],
)
def test_what_wildcards_stand_for_names_the_machine(programs, pump_bundle, pump, rows, topic, machine):
    text = "".join(f"{topic} {line.split(' ', 1)[1]}\n" for line in messages(telemetry(pump, 16)))
    command = [programs / "telemetry_lines", pump_bundle, "--rows", rows, "--scores", "to/{machine}/x"]
    done = subprocess.run(list(map(str, command)), input=text, capture_output=True, text=True, check=True)
    score = done.stdout.splitlines()[0]
    assert score.startswith(f"to/{machine}/x {{")
    assert json.loads(score.split(" ", 1)[1])["machine"] == machine


# The command line


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ((), 2, "a bundle is needed; see --help."),
        (("BUNDLE", "--nonsense", "1"), 2, "'--nonsense' is unknown; see --help."),
        (("BUNDLE", "--top"), 2, "'--top' is unknown, or its value is missing; see --help."),
        (("BUNDLE", "--top", "few"), 2, "--top takes a number from 0 on; see --help."),
        (("BUNDLE", "--quiet-rows", "1.5"), 2, "--quiet-rows takes a whole number; see --help."),
        (("BUNDLE", "--alarms", "plant/+/alarms"), 2, "--alarms is a topic without wildcards"),
        (("BUNDLE", "--threshold", "best"), 2, "threshold 'best' is neither a number nor one of"),
        (("absent",), 2, "there is no bundle"),
    ],
)
def test_what_makes_no_sense_is_refused(programs, pump_bundle, options, code, says):
    command = [programs / "telemetry_lines", *(pump_bundle if word == "BUNDLE" else word for word in options)]
    done = subprocess.run(list(map(str, command)), input="", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_outbox(tmp_path):
    if shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler")
    sources = [Path(__file__).parent / "native" / "telemetry_outbox.cpp", EXAMPLE / "outbox.cpp"]
    made = tmp_path / "outbox"
    command = ["c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{EXAMPLE}", *map(str, sources), "-o", str(made)]
    subprocess.run(command, check=True)
    done = subprocess.run([str(made)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# With a broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    need_mosquitto()
    one = Broker(tmp_path)
    yield one
    one.kill()


class Gateway:
    """A telemetry that runs."""

    def __init__(self, program: Path, bundle: Path, port: int, *options: object) -> None:
        command = [program, bundle, "--port", port, "--status-every", 1, *options]
        self.process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit status, and what it said."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@pytest.fixture
def start(programs: Path) -> Iterator[Callable[..., Gateway]]:
    """Starts a telemetry: on a bundle, at a port, with options."""
    program = programs / "telemetry"
    if not program.is_file():
        pytest.skip("needs libmosquitto: apt install libmosquitto-dev")
    begun: list[Gateway] = []

    def run(bundle: Path, port: int, *options: object) -> Gateway:
        begun.append(Gateway(program, bundle, port, *options))
        return begun[-1]

    yield run
    for gateway in begun:
        if gateway.process.poll() is None:
            gateway.process.kill()
            gateway.process.communicate()


STATUS = "plant/status"


def online(listener: Listener, connections: int = 1) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        statuses = listener.of(STATUS)
        return statuses[-1] if statuses and statuses[-1].get("connections") == connections else None

    return wait_for(found)


def taken(listener: Listener, rows: int) -> dict[str, Any]:
    """The status that says so many rows."""

    def found() -> dict[str, Any] | None:
        return next((status for status in listener.of(STATUS)[-1:] if status.get("rows") == rows), None)

    return wait_for(found)


def payloads(rows: np.ndarray, first: float = 0.0) -> list[str]:
    return [line.split(" ", 1)[1] for line in messages(rows, first)]


def test_a_replay_over_a_broker(start, broker, fp32_bundle, data_root, smd_rows):
    with listening(broker, "plant/m/alarms", "plant/m/scores", STATUS) as listener:
        gateway = start(fp32_bundle, broker.port, "--scores", "plant/{machine}/scores")
        online(listener)
        command = [sys.executable, EXAMPLE / "replay.py", data_root / "smd" / "machine-2-1.npz", "--port", broker.port]
        command += ["--first", FIRST, "--count", COUNT, "--topic", "plant/m/rows", "--together", 2]
        subprocess.run([str(word) for word in command], check=True, timeout=60)
        status = taken(listener, COUNT)
        assert status["state"] == "online"
        assert (status["messages"], status["scored"], status["malformed"]) == (COUNT // 2, COUNT - 99, 0)
        assert 0 < status["latency_us"]["p50"] <= status["latency_us"]["p99"]
        assert gateway.stop()[0] == 0
        last = wait_for(lambda: next((one for one in listener.of(STATUS) if one["state"] == "offline"), None))
        assert (last["rows"], last["queued"], last["dropped"]) == (COUNT, 0, 0)
        pipeline = AnomalyPipeline(Session(fp32_bundle))
        wait_for(lambda: len(listener.of("plant/m/alarms")) >= 12)
        assert check_alarms(listener.of("plant/m/alarms"), pipeline, smd_rows, 10, FIRST) == 6
        wanted = pipeline.detect(smd_rows).scores[99:]
        np.testing.assert_allclose([one["score"] for one in listener.of("plant/m/scores")], wanted, rtol=1e-5)


def test_a_broker_that_comes_late_and_is_killed_in_the_middle(start, broker, pump_bundle, pump):
    """What was in the window stays there: alarms and scores are those of the whole series."""
    rows = telemetry(pump, 200)
    wanted = pump.detect(rows)
    broker.kill()
    gateway = start(pump_bundle, broker.port, "--scores", "plant/{machine}/scores")
    broker.start()
    scores = []
    for part, (first, last) in enumerate(((0, 90), (90, 200)), 1):
        with listening(broker, "plant/press/scores", STATUS) as listener:
            online(listener, part)
            broker.publish("plant/press/rows", *payloads(rows[first:last], first))
            taken(listener, last)
            scores += listener.of("plant/press/scores")
        broker.kill()
        broker.start()
    assert [score["time"] for score in scores] == list(range(15, 200))
    np.testing.assert_allclose([score["score"] for score in scores], wanted.scores[15:], rtol=1e-5)
    np.testing.assert_array_equal([score["alarm"] for score in scores], wanted.alarms[15:])
    code, said = gateway.stop()
    assert code == 0
    assert f"no connection to the broker at localhost:{broker.port}" in said


def test_alarms_wait_for_a_network_that_fails(start, broker, pump_bundle, pump):
    """What the network lost comes again, and what did not fit the queue is counted."""
    network = Network(broker)
    rows = telemetry(pump, 17)
    # A message of 17 rows is an episode of the last two, which the gap before the next one ends.
    parts = [json.dumps([row_of(1000 * part + place, row) for place, row in enumerate(rows)]) for part in range(10)]
    wanted = [("begin" if place % 2 == 0 else "end", 1000 * (place // 2) + 15 + place % 2) for place in range(20)]
    with listening(broker, "plant/press/alarms", STATUS) as listener:
        gateway = start(pump_bundle, network.port, "--threshold", "1e-9", "--max-queued", 12)
        online(listener)
        network.loses = True
        broker.publish("plant/press/rows", *parts)
        # All of them were taken.
        wait_for(lambda: network.lost.count(b"\x40\x02") >= len(parts))
        assert b'"event":"begin"' in network.lost
        assert listener.of("plant/press/alarms") == []
        network.cut()
        network.mend()
        online(listener, 2)
        status = wait_for(lambda: listener.of(STATUS)[-1] if listener.of(STATUS)[-1]["queued"] == 0 else None)
        assert (status["dropped"], status["alarms"]) == (7, 10)
        assert gateway.stop()[0] == 0
        found = wait_for(lambda: listener.of("plant/press/alarms")[12:] and listener.of("plant/press/alarms"))
        assert [(alarm["event"], alarm["time"]) for alarm in found] == wanted[7:]
    network.close()


def test_bad_and_late_rows_and_two_machines(start, broker, pump_bundle, pump):
    sides = {"press": telemetry(pump, 60, seed=1), "mill": telemetry(pump, 60, seed=2)}
    with listening(broker, "plant/+/scores", STATUS) as listener:
        gateway = start(pump_bundle, broker.port, "--scores", "plant/{machine}/scores")
        online(listener)
        for place in range(0, 60, 20):
            for machine, rows in sides.items():
                broker.publish(f"plant/{machine}/rows", *payloads(rows[place : place + 20], place))
                broker.publish(f"plant/{machine}/rows", "nonsense", *payloads(rows[:1], place - 5))
        broker.publish_raw("plant/press/rows", bytes(range(256)))
        broker.publish_raw("plant/press/rows", b"")
        broker.publish_raw("plant/press/rows", b"[" * 200_000)
        status = taken(listener, 120)
        status = wait_for(lambda: listener.of(STATUS)[-1] if listener.of(STATUS)[-1]["malformed"] == 9 else None)
        assert (status["late"], status["machines"]) == (6, 2)
        for machine, rows in sides.items():
            found = listener.of(f"plant/{machine}/scores")
            assert [one["time"] for one in found] == list(range(15, 60))
            np.testing.assert_allclose([one["score"] for one in found], pump.detect(rows).scores[15:], rtol=1e-5)
        code, said = gateway.stop(signal.SIGINT)
        assert code == 130
        assert len(said.splitlines()) < 10


def test_the_end_is_told(start, broker, pump_bundle, pump):
    """By itself, with the episode that went on; by the broker where it could not."""
    rows = telemetry(pump, 20)
    with listening(broker, "plant/press/alarms", STATUS) as listener:
        gateway = start(pump_bundle, broker.port, "--threshold", "1e-9")
        online(listener)
        broker.publish("plant/press/rows", *payloads(rows))
        taken(listener, 20)
        assert gateway.stop()[0] == 0
        begin, end = wait_for(lambda: listener.of("plant/press/alarms")[1:] and listener.of("plant/press/alarms"))
        assert (begin["event"], end["event"], end["why"], end["time"]) == ("begin", "end", "stopped", 19)
        wait_for(lambda: listener.of(STATUS)[-1]["state"] == "offline")
    # The broker keeps the last status for those who come later.
    with listening(broker, STATUS) as listener:
        assert wait_for(lambda: listener.of(STATUS))[-1]["state"] == "offline"
        gateway = start(pump_bundle, broker.port)
        wait_for(lambda: listener.of(STATUS)[-1]["state"] == "online")
        gateway.process.kill()
        wait_for(lambda: listener.of(STATUS)[-1] == {"state": "offline", "why": "lost"})


def test_rows_wait_at_the_broker_for_a_session_with_a_name(start, broker, pump_bundle, pump):
    rows = telemetry(pump, 40)
    with listening(broker, STATUS) as listener:
        gateway = start(pump_bundle, broker.port, "--id", "gateway-1")
        online(listener)
        gateway.stop()
        broker.publish("plant/press/rows", *payloads(rows))
        start(pump_bundle, broker.port, "--id", "gateway-1")
        assert taken(listener, 40)["scored"] == 25


def test_a_password(start, tmp_path, pump_bundle, monkeypatch):
    need_mosquitto()
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "gateway", "right"], check=True)
    broker = Broker(tmp_path, f"allow_anonymous false\npassword_file {passwords}\n")
    try:
        for password, says in (("wrong", "not authorised"), ("right", "rows of plant/+/rows")):
            monkeypatch.setenv("MQTT_PASSWORD", password)
            gateway = start(pump_bundle, broker.port, "--user", "gateway")
            assert gateway.process.stderr is not None
            assert says in gateway.process.stderr.readline()
            assert gateway.stop()[0] == 0
    finally:
        broker.kill()


def test_rows_that_would_come_back_are_refused(start, pump_bundle):
    gateway = start(pump_bundle, 1, "--rows", "plant/#")
    _, said = gateway.process.communicate(timeout=30)
    assert gateway.process.returncode == 2
    assert said.startswith(
        "what goes to plant/{machine}/alarms would come back as rows: --rows matches it; see --help."
    )
