"""Settings that a user gives as NAME=VALUE text, turned into the fields of dataclasses; needs no torch."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from edgekit.errors import UsageError, unknown_name


def _truth(text: str) -> bool:
    values = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    return values[text.lower()]


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if match is None:
        raise ValueError(text)
    return int(match[1]), int(match[2])


#: How a field's text is read, and what it must be, by the annotation of the field.
_KINDS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "str": (str, "text"),
    "bool": (_truth, "true or false"),
    "str | None": (lambda text: None if text.lower() == "none" else text, "text or none"),
    "int | None": (lambda text: None if text.lower() == "none" else int(text), "a whole number or none"),
    "tuple[int, int]": (_size, "a size, height x width, such as 256x320"),
}


@dataclass(frozen=True)
class Setting:
    """One that `--set` takes.

    Attributes:
        name: before the sign of equality.
        kind: what its text must be.
        default: its value where it is not given, as text.
        meaning: what it does.
    """

    name: str
    kind: str
    default: str
    meaning: str


#: Where a GPU can do the work.
DEVICE = Setting("device", "text", "cuda where there is one, else cpu", "torch's name of the device that computes.")


def describe_settings(kind: type, leave_out: Iterable[str] = ()) -> list[Setting]:
    """The fields of a dataclass that text can set, with the meaning that its docstring gives them."""
    meanings = _meanings(kind)
    return [
        Setting(field.name, _KINDS[str(field.type)][1], _text(field.default), meanings[field.name])
        for field in fields(kind)
        if field.name not in set(leave_out)
    ]


def _meanings(kind: type) -> dict[str, str]:
    """Sentences of the docstring's part "Attributes", by field."""
    _, _, part = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in part.splitlines():
        if match := re.fullmatch(r" {4}(\w+(?:, \w+)*): (.+)", line):
            names = match[1].split(", ")
            found |= dict.fromkeys(names, match[2])
        elif line.startswith(" " * 8):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def _text(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return "x".join(map(str, default))
    return "none" if default is None else f"{default:g}" if isinstance(default, float) else str(default)


def settable(kind: type, leave_out: Iterable[str] = ()) -> dict[str, str]:
    """The fields of a dataclass that text can set, with their annotations."""
    return {field.name: str(field.type) for field in fields(kind) if field.name not in set(leave_out)}


def read_settings(given: Mapping[str, str], known: Mapping[str, str]) -> dict[str, Any]:
    """Values by field name.

    Args:
        given: text by name; dashes count as underscores.
        known: annotations by field name, as of `settable`.

    Raises:
        UsageError: an unknown name (the message names the nearest and all), or text of another kind.
    """
    values = {}
    for name, text in given.items():
        key = name.replace("-", "_")
        if key not in known:
            raise unknown_name("setting", name, known)
        read, wanted = _KINDS[known[key]]
        try:
            values[key] = read(text)
        except (ValueError, KeyError) as error:
            raise UsageError(
                f"--set {name}: {text!r} is not {wanted}: `edgekit list settings` shows what each takes."
            ) from error
    return values


def refuse_settings(given: Mapping[str, str], model: str, when: str = "export") -> None:
    """For a model that has no settings at export, or at whatever else.

    Raises:
        UsageError: there are some.
    """
    if given:
        raise UsageError(f"{model} has no setting {next(iter(given))!r} at {when}: leave --set out.")
