"""`edgekit sweep`: models x recipes x formats x devices x targets, exported and measured."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.options import (
    PATH,
    check_one_model,
    checkpoint_option,
    data_option,
    formats_option,
    json_option,
    operators_option,
    seed_option,
    settings_option,
    sizes_option,
    variant_option,
    verbosity_options,
)

if TYPE_CHECKING:
    from edgekit.devices.profile import DeviceProfile
    from edgekit.devices.sweep import Job
    from edgekit.export.formats import Operators, ProgramFormat
    from edgekit.models.zoo import ZooEntry


@click.command("sweep")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--device", "devices", required=True, multiple=True, metavar="NAME", help="A device profile; repeatable.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="[DEVICE=]TARGET",
    help="Where bundles are measured, as `edgekit profile` takes it; with DEVICE=, the bundles of that device alone; "
    "repeatable; default: local, for bundles of this machine's architecture.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="A Dask scheduler such as tcp://lab:8786, whose workers do the jobs; default: this machine, one by one.",
)
@click.option(
    "-o", "--output-dir", type=PATH, required=True, metavar="DIR", help="Gets bundles/, jobs/ and results.jsonl."
)
@formats_option
@operators_option
@click.option("--recipe", "recipes", multiple=True, metavar="R", help="Repeatable; default: every one of the model.")
@click.option(
    "--kv", "kvs", multiple=True, metavar="T", help="A type of the KV cache; repeatable; default: the recipe's."
)
@variant_option
@checkpoint_option
@data_option
@sizes_option
@settings_option
@click.option("--runs", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Calls that are timed.")
@click.option("--force", is_flag=True, help="Measure again what DIR has already.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table, for a document.")
@seed_option
@json_option
@verbosity_options
def command(
    models: tuple[str, ...],
    devices: tuple[str, ...],
    targets: tuple[str, ...],
    scheduler: str | None,
    output_dir: Path,
    formats: tuple[str, ...],
    operators: Operators,
    recipes: tuple[str, ...],
    kvs: tuple[str, ...],
    variant: str | None,
    checkpoint: Path | None,
    data: Path | None,
    sizes: tuple[tuple[int, int], ...],
    settings: tuple[str, ...],
    runs: int,
    force: bool,
    markdown: bool,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Export MODELs (default: all) by every recipe and measure each bundle: size, memory, speed, error, task metric.

    --format adds formats (default: pte); recipes that a format does not take are left out. Every bundle is estimated
    for its device too, where the profile has what that needs.

    A sweep that was stopped goes on where it was with the same command; one into the same DIR adds to its table.
    Bundles that miss their accuracy gate are measured too, and marked.
    """
    from edgekit.cli.progress import display
    from edgekit.devices.profile import load_profile
    from edgekit.devices.results import FILE_NAME, read_results
    from edgekit.devices.sweep import all_records, sweep
    from edgekit.errors import UsageError
    from edgekit.export.formats import PTE, check_format, find_format
    from edgekit.models.zoo import find_model, zoo
    from edgekit.report import print_json, print_sweep

    given = {load_profile(name): name for name in devices}
    profiles = list(given)
    names = dict.fromkeys(formats)
    forms = [find_format(name, operators if name == "tflite" else "edgekit") for name in names] or [PTE]
    for form in forms:
        for profile in profiles:
            check_format(form, profile)
    places = _places(profiles, targets)
    entries = list(dict.fromkeys(find_model(name) for name in models)) or list(zoo())
    own = {"--checkpoint": checkpoint, "--variant": variant, "--size": sizes, "--data": data, "--set": settings}
    check_one_model("sweep", [entry.name for entry in entries], own)
    arguments = ["--seed", str(seed), "--allow-drop"]
    for option, value in (("--variant", variant), ("--checkpoint", checkpoint), ("--data", data)):
        arguments += [] if value is None else [option, str(value)]
    arguments += [word for height, width in sizes for word in ("--size", f"{height}x{width}")]
    arguments += [word for setting in settings for word in ("--set", setting)]
    files = tuple(path for path in (checkpoint, data) if path is not None)
    jobs = [
        replace(job, targets=places[profile.name], runs=runs, files=files)
        for entry in entries
        for profile in profiles
        for form in forms
        for job in _jobs(entry, profile.name, given[profile], form, recipes, kvs, variant, arguments)
    ]
    if not jobs:
        raise UsageError(f"no --format takes {', '.join(recipes)}: choose others.")
    runner = None
    if scheduler is not None:
        from edgekit.devices.cluster import cluster_runner

        runner = cluster_runner(scheduler, output_dir)
    with display(quiet) as progress:
        progress.start("sweep", len(jobs), "bundles")

        def on_job(job: Job, what: str) -> None:
            progress.step(f"{job.name}{' (there already)' if what == 'known' else ''}", int(what != "begins"))

        records = sweep(jobs, output_dir, force, on_job, runner)
        progress.done()
    shown = all_records(output_dir, records)
    file = output_dir / FILE_NAME
    results = read_results([file]) if file.is_file() else []
    if as_json:
        print_json({"records": shown, "results": results})
        return
    print_sweep(shown, results, markdown)
    if not markdown:
        made = any(record["bundle"] for record in records)
        page = output_dir / "report.html"
        print(
            f"Next: edgekit report {output_dir} -o {page}" if made else "Next: the same command, when that is mended."
        )


