"""`edgekit profile`: bundles timed and weighed where they will run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.options import PATH, json_option, verbosity_options

if TYPE_CHECKING:
    from edgekit.bundle import Bundle
    from edgekit.cli.progress import Display
    from edgekit.devices.profiling import Settings
    from edgekit.devices.targets.target import Target


def cpu_mask(text: str) -> str:
    """ "0xF0" to "f0": cores 4 to 7."""
    match = re.fullmatch(r"(?:0[xX])?([0-9a-fA-F]{1,256})", text)
    if match is None or not int(match[1], 16):
        raise click.BadParameter(f"{text!r} is no mask of cores: write it in hexadecimal, such as f0 for cores 4 to 7.")
    return f"{int(match[1], 16):x}"


@click.command("profile")
@click.argument("bundles", nargs=-1, required=True, type=PATH, metavar="BUNDLE...")
@click.option(
    "--target",
    "where",
    default="local",
    show_default=True,
    metavar="T",
    help="local, qemu, ssh://[user@]host[:port] or adb[:SERIAL].",
)
@click.option("--runs", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Calls that are timed.")
@click.option("--warmup", type=click.IntRange(0, 100_000), default=5, show_default=True, help="Calls before them.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads that operators share; default: the runtime's.")
@click.option("--cpu-mask", type=cpu_mask, metavar="HEX", help="Cores that may be used; f0 are 4 to 7; default: all.")
@click.option("--operators", is_flag=True, help="Also the time of each operator, in runs of their own.")
@click.option("--trace", type=PATH, metavar="FILE.json", help="Write time and memory for Perfetto or chrome://tracing.")
@click.option("-o", "--output", type=PATH, metavar="FILE.jsonl", help="Add the results to this file.")
@click.option("--keep", is_flag=True, help="Leave the bundles on the device, for the next time.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=1800.0,
    show_default=True,
    metavar="S",
    help="Seconds that a bundle's runs may take, and that a busy board is waited for.",
)
@click.option("--estimate", is_flag=True, help="Run nothing: estimate the times on --device.")
@click.option("--device", metavar="NAME", help="For --estimate: another device than the bundle was made for.")
@json_option
@verbosity_options
def command(
    bundles: tuple[Path, ...],
    where: str,
    runs: int,
    warmup: int,
    threads: int | None,
    cpu_mask: str | None,
    operators: bool,
    trace: Path | None,
    output: Path | None,
    keep: bool,
    timeout: float,
    estimate: bool,
    device: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Time each BUNDLE by its own runner on a target: this machine, an emulator, a board by ssh, a device by adb.

    A bundle is copied to a board unless it is there already, the board is locked meanwhile, and left as it was. Times
    under qemu say nothing of a device.
    """
    from edgekit.bundle import Bundle
    from edgekit.cli.progress import display
    from edgekit.devices.profiling import Settings
    from edgekit.devices.results import append_results
    from edgekit.devices.targets import find_target
    from edgekit.devices.targets.target import check_runner
    from edgekit.errors import EdgekitError, UsageError
    from edgekit.files import check_writable
    from edgekit.profile_tables import print_operators, print_results
    from edgekit.report import print_json

    if trace is not None and len(bundles) > 1:
        raise UsageError("--trace is of one bundle: name one.")
    if device is not None and not estimate:
        raise UsageError("--device belongs to --estimate: what is measured runs on --target.")
    for path in (output, trace):
        if path is not None and (path is trace or path.parent.exists()):  # the folder of results is made
            check_writable(path)
    target = find_target(where)
    opened = [Bundle.open(path) for path in bundles]
    if estimate:
        if trace is not None or operators or where != "local":
            raise UsageError("--estimate runs nothing: leave --target, --operators and --trace out.")
        _estimate(opened, device, output, as_json)
        return
    for bundle in opened:
        check_runner(bundle)
    settings = Settings(runs, warmup, threads, cpu_mask, operators or trace is not None, keep, timeout)
    results: list[dict[str, Any]] = []
    failed: list[str] = []
    with display(quiet) as progress:
        progress.start(target.title, len(opened), "bundles")
        with target:
            for bundle in opened:
                target.check(bundle)
            target.lock(timeout, progress.say)
            for bundle in opened:
                try:
                    result = _measure(bundle, target, settings, progress)
                except EdgekitError as error:
                    if len(opened) == 1 or not target.entered:
                        raise
                    failed.append(str(error))
                    continue
                results.append(result)
                if output is not None:
                    append_results(output, [result])
                progress.step("", 1)
        progress.done()
    if trace is not None:
        from edgekit.devices.trace import write_trace

        write_trace(results[0], trace)
    if as_json:
        print_json({"results": results})
    elif results:
        print_results(results)
        print_operators(results)
    if failed:
        raise EdgekitError(" ".join(failed))
    if not as_json:
        print(f"Next: {_next(bundles, where, output)}")


def _estimate(bundles: list[Bundle], device: str | None, output: Path | None, as_json: bool) -> None:
    """Estimates instead of measurements."""
    from edgekit.devices.results import append_results
    from edgekit.export.program_results import estimated
    from edgekit.profile_tables import print_estimates
    from edgekit.report import print_json

    results = [estimated(bundle, device) for bundle in bundles]
    if output is not None:
        append_results(output, results)
    if as_json:
        print_json({"results": results})
        return
    print_estimates(results)
    print(f"Next: {_next(tuple(bundle.path for bundle in bundles), 'local', output)}")


def _measure(bundle: Bundle, target: Target, settings: Settings, progress: Display) -> dict[str, Any]:
    """A result, with what the bundle's program says of it."""
    from edgekit.devices.profiling import profile
    from edgekit.errors import EdgekitError

    result = profile(bundle, target, settings, lambda line: progress.step(line, 0))
    from edgekit.export.program_results import complete  # which imports torch: not while something is timed here

    try:
        return complete(result, bundle)
    except EdgekitError as error:
        progress.say(f"{bundle.name}: rates and operators are unknown: {error}")
        return result


def _next(bundles: tuple[Path, ...], where: str, output: Path | None) -> str:
    """The command that goes on from here."""
    import shlex

    if output is not None:
        return shlex.join(["edgekit", "report", str(output.parent), "-o", "report.html"])
    on = [] if where == "local" else ["--target", where]
    return shlex.join(["edgekit", "profile", *map(str, bundles), *on, "-o", "results/results.jsonl"])
