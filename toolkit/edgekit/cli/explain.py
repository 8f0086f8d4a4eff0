"""`edgekit explain`: the features of a language model, from fit to picture; each command is a file of its own."""

from __future__ import annotations

import click

from edgekit.cli.lazy import LazyGroup

#: Commands and what `--help` says of them; nothing is imported for that.
COMMANDS = {
    "fit": "Find the features of some layers in the activations of a text.",
    "show": "Show the features of a dictionary or a bundle: their tokens, and what they make likelier.",
    "tree": "Show the hierarchy of a layer's features.",
    "evaluate": "Measure how features detect and steer planted concepts, baselines beside them.",
}


@click.group(
    "explain", cls=LazyGroup, commands_by_name=COMMANDS, package="edgekit.cli.explain_", called="edgekit explain"
)
def command() -> None:
    """Features of a language model's layers: what they stand for, and how to steer by them."""
