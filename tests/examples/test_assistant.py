"""The C++ assistant: what Python's generator writes, resumed, stopped, and what it refuses."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit_runtime import Session
from edgekit_runtime.generate import Generation, TextGenerator

EXAMPLE = Path(__file__).parents[2] / "examples" / "assistant"
PROMPTS = ("the red cat sees the old house", "the tall dog likes", "a tree")

pytestmark = pytest.mark.slow

Talk = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def program(built_example) -> Path:
    return built_example(EXAMPLE) / "assistant"


@pytest.fixture(scope="module")
def talk(program, text_bundle) -> Talk:
    def run(lines: str, *options: object, bundle: Path = text_bundle) -> subprocess.CompletedProcess[str]:
        command = [str(program), str(bundle), *map(str, options)]
        return subprocess.run(command, input=lines, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.fixture(scope="module")
def generator(text_bundle) -> TextGenerator:
    return TextGenerator(Session(text_bundle))


def by_hand(generator: TextGenerator, prompts: tuple[str, ...], count: int) -> list[str]:
    """The likeliest answers: all of the text anew through the program for every token."""
    size, end = generator.tokenizer.size, generator.settings.end
    tokens, answers = [], []
    for prompt in prompts:
        tokens += generator.tokenizer.encode(prompt if not tokens else f"\n{prompt}")
        answer: list[int] = []
        while len(answer) < count:
            token = int(generator.logits(tokens + answer, 0)[:size].argmax())
            if token == end:
                break
            answer.append(token)
        tokens += answer
        answers.append(generator.tokenizer.decode(answer).rstrip("\N{REPLACEMENT CHARACTER}"))
    return answers


@pytest.mark.parametrize(("temperature", "seed"), [(0.0, 0), (0.8, 7)])
def test_an_answer_is_what_python_writes(talk, generator, temperature, seed):
    went = Generation()
    list(generator.generate(PROMPTS[0], 20, temperature, seed, went))
    done = talk(f"{PROMPTS[0]}\n", "--max-tokens", 20, "--temperature", temperature, "--seed", seed)
    assert (done.returncode, done.stdout) == (0, went.text + "\n")
    count = went.prompt_tokens, went.generated_tokens, went.reason, went.prompt_tokens + went.generated_tokens
    assert done.stderr.startswith("[{} + {} tokens ({}), {} of 96, ".format(*count))


def test_a_conversation_goes_on(talk, generator):
    answers = by_hand(generator, PROMPTS, 6)
    done = talk("\n".join(PROMPTS), "--max-tokens", 6, "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(f"{answer}\n" for answer in answers)
    again = talk(f"{PROMPTS[1]}\n/new\n{PROMPTS[0]}\n{PROMPTS[1]}\n", "--max-tokens", 6, "-q")
    assert again.stdout.endswith(f"{answers[0]}\n{answers[1]}\n")


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_resumed_conversation_is_the_same(talk, tmp_path, temperature):
    options = ("--max-tokens", 6, "-q", "--temperature", temperature, "--seed", 3)
    whole = talk("\n".join(PROMPTS), *options)
    kept = tmp_path / "talk.state"
    first = talk(PROMPTS[0], *options, "--save", kept)
    second = talk(f"/load {kept}\n{PROMPTS[1]}\n/save {kept}\n", *options)
    third = talk(PROMPTS[2], *options, "--resume", kept)
    assert [done.returncode for done in (whole, first, second, third)] == [0] * 4
    assert first.stdout + second.stdout + third.stdout == whole.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["talk.state"]


def test_the_context_fills_up(talk):
    done = talk("the red cat\nthe tall dog likes\n/new\nthe red cat\n", "--max-tokens", 200)
    first, full, refused, last, full_again = done.stderr.splitlines()
    assert "(context), 97 of 96" in first
    assert full == full_again == "the context of 96 tokens is full: /new starts over."
    assert refused == "the context of 96 tokens is full: start over."
    assert "(context)" in last
    assert done.returncode == 1
    answer, same, empty = done.stdout.split("\n")
    assert (same, empty) == (answer, "")
    long = talk(f"the red cat\n{'the tall dog ' * 30}\nthe\n", "--max-tokens", 4)
    assert "left: shorten it, or start over." in long.stderr
    assert len(long.stdout.splitlines()) == 2


def test_damaged_and_foreign_files_are_refused(talk, resealed, text_bundle, tmp_path):
    kept = tmp_path / "talk.state"
    assert talk(PROMPTS[0], "--max-tokens", 6, "--save", kept).returncode == 0
    whole = kept.read_bytes()
    turned = bytearray(whole)
    turned[len(whole) // 2] ^= 1
    damaged = [whole[:-1], whole + b"\0", bytes(turned), whole[:60]]
    # Numbers that claim more than there is: turns excepted, each of the header's.
    for place in (32, 40, 48):
        damaged.append(whole[:place] + b"\xff" * 8 + whole[place + 8 :])
    for content in damaged:
        kept.write_bytes(content)
        done = talk("", "--resume", kept)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"{kept} is damaged or cut short: save the conversation again, or take a copy of it.\n"
    for content in (b"", b"edgekit talk 2\n\0" + whole[16:], b"x" * 10_000_000):
        kept.write_bytes(content)
        assert "is not a conversation that was saved here" in talk("", "--resume", kept).stderr
    kept.write_bytes(whole)
    other = resealed(text_bundle, lambda _, fields: fields.update(seed=fields["seed"] + 1))
    done = talk("", "--resume", kept, bundle=other)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{kept} is a conversation with another bundle: open the bundle that it was saved with.\n"
    # A conversation that cannot be loaded leaves the one that goes on.
    kept.write_bytes(damaged[0])
    tried = talk(f"{PROMPTS[0]}\n/load {kept}\n/load\n/what\n{PROMPTS[1]}\n", "--max-tokens", 6, "-q")
    assert tried.stdout == talk("\n".join(PROMPTS[:2]), "--max-tokens", 6, "-q").stdout
    assert tried.stderr.splitlines()[1:] == [
        "/load needs a file: /load FILE.",
        "there is no command /what: /help shows those that there are.",
    ]
    assert tried.returncode == 1


def test_what_makes_no_sense_is_refused(talk, tmp_path, local_bundle):
    for options, sentence in [
        (("--max-tokens", 0), "--max-tokens 0: give a number of tokens, 1 or more."),
        (("--temperature", -1), "the temperature is -1: give 0 for the likeliest token, or a number above."),
        (("--seed", -1), "--seed -1: give a whole number."),
        (("--sed", 1), "unknown option --sed: assistant --help shows those that there are."),
        (("--seed",), "--seed needs a value: assistant --help shows which."),
        (("another",), "another is one word too many: give one bundle."),
    ]:
        done = talk("", *options)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{sentence}\n")
    assert talk("", bundle=tmp_path).returncode != 0
    assert "has the task segment, not generate_text" in talk("", bundle=local_bundle).stderr
    done = talk("", "--save", tmp_path / "absent" / "file")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    long = talk("x" * 3_000_000 + f"\n{PROMPTS[0]}\n", "--max-tokens", 6, "-q")
    assert long.stderr == "a line of more than 1 MiB was passed over: shorten the prompt.\n"
    assert long.stdout == talk(PROMPTS[0], "--max-tokens", 6, "-q").stdout


class Person:
    """Somebody at a terminal, whose answers go to a pipe that is nearly full: an answer waits in the middle."""

    ROOM = 4096  # the smallest pipe

    def __init__(self, program: Path, bundle: Path, *options: object) -> None:
        self.terminal, theirs = pty.openpty()
        self.answers, given = os.pipe()
        assert fcntl.fcntl(given, fcntl.F_SETPIPE_SZ, self.ROOM) == self.ROOM
        os.write(given, b"-" * (self.ROOM - 8))
        command = [str(program), str(bundle), *map(str, options)]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=given, stderr=subprocess.PIPE)
        os.close(theirs)
        os.close(given)
        # A person who waits in vain fails the test.
        self.patience = threading.Timer(60, self.process.kill)
        self.patience.start()

    def say(self, line: str) -> None:
        os.write(self.terminal, line.encode() + b"\n")

    def hear(self, wanted: bytes) -> bytes:
        """What comes on stderr, up to something that is waited for."""
        heard = b""
        while not heard.endswith(wanted):
            piece = os.read(self.process.stderr.fileno(), 1)
            assert piece, heard
            heard += piece
        return heard

    def wait_for_an_answer(self) -> None:
        """Until some of it is in the pipe, and no more comes in: a piece that has no room waits."""
        before, now = 0, self.ROOM - 8
        while now <= self.ROOM - 8 or now > before:
            time.sleep(0.2)
            assert self.process.poll() is None
            before, now = now, struct.unpack("i", fcntl.ioctl(self.answers, termios.FIONREAD, b"    "))[0]

    def read(self) -> bytes:
        """What is in the pipe now."""
        os.set_blocking(self.answers, False)
        try:
            return os.read(self.answers, self.ROOM)
        except BlockingIOError:
            return b""

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> int:
        code = self.process.wait()
        self.patience.cancel()
        self.process.stderr.close()
        for end in (self.terminal, self.answers):
            os.close(end)
        return code


def test_ctrl_c_stops_the_answer_and_once_more_the_program(program, text_bundle, talk, tmp_path):
    kept = tmp_path / "talk.state"
    person = Person(program, text_bundle, "--max-tokens", 60, "--save", kept)
    person.hear(b"> ")
    person.say(PROMPTS[0])
    person.wait_for_an_answer()
    person.signal(signal.SIGINT)
    answer = person.read()[person.ROOM - 8 :]
    heard = person.hear(b"> ")
    assert b"(cancelled)" in heard
    answer += person.read()
    whole = talk(PROMPTS[0], "--max-tokens", 60, "-q").stdout.encode()
    assert answer.endswith(b"\n")
    assert whole.startswith(answer[:-1])
    assert len(answer) < len(whole)
    # The conversation goes on, with what was answered until then.
    person.say(PROMPTS[1])
    tokens = int(re.search(rb"tokens \(\w+\), (\d+) of 96", heard)[1])
    more = re.search(rb"\[(\d+) \+ (\d+) tokens \(\w+\), (\d+) of 96", person.hear(b"> "))
    assert int(more[3]) == tokens + int(more[1]) + int(more[2])
    person.signal(signal.SIGINT)
    assert person.end() == 130
    assert talk("", "--resume", kept).returncode == 0


def test_a_second_ctrl_c_and_sigterm_end_the_program_in_an_answer(program, text_bundle, tmp_path):
    for signals in ([signal.SIGINT, signal.SIGINT], [signal.SIGTERM]):
        kept = tmp_path / f"{len(signals)}.state"
        person = Person(program, text_bundle, "--max-tokens", 60, "--save", kept)
        person.hear(b"> ")
        person.say(PROMPTS[0])
        person.wait_for_an_answer()
        for number in signals:
            person.signal(number)
            time.sleep(0.05)  # two of a kind that come at once are one
        person.read()
        assert person.end() == 130
        assert kept.is_file()


def test_a_reader_that_is_gone_ends_it(program, text_bundle):
    answers, given = os.pipe()
    os.close(answers)
    command = [str(program), str(text_bundle), "-q"]
    done = subprocess.run(command, input="the\nthe\n", stdout=given, stderr=subprocess.PIPE, text=True, check=False)
    os.close(given)
    assert done.returncode == 1
    assert done.stderr.startswith("the answer cannot be written: the reader of this program's output is gone")
    assert done.stderr.count("\n") == 1
