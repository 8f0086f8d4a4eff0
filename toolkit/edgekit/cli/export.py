"""`edgekit export`: models to bundles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.mixing import Mixture, find_mixture, max_drop_option
from edgekit.cli.options import (
    PATH,
    byte_count,
    check_one_model,
    checkpoint_option,
    data_option,
    evaluate_option,
    force_option,
    formats_option,
    interpreter_option,
    json_option,
    kv_option,
    name_value_pairs,
    operators_option,
    samples_option,
    seed_option,
    settings_option,
    sizes_option,
    variant_option,
    verbosity_options,
)

if TYPE_CHECKING:
    from edgekit.bundle import Bundle
    from edgekit.devices.profile import DeviceProfile
    from edgekit.export.budget import Attempt
    from edgekit.export.formats import Interpreter, Operators, ProgramFormat
    from edgekit.export.recipes import Recipe
    from edgekit.models.kv import KV
    from edgekit.models.metrics import Drop, Extent
    from edgekit.models.model import Model, Observer
    from edgekit_runtime import Session


@click.command("export")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--device", required=True, metavar="NAME", help="A device profile; `edgekit list devices` shows them.")
@formats_option
@operators_option
@interpreter_option
@click.option("--recipe", metavar="R", help="How numbers are stored and computed; default: the device's.")
@kv_option
@click.option(
    "--keep-fp32",
    multiple=True,
    metavar="NAME",
    help="A module that stays in fp32, or a pattern of names with *; repeatable; --dry-run lists the blocks.",
)
@samples_option
@click.option(
    "--observer",
    type=click.Choice(["histogram", "extremes", "percentile"]),
    help="How calibration finds ranges; default: the model's way.",
)
@variant_option
@checkpoint_option
@data_option
@sizes_option
@click.option("--batch", "batches", type=click.IntRange(1, 65536), multiple=True, help="A batch size; repeatable.")
@settings_option
@click.option("-o", "--output-dir", type=PATH, default=Path("bundles"), show_default=True, help="Where bundles go.")
@seed_option
@click.option(
    "--native/--no-native",
    default=True,
    help="Carry the runner and the libraries that the device needs; default: where they can be had.",
)
@evaluate_option
@max_drop_option
@click.option("--allow-drop", is_flag=True, help="Write a bundle that misses its accuracy gate, with a warning.")
@click.option(
    "--memory-budget",
    type=byte_count,
    metavar="64MB",
    help="Choose the most accurate recipe and variant whose predicted peak fits; what you name yourself is kept.",
)
@click.option("--dry-run", is_flag=True, help="Check the request and say what would be made.")
@force_option
@json_option
@verbosity_options
def command(
    models: tuple[str, ...],
    device: str,
    formats: tuple[str, ...],
    operators: Operators,
    interpreter: Interpreter,
    recipe: str | None,
    kv: KV | None,
    keep_fp32: tuple[str, ...],
    samples: int | None,
    observer: Observer | None,
    variant: str | None,
    checkpoint: Path | None,
    data: Path | None,
    sizes: tuple[tuple[int, int], ...],
    batches: tuple[int, ...],
    settings: tuple[str, ...],
    output_dir: Path,
    seed: int,
    native: bool,
    extent: Extent,
    max_drop: Drop | None,
    allow_drop: bool,
    memory_budget: int | None,
    dry_run: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Quantize, export, verify and pack MODELs (default: all) for a device.

    Each becomes a folder MODEL-DEVICE-RECIPE, one for each --format, that was run and compared with the eager fp32
    model before it is written.
    """
    from edgekit.cli.progress import display, follow_stages
    from edgekit.cli.run import usual_input
    from edgekit.devices.profile import load_profile
    from edgekit.errors import UsageError
    from edgekit.models.zoo import find_model, zoo

    profile = load_profile(device)
    entries = list(dict.fromkeys(find_model(name) for name in models)) or list(zoo())
    own = {"--checkpoint": checkpoint, "--variant": variant, "--size": sizes, "--data": data, "--set": settings}
    check_one_model("export", [entry.name for entry in entries], own | {"--keep-fp32": keep_fp32, "--kv": kv})

    from edgekit.export.recipes import change_recipe, choose_recipe, find_recipe, taken_recipes

    if recipe is not None:
        find_recipe(recipe)
    elif memory_budget is not None and (keep_fp32 or samples or observer):
        raise UsageError("--keep-fp32, --samples and --observer belong to one recipe: name it beside --memory-budget.")

    from edgekit.devices.gpu_work import gpu_text
    from edgekit.export.budget import NothingFitsError, Search
    from edgekit.export.differences import differences
    from edgekit.export.formats import find_format
    from edgekit.export.mixed import kept_modules
    from edgekit.export.pipeline import FAST_SHARE, STAGES, bundle_name, check_request, export
    from edgekit.export.program_results import estimate_of
    from edgekit.export.sensitivity import Measuring, check_rounds
    from edgekit.models.model import Request
    from edgekit.report import bundle_row, print_attempts, print_bundles, print_differences, print_json, print_table

    asked = [find_format(name, operators, interpreter) for name in dict.fromkeys(formats)]
    if not asked and (operators, interpreter) != ("edgekit", "litert"):
        raise UsageError("--operators and --interpreter are for --format tflite: name it too.")
    if (memory_budget is not None or max_drop is not None) and any(form.name != "pte" for form in asked):
        raise UsageError("--memory-budget and --max-drop are for --format pte: leave them or the other formats out.")
    pairs = name_value_pairs(settings)
    told: list[str] = []
    request = Request(variant, checkpoint, data, tuple(dict.fromkeys(batches)) or (1,), sizes, seed, pairs)
    jobs = []
    for entry in entries:
        loaded = entry.load(request)
        for form in asked or [_usual_format(profile, loaded, memory_budget, max_drop, told.append)]:
            model = loaded.in_form(form.state_form)
            chosen = choose_recipe(recipe, profile.default_recipe, model, kv)
            chosen = change_recipe(chosen, tuple(dict.fromkeys(keep_fp32)), samples, observer)
            kept_modules(model, model.methods(chosen.kv), chosen)
            if max_drop is not None and memory_budget is None:
                check_rounds(chosen)
                mixed = replace(chosen, keep_fp32=("*",))  # its name, whatever it will keep
                check_request(profile, output_dir / bundle_name(model, profile, mixed, form), force, form)
            choice = [chosen] if recipe is not None or memory_budget is None else list(taken_recipes(model))
            for possible in (one if kv is None else one.with_kv(kv) for one in choice):
                check_request(profile, output_dir / bundle_name(model, profile, possible, form), force, form)
            jobs.append((entry, model, chosen, choice, form))
    if dry_run:
        planned = [
            {
                "model": model.name,
                "recipe": chosen.name,
                "format": form.name,
                "methods": [m.spec.name for m in model.methods(chosen.kv)],
                "path": str(output_dir / bundle_name(model, profile, chosen, form)),
                "blocks": model.blocks(),
            }
            for _, model, chosen, _, form in jobs
        ]
        if as_json:
            print_json({"planned": planned})
        else:
            keys = ("model", "recipe", "format")
            rows = [(*(str(p[key]) for key in keys), ", ".join(p["methods"]), str(p["path"])) for p in planned]
            print_table((*keys, "methods", "would write"), rows, trailing=1)
            for plan in planned:
                print(f"Blocks of {plan['model']}: {', '.join(plan['blocks'])}.")
        return

    bundles = []
    attempts: dict[str, list[Attempt]] = {}
    notes: list[str] = []
    mixtures: dict[str, Mixture] = {}
    with display(quiet) as progress:
        for line in told:
            progress.say(line)
        for entry, model, chosen, choice, form in jobs:

            def on_note(note: str) -> None:
                if note not in notes:  # it holds for all bundles
                    notes.append(note)
                    progress.say(note)

            def one(
                model: Model, recipe: Recipe, most_indirection: int | None = None, form: ProgramFormat = form
            ) -> Bundle:
                target = output_dir / bundle_name(model, profile, recipe, form)
                on_stage = follow_stages(progress, target.name, len(STAGES))
                bundle = export(
                    *(model, profile, recipe, target, seed, force, on_stage, native, allow_drop, on_note),
                    *(extent, max_drop, memory_budget, most_indirection, form),
                )
                progress.done()
                return bundle

            if memory_budget is not None:
                search = Search(
                    *(entry.load, request, choice, memory_budget, one),
                    kv=kv,
                    extent=extent,
                    allow_drop=allow_drop,
                    say=progress.say,
                )
                attempts[model.name] = search.attempts
                try:
                    bundle = search.run()
                except NothingFitsError as error:
                    if as_json:
                        print_json({"attempts": {model.name: [attempt.to_dict() for attempt in error.attempts]}})
                    else:
                        print_attempts(error.attempts, memory_budget)
                    raise
            elif max_drop is not None:
                measuring = Measuring(model, profile, extent, max_drop)
                mixture = find_mixture(measuring, chosen, model.blocks(), checkpoint, progress)
                bundle = one(model, mixture.chosen.recipe)
                mixtures[bundle.name] = mixture
            else:
                bundle = one(model, chosen)
            share = bundle_row(bundle)["fast_share"]
            if share is not None and share < FAST_SHARE:
                progress.say(
                    f"warning: {bundle.name}: fast kernels take {100 * share:.1f} % of the multiplications; "
                    f"left to portable ones: {_undelegated(bundle)}."
                )
            bundles.append(bundle)
    estimates = [estimate_of(bundle, profile) for bundle in bundles]
    compared = [one.to_dict() for group in _by_model(bundles) for one in differences(group)]
    tried = {name: [attempt.to_dict() for attempt in several] for name, several in attempts.items()}
    if as_json:
        made = [bundle_row(bundle) for bundle in bundles]
        for row, bundle, estimated in zip(made, bundles, estimates, strict=True):
            row |= {"estimated": estimated}
            row |= {"mixture": mixtures[bundle.name].to_dict()} if bundle.name in mixtures else {}
        several = {"differences": compared} if compared else {}
        print_json({"bundles": made} | ({"attempts": tried} if tried else {}) | several)
        return
    for searched in attempts.values():
        assert memory_budget is not None
        print_attempts(searched, memory_budget)
    print_bundles(bundles, estimates)
    parts = [bundle.manifest["gpu"] for bundle in bundles if "gpu" in bundle.manifest]
    for line in dict.fromkeys(gpu_text(profile.name, part) for part in parts):
        print(line)
    for name, mixture in mixtures.items():
        print(f"{name}, {mixture.text()}.")
    if compared:
        print_differences(compared)
    last = bundles[-1]
    print(f"Next: edgekit run {last.path} {usual_input(last.manifest)}")


