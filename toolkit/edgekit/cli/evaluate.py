"""`edgekit evaluate`: task metrics of a model or a bundle on labelled data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import (
    PATH,
    checkpoint_option,
    json_option,
    kv_types_option,
    name_value_pairs,
    seed_option,
    variant_option,
    verbosity_options,
)

if TYPE_CHECKING:
    from edgekit.export.recipes import Recipe
    from edgekit.models.kv import KV
    from edgekit.models.model import Model
    from edgekit_runtime import Session


@click.command("evaluate")
@click.argument("subject", metavar="MODEL|BUNDLE")
@click.option(
    "--data",
    type=PATH,
    required=True,
    metavar="PATH",
    help="Labelled data: an .npz (train, test, label), a folder of them, images with masks; text.",
)
@checkpoint_option
@variant_option
@click.option(
    "--recipe", "recipes", multiple=True, metavar="R", help="Export with it and evaluate that too; repeatable."
)
@kv_types_option
@click.option("--pictures", type=PATH, metavar="DIR", help="Draw scores and what the model learned into this folder.")
@click.option("--markdown", is_flag=True, help="Print Markdown tables, for a document.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the evaluation, such as device=cuda; `edgekit list settings` shows them.",
)
@seed_option
@json_option
@verbosity_options
def command(
    subject: str,
    data: Path,
    checkpoint: Path | None,
    variant: str | None,
    recipes: tuple[str, ...],
    kv_types: tuple[KV, ...],
    pictures: Path | None,
    markdown: bool,
    settings: tuple[str, ...],
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure MODEL (eager fp32, and bundles of it with --recipe) or a BUNDLE on labelled data.

    --checkpoint may be a folder with one checkpoint per entity, named after it.
    """
    from edgekit.bundle import Bundle
    from edgekit.cli.progress import display, follow_stages
    from edgekit.cli.run import usual_input
    from edgekit.errors import UsageError
    from edgekit.models.zoo import find_model

    is_bundle = Path(subject).is_dir()
    if is_bundle and (checkpoint or variant or recipes or kv_types):
        raise UsageError("a bundle has its checkpoint, variant and recipe in it: leave these options out.")
    if is_bundle and settings:
        raise UsageError("a bundle runs as it was exported: leave --set out.")
    if kv_types and not recipes:
        raise UsageError("--kv belongs to the bundles that --recipe asks for: give a --recipe, or leave it out.")
    if not is_bundle:
        find_model(subject)
    pairs = name_value_pairs(settings)

    from edgekit.export.recipes import choose_recipe, find_recipe
    from edgekit.models.tasks import EvaluateRequest
    from edgekit.report import print_evaluation, print_json
    from edgekit.sessions import open_session

    for name in recipes:
        find_recipe(name)
    session = open_session(Bundle.open(subject, check_files=False)) if is_bundle else None
    entry = find_model(str(session.manifest["model"]["name"]) if session else subject)
    with TemporaryDirectory(prefix="edgekit-") as folder, display(quiet) as progress:

        def chosen(model: Model) -> list[Recipe]:
            return [choose_recipe(name, name, model, kv) for name in recipes for kv in kv_types or (None,)]

        def sessions(model: Model) -> Mapping[str, Session]:
            from edgekit.devices.profile import load_profile
            from edgekit.export.pipeline import STAGES, export

            host = load_profile("linux-x86_64")
            made = {}
            for recipe in chosen(model):
                on_stage = follow_stages(progress, f"export {recipe.label}", len(STAGES))
                target = Path(folder) / recipe.label
                # What is too far from fp32 is measured all the same, with a warning.
                bundle = export(
                    model,
                    host,
                    recipe,
                    target,
                    seed,
                    force=True,
                    on_stage=on_stage,
                    native=False,
                    allow_drop=True,
                    say=progress.say,
                )
                progress.done()
                made[recipe.label] = open_session(bundle)
            return made

        evaluation = entry.evaluate(
            EvaluateRequest(data, checkpoint, variant, session, sessions, pictures, seed, progress, pairs)
        )
    if as_json:
        details = evaluation.details.rows if evaluation.details else []
        print_json({"metrics": evaluation.metrics.rows, "details": details, "notes": list(evaluation.notes)})
        return
    print_evaluation(evaluation, markdown)
    if markdown:
        return
    if session is not None:
        print(f"Next: edgekit run {subject} {usual_input(session.manifest)}")
    else:
        file = checkpoint / "ENTITY.safetensors" if checkpoint is not None and checkpoint.is_dir() else checkpoint
        chosen_file = f" --checkpoint {file}" if file is not None else ""
        print(f"Next: edgekit export {entry.name}{chosen_file} --device jetson --data {data}")
