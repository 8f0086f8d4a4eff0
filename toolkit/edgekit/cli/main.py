"""`edgekit`: finds the command, loads its file, and turns errors into one sentence and an exit code."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import click

from edgekit import __version__
from edgekit.cli import interrupts
from edgekit.cli.lazy import LazyGroup
from edgekit.errors import EdgekitError, GateError, UsageError

#: Commands and what `--help` says of them; nothing is imported for that.
COMMANDS = {
    "export": "Quantize, export, verify and pack models for a device.",
    "run": "Run a bundle on a file.",
    "verify": "Check a bundle's files, and its answers against the eager model's.",
    "inspect": "Show what is inside a bundle.",
    "bundle": "Sign bundles, and check who signed them.",
    "profile": "Measure bundles where they will run: on a board by ssh or adb, in an emulator, here.",
    "report": "Draw results as one HTML page.",
    "compare": "Compare two bundles or files of results, with limits for CI.",
    "sweep": "Export by every recipe, for every device, and measure each bundle.",
    "quantize": "Measure what a recipe costs a model, block by block.",
    "evaluate": "Measure a model's or a bundle's task metrics on labelled data.",
    "train": "Train a model of the zoo.",
    "explain": "Fit and show the features by which a language model is explained and steered.",
    "list": "List models, devices, recipes, or settings.",
    "devices": "Measure this machine's peaks, and calibrate estimates.",
    "doctor": "Check what is installed, and say how to mend it.",
}


@click.group(
    cls=LazyGroup,
    commands_by_name=COMMANDS,
    package="edgekit.cli.",
    called="edgekit",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="edgekit")
def cli() -> None:
    """Take a trained model to a small machine.

    Begin with: edgekit export --device jetson
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command line and exits: 0 done, 1 failed, 2 usage, 3 a gate not met, 130 interrupted."""
    interrupts.catch()
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = run(given)
    except BaseException:  # what Ctrl-C became in a library
        if not interrupts.interrupted():
            raise
        code = _say_interrupted(given)
    # Only now nothing is left that a second Ctrl-C could leave half-written.
    sys.exit(_say_interrupted(given) if interrupts.interrupted() else code)


def _call(arguments: Sequence[str]) -> None:
    try:
        cli.main(list(arguments), prog_name="edgekit", standalone_mode=False)
    except Exception:
        if interrupts.interrupted():  # what a library made of Ctrl-C
            raise KeyboardInterrupt from None
        raise


def _say_interrupted(arguments: Sequence[str]) -> int:
    resumed = list(arguments[:1]) == ["train"] or list(arguments[:2]) == ["explain", "fit"]
    interrupts.say(" It goes on from its last kept state, beside the output, with the same command." if resumed else "")
    return interrupts.EXIT_CODE


def run(arguments: Sequence[str]) -> int:
    """Runs a command line; gives its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a test's or a notebook's may be another
            stream.reconfigure(errors="replace")
    try:
        _call(arguments)
    except click.UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # of click from 8.2 on: a group without a command
            click.echo(error.format_message(), err=True)
            return UsageError.exit_code
        command = error.ctx.command_path if error.ctx is not None else "edgekit"
        message = error.format_message().rstrip(".")
        click.echo(f"edgekit: error: {message[:1].lower()}{message[1:]}: `{command} --help` shows how.", err=True)
        return UsageError.exit_code
    except EdgekitError as error:
        kind = "gate not met" if isinstance(error, GateError) else "error"
        click.echo(f"edgekit: {kind}: {error}", err=True)
        if "-v" in arguments or "--verbose" in arguments:
            import traceback

            traceback.print_exc()
        return error.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _say_interrupted(arguments)
    except MemoryError:
        click.echo(
            "edgekit: error: out of memory: close other programs, or export one model and size at a time.", err=True
        )
        return EdgekitError.exit_code
    except BrokenPipeError:  # `edgekit ... | head`
        sys.stderr.close()
        return 0
    except OSError as error:  # a file that cannot be read, a full disk under stdout
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"edgekit: error: {where}{(error.strerror or str(error)).lower()}.", err=True)
        return EdgekitError.exit_code
    return 0