def _usual_format(
    profile: DeviceProfile,
    model: Model,
    memory_budget: int | None,
    max_drop: Drop | None,
    say: Callable[[str], None],
) -> ProgramFormat:
    """The format where none was asked for; what works on `.pte` only decides."""
    from edgekit.export.formats import PTE, default_format, find_format

    if memory_budget is not None or max_drop is not None:
        return PTE
    return find_format(default_format(profile, str(model.pipeline()["name"]), say))


def _by_model(bundles: Sequence[Bundle]) -> list[dict[str, Session]]:
    """Sessions of the bundles of each model that has several."""
    from edgekit.sessions import open_session

    groups: dict[str, list[Bundle]] = {}
    for bundle in bundles:
        groups.setdefault(str(bundle.manifest["model"]), []).append(bundle)
    return [{one.name: open_session(one) for one in group} for group in groups.values() if len(group) > 1]


def _undelegated(bundle: object) -> str:
    from edgekit.bundle import Bundle

    assert isinstance(bundle, Bundle)
    macs: dict[str, int] = {}
    for count in bundle.manifest["programs"][0]["delegation"].values():
        for name, value in count["undelegated_macs"].items():
            macs[name] = macs.get(name, 0) + value
    ranked = sorted(macs, key=lambda name: -macs[name])
    return ", ".join(f"{name} ({macs[name] / 1e6:.3g} M MAC)" for name in ranked)
