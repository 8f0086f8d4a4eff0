"""`edgekit compare`: two results side by side, for people and for CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.options import PATH, json_option, verbosity_options

if TYPE_CHECKING:
    from edgekit.devices.compare import Comparison, Figure


#: Turns in which two bundles are measured, so that what else the machine does meets both.
ROUNDS = 3


@click.command("compare")
@click.argument("first", type=PATH)
@click.argument("second", type=PATH)
@click.option(
    "--max-regression",
    "limits",
    multiple=True,
    metavar="[FIGURE=]SHARE",
    help="Exit with 3 where SECOND is worse by more, such as 5% or p50=10%; repeatable.",
)
@click.option("--target", metavar="TARGET", help="Where bundles are measured; default: local.")
@click.option("--runs", type=click.IntRange(3, 100_000), default=50, show_default=True, help="Timed calls of a bundle.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads that operators share.")
@json_option
@verbosity_options
def command(
    first: Path,
    second: Path,
    limits: tuple[str, ...],
    target: str | None,
    runs: int,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare FIRST and SECOND: bundles, files of results (.jsonl, .json), or folders of such files.

    Two bundles are measured here and now, in turns, so that both see the same machine. Results are paired by bundle
    and kind of target; a single one on either side is a pair whatever it is of.

    A SHARE without a FIGURE limits p50, peak, predicted-peak, size and metric; other figures are p90, first, load and
    estimated-p50.
    """
    from edgekit import manifest
    from edgekit.devices.compare import compare, parse_limits, regressions
    from edgekit.devices.results import read_results
    from edgekit.errors import GateError, UsageError
    from edgekit.report import print_json

    bounds = parse_limits(limits)
    bundles = [path for path in (first, second) if manifest.is_bundle(path)]
    if len(bundles) == 1:
        raise UsageError(f"{bundles[0]} is a bundle and the other is not: give two bundles, or two files of results.")
    if bundles:
        ours, theirs = ([one] for one in _measure((first, second), target or "local", runs, threads, quiet))
    elif target is not None or threads is not None:
        raise UsageError("--target and --threads are for bundles: results were measured already; leave them out.")
    else:
        ours, theirs = read_results([first]), read_results([second])
    comparisons, alone = compare(ours, theirs)
    worse = regressions(comparisons, bounds) if bounds else []
    if as_json:
        print_json({"comparisons": [_shown(one, bounds) for one in comparisons], "without_partner": alone})
    else:
        _print(comparisons, alone)
    if worse:
        raise GateError("; ".join(_sentence(comparison, figure, bounds) for comparison, figure in worse) + ".")
    if not as_json:
        print(
            "No figure is worse than its limit."
            if bounds
            else f"Next: edgekit compare {first} {second} --max-regression 5%"
        )


def _measure(paths: tuple[Path, Path], where: str, runs: int, threads: int | None, quiet: bool) -> list[dict[str, Any]]:
    """A result of each bundle, both measured in turns."""
    from edgekit.bundle import Bundle
    from edgekit.cli.progress import display
    from edgekit.devices.profiling import Settings, profile
    from edgekit.devices.results import pooled
    from edgekit.devices.targets import find_target
    from edgekit.devices.targets.target import check_runner

    bundles = [Bundle.open(path) for path in paths]
    for bundle in bundles:
        check_runner(bundle)
    target = find_target(where)
    settings = Settings(runs=-(-runs // ROUNDS), threads=threads)
    results: list[list[dict[str, Any]]] = [[], []]
    with display(quiet) as progress:
        progress.start(target.title, 2 * ROUNDS, "rounds")
        with target:
            for bundle in bundles:
                target.check(bundle)
            target.lock(settings.timeout, progress.say)
            for _ in range(ROUNDS):
                for bundle, mine in zip(bundles, results, strict=True):
                    mine.append(profile(bundle, target, settings, lambda line: progress.step(line, 0)))
                    progress.step("", 1)
        progress.done()
    return [pooled(mine) for mine in results]


def _print(comparisons: list[Comparison], alone: list[str]) -> None:
    from edgekit.report import bytes_text, metric_value, print_table

    def text(figure: Figure, value: float) -> str:
        if figure.unit == "bytes":
            return bytes_text(int(value))
        return f"{value:.4g} ms" if figure.unit == "ms" else metric_value(value)

    rows = [
        (
            comparison.title,
            figure.name,
            text(figure, figure.first),
            text(figure, figure.second),
            "" if figure.ratio is None else f"{figure.ratio:.3f}x",
            "worse" if figure.regression > 0 else "better" if figure.regression < 0 else "same",
        )
        for comparison in comparisons
        for figure in comparison.figures
    ]
    print_table(("bundle", "figure", "first", "second", "ratio", ""), rows, right=(2, 3, 4))
    for comparison in comparisons:
        if comparison.machines_differ:
            print(f"{comparison.title} was measured on different machines: ratios of times are those of the machines.")
    if alone:
        print(f"Only in one of the two: {', '.join(alone)}.")


def _shown(comparison: Comparison, limits: dict[str, float]) -> dict[str, Any]:
    from dataclasses import asdict

    figures = [
        {**asdict(figure), "ratio": figure.ratio, "limit": limits.get(figure.group)} for figure in comparison.figures
    ]
    return {"title": comparison.title, "machines_differ": comparison.machines_differ, "figures": figures}


def _sentence(comparison: Comparison, figure: Figure, limits: dict[str, float]) -> str:
    return f"{comparison.title}: {figure.name} is {figure.regression:.1%} worse, {limits[figure.group]:.1%} is allowed"
