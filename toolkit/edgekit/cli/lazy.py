"""A group of commands whose files are imported when they are called, so that `--help` is quick."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from edgekit.errors import unknown_name


class LazyGroup(click.Group):
    """A group of commands that are files of their own.

    Args:
        commands_by_name: what `--help` says of each, by name.
        package: where their modules are: "edgekit.cli." for `edgekit.cli.NAME`, with _ for -.
        called: the group's own command line, for errors.
    """

    def __init__(self, *args: Any, commands_by_name: Mapping[str, str], package: str, called: str, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._by_name, self._package, self._called = commands_by_name, package, called

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._by_name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._by_name:
            raise unknown_name("command", cmd_name, self._by_name, f"{self._called} --help")
        command: click.Command = importlib.import_module(f"{self._package}{cmd_name.replace('-', '_')}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click would print an empty line first
            raise click.Abort from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._by_name.items()))