def _places(profiles: Sequence[DeviceProfile], targets: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """By device, where its bundles are measured, the estimate last.

    Raises:
        UsageError: a target is for a device that is not asked for, or makes no sense.
    """
    from edgekit.devices.sweep import ESTIMATE
    from edgekit.devices.targets import find_target
    from edgekit.errors import unknown_name

    named = {word: profile.name for profile in profiles for word in (profile.name, *profile.aliases)}
    places: dict[str, list[str]] = {profile.name: [] for profile in profiles}
    for text in targets:
        device, sign, target = text.rpartition("=")
        if sign and device not in named:
            raise unknown_name("--device of --target", device, named, "edgekit list devices")
        find_target(target)
        for name in [named[device]] if sign else places:
            places[name].append(target)
    for profile in profiles:
        if not targets and profile.architecture == platform.machine() and profile.operating_system == "linux":
            places[profile.name].append("local")
        if profile.peaks is not None:
            places[profile.name].append(ESTIMATE)
    return {name: tuple(dict.fromkeys(found)) for name, found in places.items()}


def _jobs(
    entry: ZooEntry,
    device: str,
    given: str,
    form: ProgramFormat,
    recipes: tuple[str, ...],
    kvs: tuple[str, ...],
    variant: str | None,
    arguments: list[str],
) -> list[Job]:
    """A model's jobs for one device in one format: every recipe that they take, of those asked for.

    Args:
        device: its profile's name.
        given: what `--device` was given, a name or a file.

    Raises:
        UsageError: an unknown recipe, or none of them is for this model.
    """
    from edgekit.devices.sweep import Job
    from edgekit.errors import UsageError
    from edgekit.export.formats import refused
    from edgekit.export.recipes import find_recipe, taken_recipes

    for name in recipes:
        find_recipe(name)
    model = entry.model_class()
    taken = [recipe.name for recipe in taken_recipes(model)]
    chosen = [name for name in recipes if name in taken] if recipes else taken
    if not chosen:
        others = f"{recipes[0]}: {model.refused_recipes[recipes[0]]}; it takes {', '.join(taken)}"
        raise UsageError(f"{entry.name} refuses {others}.")
    jobs: list[Any] = []
    own = [
        *("--device", given, "--format", form.name),
        *(["--operators", form.operators] if form.name == "tflite" else []),
    ]
    for recipe in chosen:
        if refused(form, find_recipe(recipe)) is not None:
            continue
        for kv in kvs if kvs and entry.model_class().has_kv else (None,):
            parts = [entry.name, variant, device, recipe, None if kv is None else f"kv-{kv}", form.label.lstrip("-")]
            jobs.append(
                Job(
                    name="-".join(part for part in parts if part),
                    model=entry.name if variant is None else f"{entry.name} {variant}",
                    device=device,
                    recipe=recipe,
                    kv=kv,
                    arguments=(entry.name, *own, *arguments, "--recipe", recipe, *(() if kv is None else ("--kv", kv))),
                    rank=taken.index(recipe),
                    format=form.label.lstrip("-") or form.name,
                )
            )
    return jobs
