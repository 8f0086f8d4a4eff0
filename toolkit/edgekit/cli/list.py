"""`edgekit list`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from edgekit.cli.options import json_option

#: Headings, rows, right-aligned columns, the next command, and the same as plain values.
Listing = tuple[Sequence[str], Sequence[Sequence[str]], Sequence[int], str, list[dict[str, Any]]]


@click.command("list")
@click.argument("kind", metavar="models|devices|recipes|settings")
@json_option
def command(kind: str, as_json: bool) -> None:
    """List models, devices, recipes, or the settings that --set takes, by model and command."""
    from edgekit.errors import unknown_name
    from edgekit.report import print_json, print_table

    listings = {"models": _models, "devices": _devices, "recipes": _recipes, "settings": _settings}
    if kind not in listings:
        raise unknown_name("listing", kind, listings, "edgekit list --help")
    headers, rows, right, following, values = listings[kind]()
    if as_json:
        print_json({kind: values})
        return
    print_table(headers, rows, right)
    print(f"Next: edgekit {following}")


def _models() -> Listing:
    from edgekit.models.zoo import zoo

    values: list[dict[str, Any]] = []
    for entry in zoo():
        for variant in entry.variants:
            cost = entry.cost(variant)
            values.append(
                {
                    "model": entry.name,
                    "variant": variant,
                    "task": entry.task,
                    "parameters": cost.parameters,
                    "macs": cost.macs,
                    "input": [spec.describe() for spec in cost.inputs],
                    "summary": entry.summary,
                }
            )
    rows = [
        (
            str(v["model"]),
            str(v["variant"]),
            f"{v['parameters']:,}",
            f"{v['macs']:,}",
            str(v["task"]),
            str(v["summary"]),
        )
        for v in values
    ]
    headers = ("model", "variant", "parameters", "MACs", "task", "what it does")
    return headers, rows, (2, 3), f"export {values[0]['model']} --device jetson", values


def _devices() -> Listing:
    from dataclasses import asdict

    from edgekit.devices.profile import list_profiles

    profiles = list_profiles()
    rows = [
        (
            profile.name,
            ", ".join(profile.aliases),
            profile.title,
            f"{profile.cpu.cores or '?'} x {profile.cpu.model}",
            f"{profile.memory.total_mb} MB" if profile.memory.total_mb else "unknown",
            profile.gpu.name if profile.gpu else "",
            profile.default_recipe,
        )
        for profile in profiles
    ]
    headers = ("device", "alias", "name", "CPU", "memory", "GPU", "default recipe")
    return headers, rows, (4,), "export --device jetson", [asdict(profile) for profile in profiles]


def _recipes() -> Listing:
    from edgekit.export.recipes import recipes

    known = recipes()
    rows = [(recipe.name, recipe.summary) for recipe in known]
    following = f"export --device jetson --recipe {known[0].name}"
    return ("recipe", "what it does"), rows, (), following, [recipe.to_dict() for recipe in known]


def _settings() -> Listing:
    from dataclasses import asdict

    from edgekit.models.snmf import options
    from edgekit.models.zoo import zoo

    values: list[dict[str, Any]] = [
        {"model": entry.name, "command": command, **asdict(setting)}
        for entry in zoo()
        for command, settings in entry.settings().items()
        for setting in settings
    ]
    values += [{"model": "sea-opt", "command": "explain fit", **asdict(one)} for one in options.list_settings()]
    rows = [tuple(str(value) for value in row.values()) for row in values]
    headers = ("model", "command", "setting", "its value", "default", "what it does")
    return headers, rows, (), f"export {values[0]['model']} --device jetson --set NAME=VALUE", values
