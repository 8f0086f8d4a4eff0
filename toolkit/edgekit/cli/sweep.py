"""`edgekit sweep`: models x recipes, exported and measured on this machine."""

from __future__ import annotations

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
    from edgekit.devices.sweep import Job
    from edgekit.export.formats import Operators, ProgramFormat
    from edgekit.models.zoo import ZooEntry


@click.command("sweep")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--device", required=True, metavar="NAME", help="A device profile; measured where it is this machine's.")
@click.option("-o", "--output-dir", type=PATH, required=True, metavar="DIR", help="Gets bundles/ and results/.")
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
    device: str,
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

    --format adds formats (default: pte); recipes that a format does not take are left out.

    One process after the other. A sweep that was stopped goes on where it was with the same command; one into the same
    DIR adds to its table. Bundles that miss their accuracy gate are measured too, and marked.
    """
    from edgekit.cli.progress import display
    from edgekit.devices.profile import load_profile
    from edgekit.devices.sweep import all_results, sweep
    from edgekit.errors import UsageError
    from edgekit.export.formats import PTE, check_format, find_format
    from edgekit.models.zoo import find_model, zoo
    from edgekit.report import print_json, print_sweep

    profile = load_profile(device)
    names = dict.fromkeys(formats)
    forms = [find_format(name, operators if name == "tflite" else "edgekit") for name in names] or [PTE]
    for form in forms:
        check_format(form, profile)
    entries = list(dict.fromkeys(find_model(name) for name in models)) or list(zoo())
    own = {"--checkpoint": checkpoint, "--variant": variant, "--size": sizes, "--data": data, "--set": settings}
    check_one_model("sweep", [entry.name for entry in entries], own)
    arguments = ["--device", device, "--seed", str(seed), "--allow-drop"]
    for option, value in (("--variant", variant), ("--checkpoint", checkpoint), ("--data", data)):
        arguments += [] if value is None else [option, str(value)]
    arguments += [word for height, width in sizes for word in ("--size", f"{height}x{width}")]
    arguments += [word for setting in settings for word in ("--set", setting)]
    files = tuple(path for path in (checkpoint, data) if path is not None)
    jobs = [
        job
        for entry in entries
        for form in forms
        for job in _jobs(entry, profile.name, form, recipes, kvs, variant, arguments, files)
    ]
    if not jobs:
        raise UsageError(f"no --format takes {', '.join(recipes)}: choose others.")
    with display(quiet) as progress:
        progress.start("sweep", len(jobs), "bundles")

        def on_job(job: Job, known: bool) -> None:
            if job is not jobs[0]:
                progress.step("")
            progress.step(f"{job.name}{' (there already)' if known else ''}", 0)

        results = sweep(jobs, output_dir, runs, force, on_job)
        progress.done()
    shown = all_results(output_dir, results)
    if as_json:
        print_json({"results": shown})
        return
    print_sweep(shown, markdown)
    if not markdown:
        made = next((result["bundle"]["path"] for result in results if result["bundle"]), None)
        print(f"Next: edgekit inspect {output_dir / made}" if made else "Next: the same command, when that is mended.")


def _jobs(
    entry: ZooEntry,
    device: str,
    form: ProgramFormat,
    recipes: tuple[str, ...],
    kvs: tuple[str, ...],
    variant: str | None,
    arguments: list[str],
    files: tuple[Path, ...],
) -> list[Job]:
    """A model's jobs in one format: every recipe that both take, of those asked for.

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
    own = ["--format", form.name, *(["--operators", form.operators] if form.name == "tflite" else [])]
    for recipe in chosen:
        if refused(form, find_recipe(recipe)) is not None:
            continue
        for kv in kvs if kvs and entry.model_class().has_kv else (None,):
            parts = [entry.name, variant, device, recipe, None if kv is None else f"kv-{kv}", form.label.lstrip("-")]
            jobs.append(
                Job(
                    "-".join(part for part in parts if part),
                    entry.name if variant is None else f"{entry.name} {variant}",
                    recipe,
                    kv,
                    (entry.name, *arguments, *own, "--recipe", recipe, *(() if kv is None else ("--kv", kv))),
                    taken.index(recipe),
                    files,
                    form.label.lstrip("-") or form.name,
                )
            )
    return jobs
