"""The command line as a whole: quick help, exit codes, one sentence for every error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from edgekit import __version__
from edgekit.cli.main import COMMANDS
from edgekit.errors import EdgekitError, GateError, UsageError

#: What `--help` must not import: together they take seconds.
HEAVY = ("torch", "executorch", "torchao", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "rich", "safetensors")


def python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("--version",), *((name, "--help") for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]):
    script = (
        "import sys\nfrom edgekit.cli.main import run\ncode = run(sys.argv[1:])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], code, file=sys.stderr)"
    )
    result = python(script, *arguments)
    assert result.stderr == "[] 0\n"
    assert result.stdout


def test_a_console_without_a_character():
    script = (
        "import sys; from edgekit.cli.main import run; run(['--version']); print('cat Ω'); print('Ω', file=sys.stderr)"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert (result.stdout.splitlines()[1], result.stderr) == ("cat ?", "?\n")


def test_help_names_every_command(cli):
    result = cli("--help")
    assert (result.code, result.err) == (0, "")
    for name, summary in COMMANDS.items():
        assert name in result.out
        assert summary[:30] in result.out
        assert cli(name, "--help").code == 0
    assert __version__ in cli("--version").out


def test_importing_the_package_is_quick():
    result = python(f"import edgekit, sys; print([name for name in {HEAVY!r} if name in sys.modules])")
    assert result.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("exprot",), "unknown command 'exprot': did you mean 'export'?"),
        (("veryfi", "x"), "unknown command 'veryfi': did you mean 'verify'?"),
        (("xyz",), "known: bundle, compare, devices, doctor"),
        (("export", "stackvae", "--device", "jetson"), "unknown model 'stackvae': did you mean 'stackvae-g'?"),
        (("train", "stack-vae-g", "--data", "x"), "unknown model 'stack-vae-g': did you mean 'stackvae-g'?"),
        (("evaluate", "stackvea-g", "--data", "x"), "unknown model 'stackvea-g': did you mean 'stackvae-g'?"),
        (("export", "--device", "jetsn"), "unknown device 'jetsn': did you mean 'jetson'?"),
        (("export", "--device", "raspbery-pi5"), "unknown device 'raspbery-pi5': did you mean 'raspberry-pi-5'?"),
        (("export", "--device", "linux-x86_64", "--recipe", "int88"), "unknown recipe 'int88': did you mean 'int8'?"),
        (("evaluate", "stackvae-g", "--data", "x", "--recipe", "fp33"), "unknown recipe 'fp33': did you mean 'fp32'?"),
        (("export", "stackvae-g", "--device", "jetson", "--variant", "bas"), "did you mean 'base'?"),
        (("list", "model"), "unknown listing 'model': did you mean 'models'?"),
        (
            ("train", "stackvae-g", "--data", "DATA", "--set", "windw=9"),
            "unknown setting 'windw': did you mean 'window'?",
        ),
    ],
)
def test_did_you_mean(cli, pump_data, arguments: tuple[str, ...], says: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = cli(*(str(pump_data) if word == "DATA" else word for word in arguments))
    assert says in result.err
    assert "`edgekit " in result.err or "(known: " in result.err  # and where all of them are
    assert (result.code, result.out) == (2, "")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--no-such-option",),
        ("export",),
        ("export", "--device"),
        ("export", "--device", "jetson", "--no-such-option"),
        ("export", "--device", "jetson", "--batch", "0"),
        ("export", "--device", "jetson", "--batch", "one"),
        ("export", "--device", "jetson", "--seed", "-1"),
        ("export", "--device", "jetson", "--seed", str(1 << 40)),
        ("export", "--device", "jetson", "--size", "256"),
        ("export", "--device", "jetson", "--size", "0x4"),
        ("run",),
        ("run", "bundle"),
        ("verify",),
        ("inspect", "one", "two"),
        ("list",),
        ("train", "stackvae-g"),
        ("train", "stackvae-g", "--data", "x", "--epochs", "0"),
        ("train", "stackvae-g", "--data", "x", "--set", "window"),
    ],
)
def test_usage_errors_are_2(cli, arguments: tuple[str, ...]):
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err
    assert "Traceback" not in result.err


@pytest.fixture
def failing(cli, monkeypatch):
    """A command line whose command fails in a given way."""

    def call(error: BaseException, *options: str):
        def fail() -> None:
            raise error

        monkeypatch.setattr("edgekit.cli.list._devices", fail)
        return cli("list", "devices", *options)

    return call


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (EdgekitError("it broke: mend it."), 1, "edgekit: error: it broke: mend it.\n"),
        (UsageError("no such thing."), 2, "edgekit: error: no such thing.\n"),
        (GateError("too far off."), 3, "edgekit: gate not met: too far off.\n"),
        (MemoryError(), 1, "edgekit: error: out of memory: "),
        (OSError(28, "No space left on device"), 1, "edgekit: error: no space left on device.\n"),
        (PermissionError(13, "Permission denied", "a.csv"), 1, "edgekit: error: a.csv: permission denied.\n"),
    ],
)
def test_exit_codes(failing, error: Exception, code: int, says: str):
    result = failing(error)
    assert result.code == code
    assert result.err.startswith(says)
    assert result.err.count("\n") == 1
    assert result.out == ""


def test_interrupted(failing):
    result = failing(KeyboardInterrupt())
    assert result.code == 130
    assert "edgekit: interrupted" in result.err
    assert "Traceback" not in result.err


def test_details_on_request(cli, tmp_path):
    assert "Traceback" not in cli("verify", tmp_path).err
    assert "Traceback" in cli("verify", tmp_path, "-v").err


def test_bugs_are_not_hidden(failing):
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError())


MAIN = "from edgekit.cli.main import main; main()"


def test_the_process_exits_with_the_code():
    assert python(MAIN, "list", "devices").returncode == 0
    assert python(MAIN, "inspect", "/").returncode == 1
    assert python(MAIN, "export", "--device", "none").returncode == 2


def test_an_interrupted_process_says_so():
    script = (
        f"import edgekit.cli.list as l, time\nl._devices = lambda: (print('ready', flush=True), time.sleep(60))\n{MAIN}"
    )
    command = [sys.executable, "-c", script, "list", "devices"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A shell lets its background jobs ignore SIGINT, and they hand that down.
    with subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert "edgekit: interrupted" in process.stderr.read()
    assert process.returncode == 130


def interrupted(script: str, times: int, *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a Python program that is interrupted each time that it says "ready"."""
    command = [sys.executable, "-c", script, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(times):
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
        return process.wait(), process.stderr.read()


START = "from edgekit.cli.start import start; start()"
INTERRUPTED = "edgekit: interrupted; nothing half-written was left.\n"


def test_interrupted_while_it_is_loaded():
    script = (
        "import sys, time\nclass Finder:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click':\n            print('ready', flush=True)\n            time.sleep(60)\n"
        f"sys.meta_path.insert(0, Finder())\n{START}"
    )
    assert interrupted(script, 1, "list", "devices") == (130, INTERRUPTED)


def test_a_library_that_makes_another_error_of_it():
    script = (
        "import edgekit.cli.list as l, time\ndef devices():\n    try:\n        print('ready', flush=True)\n"
        "        time.sleep(60)\n    except KeyboardInterrupt:\n        raise RuntimeError('no')\n"
        f"l._devices = devices\n{START}"
    )
    assert interrupted(script, 1, "list", "devices") == (130, INTERRUPTED)


def test_a_destructor_that_swallows_it():
    script = (
        "import edgekit.cli.list as l, time\nclass Slow:\n    def __del__(self):\n        print('ready', flush=True)\n"
        "        time.sleep(60)\ndef devices():\n    Slow()\n    time.sleep(60)\n"
        f"l._devices = devices\n{START}"
    )
    assert interrupted(script, 1, "list", "devices") == (130, INTERRUPTED)


def test_interrupted_again_while_it_cleans_up(tmp_path):
    script = (
        "import edgekit.cli.list as l, sys, time\nfrom pathlib import Path\nfrom edgekit.files import unfinished\n"
        "def devices():\n    with unfinished(Path(sys.argv[3]), folder=True) as folder:\n"
        "        (folder / 'half').touch()\n        try:\n            print('ready', flush=True)\n"
        "            time.sleep(60)\n        finally:\n            print('ready', flush=True)\n"
        "            time.sleep(60)\n"
        f"l._devices = devices\nplace = sys.argv.pop()\nsys.argv[3:] = []\n{START}"
    )
    script = script.replace("sys.argv[3]", "place")
    assert interrupted(script, 2, "list", "devices", str(tmp_path / "bundle")) == (130, INTERRUPTED)
    assert list(tmp_path.iterdir()) == []
